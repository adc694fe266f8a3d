"""The retention rule: which batches are due, from when, and because of what.

This is the one place to change when the rule changes. All of it is pure: the time is an argument.
"""

from collections.abc import Iterable

import msgspec

from domain.batch import Batch
from domain.commands import Successor
from domain.events import Availability, Because, Disposition
from domain.lifecycle import BatchState
from domain.segments import relative_file
from domain.session import Session

LISTED = "availability: still listed in a playlist"
SUCCESSOR = "the channel's newest two completed batches stay until those of a later session take their place"


class Due(msgspec.Struct, frozen=True):
    """A batch that is to be purged.

    ``due_at`` is the first moment at which it may go, in microseconds since the epoch; None while that is not known,
    and then ``waits_for`` says what for.
    """

    batch: int
    because: Because | None
    due_at: int | None
    waits_for: str = ""


def available_until(batch: Batch) -> int | None:
    """The end of the time for which RFC 8216 section 6.2.2 wants the batch's segments to stay (R13).

    That is the moment at which the last of them left every playlist, plus the longest duration of a segment of the
    batch, plus the duration of the longest playlist that held any of them; microseconds since the epoch. None while one
    is still listed, or before a playlist has shown whether it is.
    """
    if batch.left_at is None:
        return None
    longest_segment = max(file.duration_ms for file in batch.files)
    return batch.left_at + (longest_segment + batch.longest_ms) * 1000


def protected(session: Session, successor: Successor) -> int:
    """How many of the session's newest completed batches no purge may touch (R2, R19).

    The channel always keeps its newest ``keep_previous + 1`` completed batches, and never fewer than two. Batches of
    later sessions count once this one is closed, and then only if its batches were given up.
    """
    keep = max(2, session.terms.policy.keep_previous + 1)
    return max(0, keep - successor.completed) if _given_up(session) else keep


def due(session: Session, successor: Successor | None = None) -> tuple[Due, ...]:
    """The completed batches that are due or will be without any further event but the passing of time.

    Oldest first. A failed or running batch is never due and makes nothing due (R4). Of a session that was closed with
    disposition ``keep`` nothing is due.
    """
    if session.disposition is Disposition.KEEP:
        return ()
    successor = successor or Successor()
    completed = sorted(
        (batch for batch in session.batches.values() if batch.completed is not None), key=lambda batch: batch.number
    )
    spare = completed[: max(0, len(completed) - protected(session, successor))]
    found = [_due(session, batch, successor) for batch in spare if batch.state is BatchState.COMPLETED]
    if _given_up(session):
        found += [
            Due(batch.number, None, None, SUCCESSOR)
            for batch in completed[len(spare) :]
            if batch.state is BatchState.COMPLETED
        ]
    return tuple(found)


def kept_files(sessions: Iterable[Session]) -> tuple[tuple[str, str], ...]:
    """The files that these sessions still need, each with what to call its owner: StartBatch's ``occupied``."""
    return tuple(
        (relative_file(file.rendition, file.name), f"batch {batch.number} of session {session.session_id}")
        for session in sessions
        for batch in session.batches.values()
        for file in batch.files
    )


def _given_up(session: Session) -> bool:
    return session.disposition is Disposition.PURGE


def _due(session: Session, batch: Batch, successor: Successor) -> Due:
    if batch.due is not None:
        because = Because(rule="R3", completed_batch=batch.due.batch, completed_position=batch.due.position)
        since = batch.due.at
    else:
        assert successor.newest is not None, "it is due because of later batches"
        newest = successor.newest
        because = Because(
            rule="R19",
            completed_batch=newest.batch,
            completed_position=newest.position,
            session_id=successor.session_id,
        )
        since = newest.at
    if session.terms.policy.availability is Availability.OFF or session.terms.playlist_window == 0:
        return Due(batch.number, because, since)
    left = batch
    if batch.left_at is None and successor.published_at is not None:
        left = msgspec.structs.replace(batch, left_at=successor.published_at)
    until = available_until(left)
    return Due(batch.number, because, None, LISTED) if until is None else Due(batch.number, because, max(since, until))
