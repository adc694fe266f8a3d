"""Rows of the log for who examines it: nothing is parsed, and nothing is taken for granted."""

from typing import Any

from application.ports import LogLine, OtherLine, Share
from persistence import codec

_ID_BYTES = 16
"""Those of a UUID (RFC 9562 section 4)."""


def stored(position: int, line: Any, stored_hash: Any, event_id: Any, session_id: Any, version: Any) -> LogLine:
    """A row as it is stored; an empty line with no hash in the place of what a damaged page makes of it."""
    columns = (line, stored_hash, event_id, session_id, version)
    if tuple(map(type, columns)) != (bytes, bytes, bytes, bytes, int):
        return LogLine(position, b"", b"", "", "", 0)
    return LogLine(position, line, stored_hash, codec.id_text(event_id), codec.id_text(session_id), version)


def shared(share: Share, row: Any) -> LogLine | OtherLine:
    """`stored`, for who reads that share of the log."""
    position, _, stored_hash, _, session_id, _ = row
    elsewhere = type(session_id) is bytes and len(session_id) == _ID_BYTES and not share.has(session_id)
    return OtherLine(position, stored_hash) if elsewhere and type(stored_hash) is bytes else stored(*row)
