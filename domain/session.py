"""A session as its events tell it: the state, and `evolve`, which folds one more event into it.

`evolve` never refuses: what is recorded has happened. Purged batches leave the state, so it stays small however long a
session runs.
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec.structs import asdict, replace

from domain import leaving, repairs
from domain.batch import Batch, Completion, Moment, Removal
from domain.events import (
    BatchCompleted,
    BatchFailed,
    BatchStarted,
    Disposition,
    OrphansCondemned,
    OrphansRemoved,
    PlaylistPublished,
    PurgeFailed,
    PurgeIssued,
    PurgeRefused,
    Recorded,
    SegmentsLost,
    SegmentsPurged,
    SessionClosed,
    SessionOpened,
    Source,
)
from domain.lifecycle import BATCH_MOVES, SESSION_MOVES, BatchState, SessionState, Trigger


class Session(msgspec.Struct, frozen=True):
    """The state of one session after ``version`` events. ``batches`` holds those that are not purged, by number."""

    session_id: str
    version: int = 0
    state: SessionState = SessionState.IDLE
    opened: SessionOpened | None = None
    opened_at: int = 0
    batches: dict[int, Batch] = {}
    next_batch: int = 0
    failures: int = 0
    completed: int = 0
    purged: int = 0
    source: Source | None = None
    discontinuities: int = 0
    program_end: int = 0
    published: tuple[int, int] | None = None
    first_published: Moment | None = None
    disposition: Disposition | None = None
    removal: Removal | None = None
    last_event_id: str | None = None

    @property
    def terms(self) -> SessionOpened:
        """What the session was opened with.

        Raises:
            LookupError: no event of this session is known.

        """
        if self.opened is None:
            raise LookupError(f"session {self.session_id} was never opened")
        return self.opened

    @property
    def running(self) -> Batch | None:
        """The batch that is being generated now, if one is."""
        return self.batches[self.next_batch] if self.state is SessionState.GENERATING else None

    @property
    def last_completed(self) -> Completion | None:
        """The newest completed batch, if it is not purged."""
        found = self.batches.get(self.next_batch - 1)
        return found.completed if found else None


def _opened(session: Session, recorded: Recorded, event: SessionOpened) -> dict[str, Any]:
    return {
        "opened": event,
        "opened_at": recorded.envelope.recorded_at,
        "discontinuities": event.discontinuities,
    }


def _started(session: Session, recorded: Recorded, event: BatchStarted) -> dict[str, Any]:
    envelope, earlier = recorded.envelope, session.batches.get(event.batch)
    # What comes after another session of the channel does not follow from it, whatever it is made from.
    changed = session.source.label != event.source.label if session.source else session.terms.naming.offset > 0
    batch = Batch(
        number=event.batch,
        state=BATCH_MOVES[earlier.state, Trigger.START] if earlier else BatchState.GENERATING,
        attempt=event.attempt,
        started_at=envelope.recorded_at,
        started_by=envelope.event_id,
        correlation_id=envelope.correlation_id,
        source=event.source,
        present=event.present,
        discontinuity=changed,
        discontinuities=session.discontinuities,
        program_at=max(session.program_end, envelope.recorded_at),
    )
    return {
        "state": SESSION_MOVES[session.state, Trigger.START],
        "batches": {event.batch: batch},
    }


def _completed(session: Session, recorded: Recorded, event: BatchCompleted) -> dict[str, Any]:
    envelope, before = recorded.envelope, session.batches[event.batch]
    completion = Completion(
        batch=event.batch,
        position=recorded.position,
        event_id=envelope.event_id,
        correlation_id=envelope.correlation_id,
        at=envelope.recorded_at,
    )
    lengths: dict[str, int] = {}
    size = 0
    for file in event.files:
        lengths[file.rendition] = lengths.get(file.rendition, 0) + file.duration_ms
        size += file.size
    batch = replace(
        before,
        state=BATCH_MOVES[before.state, Trigger.COMPLETE],
        files=event.files,
        bytes=size,
        duration_ms=max(lengths.values(), default=0),
        completed=completion,
    )
    batches = {event.batch: batch}
    due = event.batch - session.terms.policy.keep_previous - 1
    if due in session.batches:
        batches[due] = replace(session.batches[due], due=completion)
    return {
        "state": SESSION_MOVES[session.state, Trigger.COMPLETE],
        "batches": batches,
        "next_batch": event.batch + 1,
        "failures": 0,
        "completed": session.completed + 1,
        "source": batch.source,
        "discontinuities": session.discontinuities + batch.discontinuity,
        "program_end": batch.program_at + batch.duration_ms * 1000,
    }


def _failed(session: Session, recorded: Recorded, event: BatchFailed) -> dict[str, Any]:
    before = session.batches[event.batch]
    batch = replace(
        before,
        state=BATCH_MOVES[before.state, Trigger.FAIL],
        failure=event.reason,
        files_left=event.files_left,
    )
    return {
        "state": SESSION_MOVES[session.state, Trigger.FAIL],
        "batches": {event.batch: batch},
        "failures": session.failures + 1,
    }


def _closed(session: Session, recorded: Recorded, event: SessionClosed) -> dict[str, Any]:
    return {"state": SESSION_MOVES[session.state, Trigger.CLOSE], "disposition": event.disposition}


_Change = Callable[[Session, Recorded, Any], dict[str, Any]]
"""What an event makes different. Of ``batches`` it gives those that change, and None for one that leaves the state."""

_CHANGES: dict[type, _Change] = {
    SessionOpened: _opened,
    BatchStarted: _started,
    BatchCompleted: _completed,
    BatchFailed: _failed,
    PlaylistPublished: leaving.published,
    PurgeIssued: leaving.purge_issued,
    PurgeRefused: leaving.purge_refused,
    PurgeFailed: leaving.purge_failed,
    SegmentsPurged: leaving.purged,
    SegmentsLost: repairs.lost,
    OrphansCondemned: repairs.condemned,
    OrphansRemoved: repairs.removed,
    SessionClosed: _closed,
}


def evolve(session: Session, recorded: Recorded) -> Session:
    """The state after one more event of the session."""
    envelope = recorded.envelope
    changes = _CHANGES[type(envelope.event)](session, recorded, envelope.event)
    if "batches" in changes:
        changes["batches"] = _changed(dict(session.batches), changes["batches"])
    return replace(session, version=envelope.version, last_event_id=envelope.event_id, **changes)


class Folding:
    """`evolve` for many events in a row, at a fraction of its cost: the state between them is changed in place."""

    def __init__(self, session: Session) -> None:
        self.draft: Any = _Draft()
        """The state as it is now, to be looked at: it has the fields of a `Session`, and they change."""
        self._fields: dict[str, Any] = vars(self.draft)
        self._fields.update(asdict(session), batches=dict(session.batches))

    def add(self, recorded: Recorded) -> None:
        """One more event of the session."""
        envelope = recorded.envelope
        changes = _CHANGES[type(envelope.event)](self.draft, recorded, envelope.event)
        if "batches" in changes:
            changes["batches"] = _changed(self._fields["batches"], changes["batches"])
        self._fields.update(changes, version=envelope.version, last_event_id=envelope.event_id)

    def session(self) -> Session:
        """The state after the events that were added."""
        return Session(**{**self._fields, "batches": dict(self._fields["batches"])})


def replay(session_id: str, history: Iterable[Recorded]) -> Session:
    """The state after a whole history: a function of the log and nothing else (R14)."""
    folding = Folding(Session(session_id))
    for recorded in history:
        folding.add(recorded)
    return folding.session()


class _Draft:
    """The fields of a session while it is folded."""

    terms, running = Session.terms, Session.running


def _changed(batches: dict[int, Batch], changes: dict[int, Batch | None]) -> dict[int, Batch]:
    """The batches with these in their places, and without those that left."""
    for number, batch in changes.items():
        if batch is None:
            del batches[number]
        else:
            batches[number] = batch
    return batches
