"""Folding events that come from a disk: what does not follow from the events before it is damage."""

from domain.errors import LogDamaged
from domain.events import Recorded
from domain.session import Folding, Session, evolve
from domain.soundness import unsound


def fold(session: Session, recorded: Recorded) -> Session:
    """`evolve`, for events that come from a disk.

    Raises:
        LogDamaged: the event does not follow from those before it, or no decision can have led to it.

    """
    fault = unsound(session, recorded)
    try:
        after = evolve(session, recorded)
    except (LookupError, AssertionError) as error:
        raise _does_not_follow(recorded) from error
    if fault:
        raise LogDamaged(recorded.position, fault)
    return after


def fold_in(folding: Folding, recorded: Recorded) -> None:
    """As `fold`, in place; what does not follow changes nothing."""
    if unsound(folding.draft, recorded):
        fold(folding.session(), recorded)
    try:
        folding.add(recorded)
    except (LookupError, AssertionError) as error:
        raise _does_not_follow(recorded) from error


def _does_not_follow(recorded: Recorded) -> LogDamaged:
    name = type(recorded.event).__name__
    return LogDamaged(recorded.position, f"{name} does not follow from the session's events before it")
