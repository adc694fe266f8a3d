"""One batch as the events tell it: what it is made of, and how far its life has come."""

import msgspec

from domain.events import Because, FileIdentity, SegmentFile, Source
from domain.lifecycle import BatchState


class Completion(msgspec.Struct, frozen=True):
    """When a batch completed, and where the log says so. ``at`` is in microseconds since the epoch."""

    batch: int
    position: int
    event_id: str
    correlation_id: str
    at: int


class Purge(msgspec.Struct, frozen=True):
    """An authorised purge without an outcome yet: why, what is left to delete, and when to try (microseconds)."""

    purge_id: str
    event_id: str
    correlation_id: str
    because: Because
    issued_at: int
    files: tuple[FileIdentity, ...]
    attempt: int = 1
    retry_at: int = 0


class Batch(msgspec.Struct, frozen=True):
    """One batch that is not purged.

    ``program_at`` is the wall clock time of its first segment (EXT-X-PROGRAM-DATE-TIME) and ``duration_ms`` the length
    of its longest rendition. ``discontinuities`` counts the discontinuities of the session before this batch.
    ``due`` is the completion that made the batch due (R3). ``listed``, ``longest_ms`` and ``left_at`` follow the
    playlists that held it (R13).
    """

    number: int
    state: BatchState
    attempt: int
    started_at: int
    started_by: str
    correlation_id: str
    source: Source
    present: tuple[FileIdentity, ...]
    discontinuity: bool
    discontinuities: int
    program_at: int
    failure: str = ""
    files_left: tuple[str, ...] = ()
    files: tuple[SegmentFile, ...] = ()
    bytes: int = 0
    duration_ms: int = 0
    completed: Completion | None = None
    due: Completion | None = None
    listed: bool = False
    longest_ms: int = 0
    left_at: int | None = None
    purge: Purge | None = None
