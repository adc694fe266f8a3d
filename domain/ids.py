"""Ids: UUIDs in their canonical text form (RFC 9562 section 4)."""

import re

_CANONICAL = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_id(text: str) -> bool:
    """Whether this is one."""
    return _CANONICAL.fullmatch(text) is not None
