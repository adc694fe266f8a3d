"""The read model projector: session summaries and the batch ledger, one event at a time.

Rows move only together with the checkpoint that they were made from. So the projector may repeat itself, and several of
them, or one that rebuilds, may run side by side: the first to write wins, and the others read again.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from application.ports import BatchRecord, EventLog, ReadModels, SessionSummary
from domain.events import (
    BatchCompleted,
    BatchFailed,
    BatchStarted,
    PurgeFailed,
    PurgeIssued,
    Recorded,
    SegmentsPurged,
    SessionClosed,
    SessionOpened,
)
from domain.lifecycle import BatchState, SessionState

PAGE = 1000

_json = msgspec.json.Encoder()


class ReadModelProjector:
    """Keeps the read models in step with the log."""

    def __init__(self, log: EventLog, read_models: ReadModels) -> None:
        self._log, self._read_models = log, read_models

    def catch_up(self, progress: Callable[[int], None] = lambda _: None) -> int:
        """Apply every event that is recorded by now; ``progress`` hears of each position. Returns the last one.

        Raises:
            LogDamaged: as `EventLog.read`; the rows tell the log up to the page before.

        """
        while page := self._log.read(after=(checkpoint := self._read_models.checkpoint()), limit=PAGE):
            if self._apply(page, checkpoint):
                progress(page[-1].position)
        return checkpoint

    def _apply(self, page: Sequence[Recorded], after: int) -> bool:
        """Apply a page to the rows at checkpoint ``after``; False if the rows were not at it, or not any more."""
        rows = _Rows(self._read_models)
        try:
            for recorded in page:
                rows.apply(recorded)
        except LookupError:
            if self._read_models.checkpoint() == after:
                raise
            return False
        return self._read_models.apply(rows.sessions(), rows.batches(), after=after, checkpoint=page[-1].position)

    def rebuild(self, progress: Callable[[int], None] = lambda _: None) -> int:
        """Drop all rows and make them again from the log. Returns the last position."""
        self._read_models.clear()
        return self.catch_up(progress)


def ledger(history: Iterable[Recorded]) -> list[BatchRecord]:
    """The batch ledger of one session as these events alone tell it."""
    rows = _Rows(None)
    for recorded in history:
        rows.apply(recorded)
    return sorted(rows.batches(), key=lambda row: row.batch)


class _Rows:
    """The rows that a page of events touches, read when they are first needed."""

    def __init__(self, read_models: ReadModels | None) -> None:
        self._read_models = read_models
        self._sessions: dict[str, SessionSummary | None] = {}
        self._batches: dict[tuple[str, int], BatchRecord | None] = {}

    def sessions(self) -> list[SessionSummary]:
        return [row for row in self._sessions.values() if row is not None]

    def batches(self) -> list[BatchRecord]:
        return [row for row in self._batches.values() if row is not None]

    def apply(self, recorded: Recorded) -> None:
        envelope = recorded.envelope
        event: Any = envelope.event
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
            record = change(record, recorded, event)
            self._batches[envelope.session_id, record.batch] = replace(
                record, positions=(*record.positions, recorded.position)
            )
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


def _batch_started(record: BatchRecord | None, recorded: Recorded, event: BatchStarted) -> BatchRecord:
    return BatchRecord(
        session_id=recorded.envelope.session_id,
        batch=event.batch,
        state=BatchState.GENERATING,
        attempt=event.attempt,
        first_segment=event.first_segment,
        last_segment=event.last_segment,
        files=0,
        bytes=0,
        started_at=recorded.envelope.recorded_at,
        completed_at=None,
        purge_issued_at=None,
        purged_at=None,
        because=None,
        outcome=None,
        positions=record.positions if record else (),
    )


def _batch_completed(record: BatchRecord, recorded: Recorded, event: BatchCompleted) -> BatchRecord:
    return replace(
        record,
        state=BatchState.COMPLETED,
        completed_at=recorded.envelope.recorded_at,
        files=len(event.files),
        bytes=sum(file.size for file in event.files),
    )


def _batch_failed(record: BatchRecord, recorded: Recorded, event: BatchFailed) -> BatchRecord:
    return replace(record, state=BatchState.FAILED, outcome=event.reason)


def _purge_issued(record: BatchRecord, recorded: Recorded, event: PurgeIssued) -> BatchRecord:
    return replace(
        record,
        state=BatchState.PURGING,
        purge_issued_at=recorded.envelope.recorded_at,
        because=_json.encode(event.because).decode(),
    )


def _purge_failed(record: BatchRecord, recorded: Recorded, event: PurgeFailed) -> BatchRecord:
    errors = ", ".join(f"{file.name} ({file.errno})" for file in event.remaining)
    return replace(record, outcome=f"attempt {event.attempt} left {errors}")


def _segments_purged(record: BatchRecord, recorded: Recorded, event: SegmentsPurged) -> BatchRecord:
    outcome = f"{event.deleted} deleted"
    if event.already_absent:
        outcome += f", {len(event.already_absent)} already absent"
    if event.superseded:
        outcome += f", {len(event.superseded)} superseded and left alone"
    return replace(record, state=BatchState.PURGED, purged_at=recorded.envelope.recorded_at, outcome=outcome)


_BATCH_CHANGES: dict[type, Callable[[Any, Recorded, Any], BatchRecord]] = {
    BatchStarted: _batch_started,
    BatchCompleted: _batch_completed,
    BatchFailed: _batch_failed,
    PurgeIssued: _purge_issued,
    PurgeFailed: _purge_failed,
    SegmentsPurged: _segments_purged,
}

_SUMMARY_CHANGES: dict[type, Callable[[SessionSummary, Recorded, Any], dict[str, Any]]] = {
    BatchStarted: lambda row, at, event: {"state": SessionState.GENERATING},
    BatchCompleted: lambda row, at, event: {
        "state": SessionState.READY,
        "batches_completed": row.batches_completed + 1,
        "bytes_kept": row.bytes_kept + sum(file.size for file in event.files),
    },
    BatchFailed: lambda row, at, event: {"state": SessionState.FAILED},
    PurgeIssued: lambda row, at, event: {"bytes_kept": row.bytes_kept - event.bytes},
    PurgeFailed: lambda row, at, event: {"bytes_freed": row.bytes_freed + event.bytes_freed},
    SegmentsPurged: lambda row, at, event: {
        "batches_purged": row.batches_purged + 1,
        "bytes_freed": row.bytes_freed + event.bytes_freed,
    },
    SessionClosed: lambda row, at, event: {"state": SessionState.CLOSED, "closed_at": at.envelope.recorded_at},
}
