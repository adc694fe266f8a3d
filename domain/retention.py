"""The retention rule: which batches are due, from when, and because of what.

This is the one place to change when the rule changes. All of it is pure: the time is an argument.
"""

from collections.abc import Iterable

import msgspec

from domain.batch import Batch, Moment
from domain.commands import Successor
from domain.events import Availability, Because, Disposition
from domain.leaving import missed_ms
from domain.lifecycle import BatchState
from domain.segments import relative_file
from domain.session import Session

LISTED = "availability: still listed in a playlist"
SUCCESSOR = "the channel's newest two completed batches stay until those of a later session take their place"


class Due(msgspec.Struct, frozen=True):
    """A batch that is to be purged.

    ``due_at`` is the first moment at which it may go, in microseconds since the epoch, as the log's times have it; None
    while that is not known. ``wait_us`` have to pass after it ``left`` the playlist; without ``left`` there is nothing
    to wait for. ``waits_for`` says what it waits for beside the time, ``plan`` what has to be confirmed, if that is it.
    """

    batch: int
    because: Because | None
    due_at: int | None
    waits_for: str = ""
    plan: str | None = None
    left: Moment | None = None
    wait_us: int = 0

    def by(self, now: Moment) -> int | None:
        """``due_at`` by the wall clock as it is now, which may have been set since: not before the wait has passed.

        What has passed is measured, so a clock that is set never shortens a wait, nor prolongs one.
        """
        if self.due_at is None:
            return None
        remaining = self.wait_us - now.since(self.left) if self.left else 0
        return now.at + remaining if remaining > 0 else min(self.due_at, now.at)


def available_until(batch: Batch) -> int | None:
    """The end of the time for which RFC 8216 section 6.2.2 wants the batch's segments to stay (R13).

    That is the moment at which the last of them left every playlist, plus the wait; microseconds since the epoch. None
    while one is still listed, or before a playlist has shown whether it is.
    """
    return None if batch.left is None else batch.left.at + wait_us(batch)


def wait_us(batch: Batch) -> int:
    """How long the batch's segments have to stay after the last of them left every playlist (R13), in microseconds.

    The longest duration of a segment of the batch, and the duration of the longest playlist that held any of them.
    """
    return (max((file.duration_ms for file in batch.files), default=0) + batch.longest_ms) * 1000


def protected(session: Session, successor: Successor) -> int:
    """How many of the session's newest completed batches no purge may touch (R2, R19).

    The channel always keeps its newest ``keep_previous + 1`` completed batches, and never fewer than two. Batches of
    later sessions count once this one is closed, and then only if its batches were given up.
    """
    keep = _newest(session)
    return max(0, keep - successor.completed) if _given_up(session) else keep


def is_among_the_newest(session: Session, batch: int, successor: Successor | None = None) -> bool:
    """Whether a completed batch is one of those that the channel always keeps. What was once due never is again."""
    successor = successor or Successor()
    newer = sum(one.completed is not None for number, one in session.batches.items() if number > batch)
    return newer + successor.completed < _newest(session)


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
    """The files whose names these sessions still hold, each with what to call its holder: StartBatch's ``occupied``."""
    kept: list[tuple[str, str]] = []
    for session in sessions:
        for batch in session.batches.values():
            holder = f"batch {batch.number} of session {session.session_id}"
            kept += [(relative_file(file.rendition, file.name), holder) for file in batch.files]
        if session.removal:
            holder = f"a removal of orphans without an outcome, of session {session.session_id}"
            kept += [(file.file, holder) for file in session.removal.files]
    return tuple(kept)


def _newest(session: Session) -> int:
    return max(2, session.terms.policy.keep_previous + 1)


def _given_up(session: Session) -> bool:
    return session.disposition is Disposition.PURGE


def _due(session: Session, batch: Batch, successor: Successor) -> Due:
    found = _due_by_time(session, batch, successor)
    if batch.refusal is None or found.waits_for:
        return found
    few = f"only {batch.refusal.matching} of its {len(batch.files)} files are what was recorded"
    confirm = f"trailkeep purge --confirm {batch.refusal.plan}"
    return msgspec.structs.replace(found, waits_for=f"R19: {few}; look, then: {confirm}", plan=batch.refusal.plan)


def _due_by_time(session: Session, batch: Batch, successor: Successor) -> Due:
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
    if batch.left is None and successor.published is not None:
        longest_ms = max(batch.longest_ms, missed_ms(session))
        batch = msgspec.structs.replace(batch, left=successor.published, longest_ms=longest_ms)
    if batch.left is None:
        return Due(batch.number, because, None, LISTED)
    wait = wait_us(batch)
    return Due(batch.number, because, max(since, batch.left.at + wait), left=batch.left, wait_us=wait)
