"""Whether a recorded event can follow from the state before it: what `decide` would never have led to is damage.

`evolve` asks no questions, for what is recorded has happened. Who reads a log asks: a line that was altered together
with its hash can still be read. What is asked is what names on the disk, and what may go, depend on. A rule that may
become stricter is not asked here: a log that was sound would not be any more.
"""

from collections.abc import Callable
from typing import Any

from domain.errors import Invalid, Refused
from domain.events import (
    BatchCompleted,
    BatchStarted,
    Disposition,
    OrphansCondemned,
    PlaylistPublished,
    PurgeIssued,
    Recorded,
    SessionOpened,
)
from domain.lifecycle import BatchState
from domain.repairs import check_removable
from domain.root import check_root
from domain.segments import batch_numbers, check_label, check_naming, expected_names
from domain.session import Session
from domain.terms import MAX_BATCH_SIZE


def unsound(session: Session, recorded: Recorded) -> str | None:
    """What no decision could have led to; None for an event that may well follow."""
    event = recorded.event
    if ask := _QUESTIONS.get(type(event)):
        return ask(session, event) if session.opened else None
    return _terms(event, recorded.position) if isinstance(event, SessionOpened) else None


def _terms(event: SessionOpened, position: int) -> str | None:
    """What no session can have been opened with; None for terms that one can live by."""
    if not 1 <= event.ordinal <= position:  # who looks for the sessions before it would look for ever
        return f"SessionOpened is the channel's session {event.ordinal}, and comes after fewer events"
    try:
        check_label("channel", event.channel)
        for rendition in event.renditions:
            check_label("rendition", rendition)
        check_naming(event.naming)
        check_root(event.media_root)
    except Invalid as invalid:
        return f"SessionOpened: {invalid}"
    least = min(event.batch_size, event.segment_ms, event.policy.keep_previous, len(event.renditions))
    if least < 1 or event.batch_size > MAX_BATCH_SIZE or event.playlist_window < 0:
        return "SessionOpened has terms that no session can be opened with"
    return None


def _start(session: Session, event: BatchStarted) -> str | None:
    numbers = batch_numbers(session.next_batch, session.terms.batch_size)
    if (event.batch, event.first_segment, event.last_segment) == (session.next_batch, numbers[0], numbers[-1]):
        return None
    return f"BatchStarted is of batch {event.batch} with other segments than those of the next one (R1)"


def _files(session: Session, event: BatchCompleted) -> str | None:
    terms = session.terms
    expected = expected_names(terms.naming, terms.renditions, batch_numbers(event.batch, terms.batch_size))
    named = [(file.rendition, file.number, file.name) for file in event.files]
    if named != expected and set(named) != set(expected):  # each replay asks; most events have them in this order
        return f"BatchCompleted has other files than those of batch {event.batch} (R1)"
    for file in event.files:
        if file.size < 1 or file.duration_ms < 1:
            return "BatchCompleted has an empty file (R9)"
    return None


def _published(session: Session, event: PlaylistPublished) -> str | None:
    """What left a playlist, and when, goes by it (R13)."""
    if 0 <= event.first_segment <= event.last_segment < session.next_batch * session.terms.batch_size:
        return None
    return f"PlaylistPublished lists segments {event.first_segment} to {event.last_segment}, of batches that never were"


def _purge(session: Session, event: PurgeIssued) -> str | None:
    """Files go by it. Of the batches of a closed session only the channel knows when they may: the purger asks it."""
    batch, because = session.batches.get(event.batch), event.because
    if batch is None or batch.state is not BatchState.COMPLETED:
        return None  # it does not follow at all
    if (event.files, event.bytes) != (len(batch.files), batch.bytes):
        return f"PurgeIssued is of other files than those of batch {batch.number} (R6)"
    if session.disposition is Disposition.KEEP:
        return f"PurgeIssued is of batch {batch.number} of a session whose batches are kept"
    if batch.due is None:
        given_up = session.disposition is Disposition.PURGE and because.rule == "R19" and because.session_id
        return None if given_up else f"PurgeIssued is of batch {batch.number}, which is not due (R3)"
    if because.rule != "R3" or because.completed_batch != batch.due.batch:
        return f"PurgeIssued is of batch {batch.number} because of another batch than made it due (R3)"
    return None


def _removal(session: Session, event: OrphansCondemned) -> str | None:
    """Recovery deletes what it names: there is nothing else that a removal goes by."""
    try:
        check_removable(session, event.files)
    except (Invalid, Refused) as error:
        return f"OrphansCondemned: {error}"
    return None if event.files else "OrphansCondemned has no file"


_QUESTIONS: dict[type, Callable[[Session, Any], str | None]] = {
    BatchStarted: _start,
    BatchCompleted: _files,
    PlaylistPublished: _published,
    PurgeIssued: _purge,
    OrphansCondemned: _removal,
}
