"""Whether a recorded event can follow from the state before it: what `decide` would never have led to is damage.

`evolve` asks no questions, for what is recorded has happened. A verifier asks: a line that was altered together with
its hash can still be read.
"""

from domain.commands import CondemnOrphans
from domain.errors import Invalid, Refused
from domain.events import BatchCompleted, BatchStarted, Event, OrphansCondemned, SessionOpened
from domain.repairs import condemn_orphans
from domain.root import check_path
from domain.segments import batch_numbers, check_label, check_naming, expected_files
from domain.session import Session
from domain.terms import MAX_BATCH_SIZE


def unsound(session: Session, event: Event) -> str | None:
    """What no decision could have led to; None for an event that may well follow."""
    match event:
        case SessionOpened():
            return _terms(event)
        case BatchStarted() if session.opened:
            numbers = batch_numbers(session.next_batch, session.terms.batch_size)
            if (event.batch, event.first_segment, event.last_segment) != (session.next_batch, numbers[0], numbers[-1]):
                return f"BatchStarted is of batch {event.batch} with other segments than those of the next one (R1)"
        case BatchCompleted() if session.opened:
            return _files(session, event)
        case OrphansCondemned() if session.opened:
            return _removal(session, event)
    return None


def _terms(event: SessionOpened) -> str | None:
    """What no session can have been opened with; None for terms that one can live by."""
    try:
        check_label("channel", event.channel)
        for rendition in event.renditions:
            check_label("rendition", rendition)
        check_naming(event.naming)
        check_path(event.media_root.path)
    except Invalid as invalid:
        return f"SessionOpened: {invalid}"
    if not 1 <= event.batch_size <= MAX_BATCH_SIZE or event.segment_ms < 1 or not event.renditions:
        return "SessionOpened has terms that no session can be opened with"
    return None


def _files(session: Session, event: BatchCompleted) -> str | None:
    terms = session.terms
    expected = expected_files(terms.naming, terms.renditions, batch_numbers(event.batch, terms.batch_size))
    named = tuple([(file.rendition, file.number, file.name) for file in event.files])
    if named != expected and set(named) != {*expected}:  # each replay asks; most events have them in this order
        return f"BatchCompleted has other files than those of batch {event.batch} (R1)"
    if any(file.size < 1 or file.duration_ms < 1 for file in event.files):
        return "BatchCompleted has an empty file (R9)"
    return None


def _removal(session: Session, event: OrphansCondemned) -> str | None:
    """Recovery deletes what it names: there is nothing else that a removal goes by."""
    order = CondemnOrphans(removal_id=event.removal_id, files=event.files, reason=event.reason)
    try:
        return None if condemn_orphans(session, order) else "OrphansCondemned has no file"
    except (Invalid, Refused) as error:
        return f"OrphansCondemned: {error}"
