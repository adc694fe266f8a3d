"""What one event does to the rows of the read models: session summaries and the batch ledger."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from application.ports import BatchRecord, ReadModels, SessionSummary
from domain.events import (
    OF_ROOTS,
    BatchCompleted,
    BatchFailed,
    BatchStarted,
    OrphansRemoved,
    PurgeFailed,
    PurgeIssued,
    PurgeRefused,
    Recorded,
    SegmentsLost,
    SegmentsPurged,
    SessionClosed,
    SessionOpened,
)
from domain.lifecycle import BatchState, SessionState

_json = msgspec.json.Encoder()

Changes = dict[str, Any]
"""The fields of a row that an event changes."""


class Rows:
    """The rows that events touch, read when they are first needed; without read models all of them come from events."""

    def __init__(self, read_models: ReadModels | None) -> None:
        self._read_models = read_models
        self._sessions: dict[str, SessionSummary | None] = {}
        self._batches: dict[tuple[str, int], BatchRecord | None] = {}
        self._purged: list[tuple[str, int]] = []

    def sessions(self) -> list[SessionSummary]:
        """Those of sessions."""
        return [row for row in self._sessions.values() if row is not None]

    def batches(self) -> list[BatchRecord]:
        """Those of batches."""
        return [row for row in self._batches.values() if row is not None]

    def drop_purged(self) -> list[BatchRecord]:
        """Take the rows of purged batches out: no further event touches them."""
        purged = [self._batches.pop(key) for key in self._purged]
        self._purged.clear()
        return [row for row in purged if row is not None]

    def absorb(self, others: "Rows") -> None:
        """Take the rows of other sessions in."""
        self._sessions |= others._sessions
        self._batches |= others._batches
        self._purged += others._purged

    def prefetch(self, page: Iterable[Recorded]) -> None:
        """Read the rows that a page touches, all at once: one by one they cost more than all the rest."""
        if self._read_models is None:
            return
        sessions: set[str] = set()
        batches: set[tuple[str, int]] = set()
        for recorded in page:
            event: Any = recorded.envelope.event
            if isinstance(event, OF_ROOTS):
                continue
            sessions.add(recorded.envelope.session_id)
            if type(event) in _BATCH_CHANGES:
                batches.add((recorded.envelope.session_id, event.batch))
        self._sessions.update(dict.fromkeys(sessions))
        self._sessions.update((row.session_id, row) for row in self._read_models.summaries(sessions))
        self._batches.update(dict.fromkeys(batches))
        self._batches.update(((row.session_id, row.batch), row) for row in self._read_models.records(batches))

    def apply(self, recorded: Recorded) -> None:
        """Change the rows as one more event says.

        Raises:
            LookupError: a row that it follows from is not there.

        """
        envelope = recorded.envelope
        event: Any = envelope.event
        if isinstance(event, OF_ROOTS):
            return
        if isinstance(event, SessionOpened):
            self._sessions[envelope.session_id] = _opened(recorded, event)
            return
        summary = self._session(envelope.session_id)
        if summary is None:
            raise LookupError(f"position {recorded.position} comes before its session was opened")
        if change := _BATCH_CHANGES.get(type(event)):
            record = self._batch(envelope.session_id, event.batch)
            if record is None and not isinstance(event, BatchStarted):
                raise LookupError(f"position {recorded.position} comes before its batch was started")
            changed = change(record, recorded, event)
            changed["positions"] = (*record.positions, recorded.position) if record else (recorded.position,)
            row = replace(record, **changed) if record else BatchRecord(**changed)
            self._batches[envelope.session_id, row.batch] = row
            if row.state == BatchState.PURGED:
                self._purged.append((envelope.session_id, row.batch))
        changes = _SUMMARY_CHANGES[type(event)](summary, recorded, event) if type(event) in _SUMMARY_CHANGES else {}
        self._sessions[envelope.session_id] = replace(
            summary, version=envelope.version, last_position=recorded.position, **changes
        )

    def _session(self, session_id: str) -> SessionSummary | None:
        if session_id not in self._sessions:
            self._sessions[session_id] = self._read_models.session(session_id) if self._read_models else None
        return self._sessions[session_id]

    def _batch(self, session_id: str, number: int) -> BatchRecord | None:
        key = session_id, number
        if key not in self._batches:
            found = self._read_models.batches(session_id, numbers=[number]) if self._read_models else []
            self._batches[key] = found[0] if found else None
        return self._batches[key]


def _opened(recorded: Recorded, event: SessionOpened) -> SessionSummary:
    envelope = recorded.envelope
    return SessionSummary(
        session_id=envelope.session_id,
        channel=event.channel,
        ordinal=event.ordinal,
        state=SessionState.IDLE,
        root=event.media_root.path,
        root_id=event.media_root.root_id,
        opened_at=envelope.recorded_at,
        closed_at=None,
        version=envelope.version,
        batches_completed=0,
        batches_purged=0,
        bytes_kept=0,
        bytes_freed=0,
        last_position=recorded.position,
    )


def _batch_started(_: BatchRecord | None, recorded: Recorded, event: BatchStarted) -> Changes:
    """Every field but the positions."""
    return {
        "session_id": recorded.envelope.session_id,
        "batch": event.batch,
        "state": BatchState.GENERATING,
        "attempt": event.attempt,
        "first_segment": event.first_segment,
        "last_segment": event.last_segment,
        "files": 0,
        "bytes": 0,
        "started_at": recorded.envelope.recorded_at,
        "completed_at": None,
        "purge_issued_at": None,
        "purged_at": None,
        "because": None,
        "outcome": None,
    }


def _batch_completed(record: BatchRecord, recorded: Recorded, event: BatchCompleted) -> Changes:
    return {
        "state": BatchState.COMPLETED,
        "completed_at": recorded.envelope.recorded_at,
        "files": len(event.files),
        "bytes": sum(file.size for file in event.files),
    }


def _batch_failed(record: BatchRecord, recorded: Recorded, event: BatchFailed) -> Changes:
    told = event.reason.replace("\0", "\N{REPLACEMENT CHARACTER}")  # not every database keeps a zero in its text
    return {"state": BatchState.FAILED, "outcome": told}


def _purge_issued(record: BatchRecord, recorded: Recorded, event: PurgeIssued) -> Changes:
    return {
        "state": BatchState.PURGING,
        "purge_issued_at": recorded.envelope.recorded_at,
        "because": _json.encode(event.because).decode(),
    }


def _purge_refused(record: BatchRecord, recorded: Recorded, event: PurgeRefused) -> Changes:
    found = f"{event.matching} of {record.files} files are what was recorded"
    return {"outcome": f"purge refused: only {found}; it waits for plan {event.plan[:12]}"}


def _segments_lost(record: BatchRecord, recorded: Recorded, event: SegmentsLost) -> Changes:
    lost = sum(file.size for file in event.files)
    outcome = f"{len(event.files)} of {record.files} files lost: an operator took note"
    return {"outcome": outcome, "files": record.files - len(event.files), "bytes": record.bytes - lost}


def _purge_failed(record: BatchRecord, recorded: Recorded, event: PurgeFailed) -> Changes:
    errors = ", ".join(f"{file.name} ({file.errno})" for file in event.remaining)
    return {"outcome": f"attempt {event.attempt} left {errors}"}


def _segments_purged(record: BatchRecord, recorded: Recorded, event: SegmentsPurged) -> Changes:
    outcome = f"{event.deleted} deleted"
    if event.already_absent:
        outcome += f", {len(event.already_absent)} already absent"
    if event.superseded:
        outcome += f", {len(event.superseded)} superseded and left alone"
    earlier = record.files - event.deleted - len(event.already_absent) - len(event.superseded)
    if earlier > 0:  # the counts of an outcome are those of its attempt
        outcome += f", {earlier} settled by earlier attempts"
    return {"state": BatchState.PURGED, "purged_at": recorded.envelope.recorded_at, "outcome": outcome}


_BATCH_CHANGES: dict[type, Callable[[Any, Recorded, Any], Changes]] = {
    BatchStarted: _batch_started,
    BatchCompleted: _batch_completed,
    BatchFailed: _batch_failed,
    PurgeIssued: _purge_issued,
    PurgeRefused: _purge_refused,
    SegmentsLost: _segments_lost,
    PurgeFailed: _purge_failed,
    SegmentsPurged: _segments_purged,
}

_SUMMARY_CHANGES: dict[type, Callable[[SessionSummary, Recorded, Any], Changes]] = {
    BatchStarted: lambda row, at, event: {"state": SessionState.GENERATING},
    BatchCompleted: lambda row, at, event: {
        "state": SessionState.READY,
        "batches_completed": row.batches_completed + 1,
        "bytes_kept": row.bytes_kept + sum(file.size for file in event.files),
    },
    BatchFailed: lambda row, at, event: {"state": SessionState.FAILED},
    PurgeIssued: lambda row, at, event: {"bytes_kept": row.bytes_kept - event.bytes},
    PurgeFailed: lambda row, at, event: {"bytes_freed": row.bytes_freed + event.bytes_freed},
    SegmentsLost: lambda row, at, event: {"bytes_kept": row.bytes_kept - sum(file.size for file in event.files)},
    OrphansRemoved: lambda row, at, event: {"bytes_freed": row.bytes_freed + event.bytes_freed},
    SegmentsPurged: lambda row, at, event: {
        "batches_purged": row.batches_purged + 1,
        "bytes_freed": row.bytes_freed + event.bytes_freed,
    },
    SessionClosed: lambda row, at, event: {"state": SessionState.CLOSED, "closed_at": at.envelope.recorded_at},
}
