"""The same history for both event stores: a session of Trailkeep's, and an aggregate of the peer's that folds the same.

A batch of five segments is started, completed, and purged two batches later, so the state stays small.
"""

from collections.abc import Iterator
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.sqlite import SQLiteApplicationRecorder

from domain.events import (
    SCHEMA,
    BatchCompleted,
    BatchStarted,
    Because,
    Envelope,
    Event,
    MediaRoot,
    Naming,
    Policy,
    PurgeIssued,
    SegmentFile,
    SegmentsPurged,
    SessionOpened,
    Source,
)
from domain.segments import DEFAULT_PATTERN, DEFAULT_WRAP
from entrypoints.world import SystemClock, Uuids

BATCH_SIZE = 5
_CLOCK, _IDS = SystemClock(), Uuids()


def a_session_id(number: int) -> str:
    """The id of a session of the benchmarks."""
    return str(uuid5(NAMESPACE_URL, f"benchmark/{number}"))


def an_envelope(session_id: str, version: int, what: Event) -> Envelope:
    """The event as a process records it now."""
    return Envelope(
        event_id=_IDS.new(),
        session_id=session_id,
        version=version,
        recorded_at=_CLOCK.now(),
        actor="producer",
        worker="bench:1",
        correlation_id=session_id,
        causation_id=None,
        policy="keep_previous=1 availability=off",
        schema=SCHEMA,
        event=what,
    )


def opened(size: int = BATCH_SIZE) -> SessionOpened:
    """The first event of a session with so many files in a batch."""
    return SessionOpened(
        channel="news",
        ordinal=1,
        media_root=MediaRoot(path="/srv/hls", root_id=a_session_id(0)),
        batch_size=size,
        renditions=("v",),
        naming=Naming(pattern=DEFAULT_PATTERN, wrap=DEFAULT_WRAP),
        segment_ms=2000,
        playlist_window=size * 2,
        policy=Policy(),
    )


def started(batch: int, size: int = BATCH_SIZE) -> BatchStarted:
    """A batch began."""
    first = batch * size
    source = Source(label="bars and tone #1a2b3c4d", producer="trailkeep", position="00:00:00.000")
    return BatchStarted(batch=batch, attempt=1, first_segment=first, last_segment=first + size - 1, source=source)


def completed(batch: int, size: int = BATCH_SIZE) -> BatchCompleted:
    """It ended well."""
    first = batch * size
    return BatchCompleted(batch=batch, attempt=1, files=tuple(map(_file, range(first, first + size))))


def batches(size: int = BATCH_SIZE) -> Iterator[Event]:
    """What follows the opening, without end: four events a batch, one of which lists the files."""
    batch = 0
    while True:
        yield started(batch, size)
        yield completed(batch, size)
        if (old := batch - 2) >= 0:
            purge_id = a_session_id(old)
            because = Because(rule="R3", completed_batch=batch, completed_position=batch * 4)
            many = sum(file.size for file in completed(old, size).files)
            yield PurgeIssued(purge_id=purge_id, batch=old, because=because, files=size, bytes=many)
            yield SegmentsPurged(purge_id=purge_id, batch=old, deleted=size, bytes_freed=many)
        batch += 1


def _file(number: int) -> SegmentFile:
    return SegmentFile(
        rendition="v",
        number=number,
        name=f"v_segment_{number % DEFAULT_WRAP:03d}.ts",
        size=200_000 + number,
        mtime_ns=1_800_000_000_000_000_000 + number,
        inode=10_000 + number,
        duration_ms=2000,
    )


class PeerSession(Aggregate):
    """The session as the peer's users write it: an aggregate whose decorated methods are its events."""

    def __init__(self, terms: dict[str, Any]) -> None:
        self.terms = terms
        self.batches: dict[int, dict[str, Any]] = {}
        self.state = "idle"
        self.bytes_freed = 0

    @event("BatchStarted")
    def start(self, batch: int, facts: dict[str, Any]) -> None:
        """A batch began."""
        self.batches[batch] = {"state": "generating", **facts}
        self.state = "generating"

    @event("BatchCompleted")
    def complete(self, batch: int, files: list[dict[str, Any]]) -> None:
        """It ended well."""
        self.batches[batch] = {**self.batches[batch], "state": "completed", "files": files}
        self.state = "ready"

    @event("PurgeIssued")
    def issue_purge(self, batch: int, facts: dict[str, Any]) -> None:
        """Its deletion was authorised."""
        self.batches[batch] = {**self.batches[batch], "state": "purging", "purge": facts}

    @event("SegmentsPurged")
    def purge(self, batch: int, facts: dict[str, Any]) -> None:
        """Its files are gone."""
        del self.batches[batch]
        self.bytes_freed += facts["bytes_freed"]


def peer_session() -> PeerSession:
    """An opened one."""
    return PeerSession(terms=msgspec.to_builtins(opened()))


def tell_peer(session: PeerSession, what: Event) -> None:
    """Make the same event happen to the peer's aggregate."""
    facts = msgspec.to_builtins(what)
    batch = facts.pop("batch")
    match what:
        case BatchStarted():
            session.start(batch, facts)
        case BatchCompleted():
            session.complete(batch, facts["files"])
        case PurgeIssued():
            session.issue_purge(batch, facts)
        case SegmentsPurged():
            session.purge(batch, facts)


def peer_application(path: str) -> Application[Any]:
    """The peer over a SQLite file, as durable as Trailkeep's."""
    application: Application[Any] = Application(
        env={"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": path}
    )
    assert isinstance(application.recorder, SQLiteApplicationRecorder)
    with application.recorder.datastore.transaction(commit=False) as cursor:
        cursor.execute("PRAGMA synchronous")
        assert cursor.fetchone()[0] == 2, "the peer must flush every commit: synchronous=FULL"
    return application
