"""The Merkle tree, against the published vectors of RFC 9162."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import merkle

VECTORS = json.loads((Path(__file__).parent / "data" / "merkle-vectors.json").read_text(encoding="utf-8"))
LEAVES = [merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in VECTORS["leaves_hex"]]
ROOTS = VECTORS["root_hex_by_size"]


def largest_power_below(size: int) -> int:
    return 1 << (size - 1).bit_length() - 1


def defined_root(leaves: list[bytes]) -> bytes:
    """MTH as RFC 9162 section 2.1.1 defines it, by recursion."""
    if not leaves:
        return merkle.EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    split = largest_power_below(len(leaves))
    return merkle.node_hash(defined_root(leaves[:split]), defined_root(leaves[split:]))


@pytest.mark.rule("R14")
@pytest.mark.parametrize("size", range(len(ROOTS)))
def test_the_root_of_every_size_is_the_published_one(size: int) -> None:
    """R14: the hash of a history is the same wherever it is computed."""
    grown, frontier = merkle.extend(0, (), LEAVES[:size])
    assert grown == size
    assert merkle.root(frontier).hex() == ROOTS[size]


@given(st.lists(st.binary(max_size=8), max_size=70), st.data())
def test_a_tree_grown_in_parts_is_the_tree_grown_at_once(lines: list[bytes], data: st.DataObject) -> None:
    leaves = [merkle.leaf_hash(line) for line in lines]
    size, frontier, rest = 0, (), leaves
    while rest:
        taken = data.draw(st.integers(1, len(rest)))
        size, frontier = merkle.extend(size, frontier, rest[:taken])
        rest = rest[taken:]
        assert len(frontier) == size.bit_count(), "one hash for each full subtree"
    assert (size, frontier) == merkle.extend(0, (), leaves)
    assert merkle.root(frontier) == defined_root(leaves)


def test_a_leaf_is_not_taken_for_a_node() -> None:
    assert merkle.node_hash(b"a", b"b") != merkle.leaf_hash(b"ab")
