"""The Merkle tree over the log (RFC 9162 section 2.1): one root hash stands for the whole history.

A frontier is the roots of the full subtrees that make up a tree of that size, largest first. It is all that is needed
to append a leaf or to compute the root, and it never holds more than 64 hashes.
"""

import hashlib
from collections.abc import Iterable, Sequence

EMPTY_ROOT = hashlib.sha256().digest()

_LEAF = hashlib.sha256(b"\x00")
"""Copied for each leaf: to look the algorithm up again would cost more than to hash a line."""


def leaf_hash(line: bytes) -> bytes:
    """The hash of a leaf (RFC 9162 section 2.1.1): SHA-256(0x00 || line)."""
    leaf = _LEAF.copy()
    leaf.update(line)
    return leaf.digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def extend(size: int, frontier: Sequence[bytes], leaves: Iterable[bytes]) -> tuple[int, tuple[bytes, ...]]:
    """Size and frontier of the tree after these leaf hashes were appended."""
    stack = list(frontier)
    for leaf in leaves:
        node, full = leaf, size
        while full & 1:
            node = node_hash(stack.pop(), node)
            full >>= 1
        stack.append(node)
        size += 1
    return size, tuple(stack)


def root(frontier: Sequence[bytes]) -> bytes:
    """The root hash of the tree with this frontier; the hash of nothing for the empty tree."""
    if not frontier:
        return EMPTY_ROOT
    *rest, node = frontier
    for left in reversed(rest):
        node = node_hash(left, node)
    return node
