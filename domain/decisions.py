"""What a command leads to: `decide` gives the events that follow from it, or refuses it by a rule.

Nothing here changes anything; a refusal leaves no trace.
"""

from collections.abc import Callable
from typing import Any

from domain import retention
from domain.batch import Batch
from domain.commands import (
    CloseSession,
    Command,
    CompleteBatch,
    FailBatch,
    IssuePurge,
    OpenSession,
    RecordPlaylist,
    RecordPurge,
    StartBatch,
)
from domain.errors import Refused
from domain.events import (
    Availability,
    BatchCompleted,
    BatchFailed,
    BatchStarted,
    Event,
    PlaylistPublished,
    PurgeFailed,
    PurgeIssued,
    SegmentFile,
    SegmentsPurged,
    SessionClosed,
    SessionOpened,
)
from domain.lifecycle import BATCH_MOVES, SESSION_MOVES, BatchState, SessionState, Trigger
from domain.segments import (
    batch_numbers,
    expected_files,
    identity_of,
    relative_file,
)
from domain.session import Session
from domain.terms import check_terms

STDERR_TAIL_BYTES = 4096


def decide(session: Session, command: Command) -> tuple[Event, ...]:
    """The events that follow from ``command`` in the state ``session``; none if there is nothing to record.

    Raises:
        Invalid: a value of the command can never be accepted.
        Refused: a rule forbids the command in this state.

    """
    if session.opened is None and not isinstance(command, OpenSession):
        raise Refused("R20", "session", session.session_id, "it was never opened")
    return _DECISIONS[type(command)](session, command)


def _open(session: Session, command: OpenSession) -> tuple[Event, ...]:
    if session.opened is not None:
        raise Refused("R20", "channel", command.channel, f"session {session.session_id} is open already")
    check_terms(command)
    return (
        SessionOpened(
            channel=command.channel,
            ordinal=command.ordinal,
            media_root=command.media_root,
            batch_size=command.batch_size,
            renditions=command.renditions,
            naming=command.naming,
            segment_ms=command.segment_ms,
            playlist_window=command.playlist_window,
            policy=command.policy,
            discontinuities=command.discontinuities,
        ),
    )


def _start(session: Session, command: StartBatch) -> tuple[Event, ...]:
    if (session.state, Trigger.START) not in SESSION_MOVES:
        raise Refused("R20", "session", session.session_id, f"it is {session.state}; a batch cannot start")
    terms, number = session.terms, session.next_batch
    numbers = batch_numbers(number, terms.batch_size)
    _check_names_free(session, command)
    earlier = session.batches.get(number)
    return (
        BatchStarted(
            batch=number,
            attempt=earlier.attempt + 1 if earlier else 1,
            first_segment=numbers[0],
            last_segment=numbers[-1],
            source=command.source,
            present=command.present,
        ),
    )


def _check_names_free(session: Session, command: StartBatch) -> None:
    """R5: no file that a kept batch still needs may bear one of the new batch's names."""
    terms, number = session.terms, session.next_batch
    taken = dict(command.occupied)
    for batch in session.batches.values():
        for file in batch.files:
            taken[relative_file(file.rendition, file.name)] = f"batch {batch.number}, which is {batch.state}"
    for expected in expected_files(terms.naming, terms.renditions, batch_numbers(number, terms.batch_size)):
        if expected.file in taken:
            raise Refused("R5", "batch", number, f"{expected.file} is still in use by {taken[expected.file]}")


def _running(session: Session, number: int, trigger: Trigger) -> Batch:
    batch = session.running
    if (session.state, trigger) not in SESSION_MOVES or batch is None:
        raise Refused("R20", "batch", number, f"the session is {session.state}; no batch is being generated")
    if batch.number != number:
        raise Refused("R20", "batch", number, f"batch {batch.number} is being generated")
    return batch


def _complete(session: Session, command: CompleteBatch) -> tuple[Event, ...]:
    batch, terms = _running(session, command.batch, Trigger.COMPLETE), session.terms
    found = {(file.rendition, file.number): file for file in command.files}
    stale, files = set(batch.present), list[SegmentFile]()
    for expected in expected_files(terms.naming, terms.renditions, batch_numbers(batch.number, terms.batch_size)):
        file = found.pop((expected.rendition, expected.number), None)
        if file is None or file.name != expected.name:
            raise Refused("R9", "file", expected.file, "it is missing from the batch")
        if file.size <= 0:
            raise Refused("R9", "file", expected.file, "it is empty")
        if file.duration_ms <= 0:
            raise Refused("R9", "duration_ms", file.duration_ms, f"{expected.file} must last at least a millisecond")
        if identity_of(file) in stale:
            raise Refused("R9", "file", expected.file, "it was there before the batch started and has not changed")
        files.append(file)
    if found:
        extra = next(iter(found.values()))
        raise Refused("R1", "file", relative_file(extra.rendition, extra.name), "it is not of this batch")
    return (BatchCompleted(batch=batch.number, attempt=batch.attempt, files=tuple(files)),)


def _fail(session: Session, command: FailBatch) -> tuple[Event, ...]:
    batch = _running(session, command.batch, Trigger.FAIL)
    return (
        BatchFailed(
            batch=batch.number,
            attempt=batch.attempt,
            reason=command.reason,
            exit_code=command.exit_code,
            stderr_tail=command.stderr_tail.encode()[-STDERR_TAIL_BYTES:].decode(errors="ignore"),
            files_left=command.files_left,
        ),
    )


def _record_playlist(session: Session, command: RecordPlaylist) -> tuple[Event, ...]:
    terms = session.terms
    awaited = terms.ordinal > 1 and session.published is None
    if terms.policy.availability is Availability.OFF and not awaited:
        return ()
    if session.published == (command.first_segment, command.last_segment):
        return ()
    return (
        PlaylistPublished(
            first_segment=command.first_segment, last_segment=command.last_segment, duration_ms=command.duration_ms
        ),
    )


def _issue_purge(session: Session, command: IssuePurge) -> tuple[Event, ...]:
    batch = session.batches.get(command.batch)
    if batch is None and 0 <= command.batch < session.next_batch:
        raise Refused("R6", "batch", command.batch, "it is purged already")
    if batch is None:
        raise Refused("R3", "batch", command.batch, "the session has no such batch")
    if (batch.state, Trigger.ISSUE_PURGE) not in BATCH_MOVES:
        rule = "R6" if batch.state is BatchState.PURGING else "R4"
        raise Refused(rule, "batch", command.batch, f"it is {batch.state}")
    due = next((due for due in retention.due(session, command.successor) if due.batch == command.batch), None)
    if due is None:
        raise Refused("R3", "batch", command.batch, "it is not due")
    if due.because is None or due.due_at is None:
        rule = "R13" if due.because else "R19"
        raise Refused(rule, "batch", command.batch, f"it is not due yet: {due.waits_for}")
    if command.now < due.due_at:
        raise Refused("R13", "batch", command.batch, f"it is due in {(due.due_at - command.now) / 1e6:.3f} s")
    return (
        PurgeIssued(
            purge_id=command.purge_id,
            batch=batch.number,
            because=due.because,
            files=len(batch.files),
            bytes=batch.bytes,
        ),
    )


def _record_purge(session: Session, command: RecordPurge) -> tuple[Event, ...]:
    batch = session.batches.get(command.batch)
    if batch is None or batch.purge is None:
        raise Refused("R10", "batch", command.batch, "no purge of it is authorised and open")
    if command.remaining:
        return (
            PurgeFailed(
                purge_id=batch.purge.purge_id,
                batch=batch.number,
                attempt=batch.purge.attempt,
                remaining=command.remaining,
                retry_at=command.retry_at,
                deleted=command.deleted,
                bytes_freed=command.bytes_freed,
                already_absent=command.already_absent,
                superseded=command.superseded,
            ),
        )
    return (
        SegmentsPurged(
            purge_id=batch.purge.purge_id,
            batch=batch.number,
            deleted=command.deleted,
            bytes_freed=command.bytes_freed,
            already_absent=command.already_absent,
            superseded=command.superseded,
        ),
    )


def _close(session: Session, command: CloseSession) -> tuple[Event, ...]:
    if (session.state, Trigger.CLOSE) not in SESSION_MOVES:
        raise Refused(
            "R20", "session", session.session_id, f"it is {session.state}; complete or fail the running batch first"
        )
    if session.state is SessionState.CLOSED and session.disposition is command.disposition:
        raise Refused("R20", "session", session.session_id, f"it is closed already, with {command.disposition}")
    return (SessionClosed(reason=command.reason, disposition=command.disposition),)


_DECISIONS: dict[type, Callable[[Session, Any], tuple[Event, ...]]] = {
    OpenSession: _open,
    StartBatch: _start,
    CompleteBatch: _complete,
    FailBatch: _fail,
    RecordPlaylist: _record_playlist,
    IssuePurge: _issue_purge,
    RecordPurge: _record_purge,
    CloseSession: _close,
}
