"""One batch as the events tell it: what it is made of, and how far its life has come."""

from collections.abc import Iterable

import msgspec

from domain.events import Because, FileIdentity, SegmentFile, Source, Uptime
from domain.lifecycle import BatchState


class Moment(msgspec.Struct, frozen=True):
    """What the wall clock showed (microseconds since the epoch), and the machine's uptime then, if it is known."""

    at: int
    uptime: Uptime | None = None

    def since(self, earlier: "Moment") -> int:
        """Microseconds that have passed since then, at least, whatever the wall clock was set to in between.

        After a restart of the machine only the time since the restart is known to have passed. On another machine it
        is what its wall clock says, and no more than that machine has been running. Where an uptime is not known there
        is but the wall clock.
        """
        by_clock = self.at - earlier.at
        if self.uptime is None or earlier.uptime is None:
            return by_clock
        if earlier.uptime.boot == self.uptime.boot:
            return self.uptime.us - earlier.uptime.us
        return self.uptime.us if earlier.uptime.host == self.uptime.host else min(self.uptime.us, by_clock)


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


class Removal(msgspec.Struct, frozen=True):
    """An authorised removal of orphans without an outcome yet."""

    removal_id: str
    event_id: str
    correlation_id: str
    files: tuple[FileIdentity, ...]


class Refusal(msgspec.Struct, frozen=True):
    """Why a due batch is not purged by itself: ``matching`` of its files were what they should be; see PurgeRefused."""

    plan: str
    matching: int


class Batch(msgspec.Struct, frozen=True):
    """One batch that is not purged.

    ``program_at`` is the wall clock time of its first segment (EXT-X-PROGRAM-DATE-TIME) and ``duration_ms`` the length
    of its longest rendition. ``discontinuities`` counts the discontinuities of the session before this batch.
    ``due`` is the completion that made the batch due (R3). ``listed``, ``longest_ms`` and ``left`` follow the
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
    left: Moment | None = None
    purge: Purge | None = None
    refusal: Refusal | None = None


def longest_possible_ms(batches: Iterable[Batch], window: int) -> int:
    """What no playlist of ``window`` of these batches' segments exceeds, in milliseconds."""
    return window * max((file.duration_ms for batch in batches for file in batch.files), default=0)
