"""What a command leads to: `decide` gives the events that follow from it, or refuses it by a rule.

Nothing here changes anything; a refusal leaves no trace.
"""

from collections.abc import Callable
from typing import Any

from domain.batch import Batch
from domain.commands import (
    CloseSession,
    Command,
    CompleteBatch,
    CondemnOrphans,
    FailBatch,
    IssuePurge,
    OpenSession,
    RecordLoss,
    RecordPlaylist,
    RecordPurge,
    RecordRemoval,
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
    SegmentFile,
    SessionClosed,
    SessionOpened,
)
from domain.lifecycle import SESSION_MOVES, SessionState, Trigger
from domain.purging import issue_purge, record_purge
from domain.repairs import condemn_orphans, record_loss, record_removal
from domain.segments import batch_numbers, expected_files, identity_of, relative_file
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
    if session.removal:
        taken |= dict.fromkeys((file.file for file in session.removal.files), "a removal of orphans without an outcome")
    for batch in session.batches.values():
        for file in batch.files:
            taken[relative_file(file.rendition, file.name)] = f"batch {batch.number}, {_standing(batch)}"
    for expected in expected_files(terms.naming, terms.renditions, batch_numbers(number, terms.batch_size)):
        if expected.file in taken:
            raise Refused("R5", "batch", number, f"{expected.file} is still in use by {taken[expected.file]}")


def _standing(batch: Batch) -> str:
    if batch.refusal is None:
        return f"which is {batch.state}"
    return f"which waits for somebody to confirm its purge (R19), plan {batch.refusal.plan}"


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
            first_segment=command.first_segment,
            last_segment=command.last_segment,
            duration_ms=command.duration_ms,
            uptime=command.uptime,
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
    IssuePurge: issue_purge,
    RecordPurge: record_purge,
    RecordLoss: record_loss,
    CondemnOrphans: condemn_orphans,
    RecordRemoval: record_removal,
    CloseSession: _close,
}
