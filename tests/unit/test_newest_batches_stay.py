"""R19: the newest two completed batches of a channel stay, across its sessions."""

from itertools import product

import pytest

from domain import retention
from domain.commands import IssuePurge, Successor
from domain.decisions import decide
from domain.errors import Refused
from domain.events import Availability, Disposition, Policy
from domain.session import Session
from tests.builders import NOW, SECOND, a_session, an_id, closed, failed, generated, purged, started, successor

LATER = NOW + 3600 * SECOND


def by(completed: int) -> Successor:
    """What later sessions did, if they completed that many batches."""
    return successor(completed, batch=completed - 1, at=NOW + 60 * SECOND) if completed else Successor()


def can_go(session: Session, later: Successor) -> set[int]:
    """The batches whose purge would be authorised."""
    found = set()
    for number in session.batches:
        command = IssuePurge(batch=number, purge_id=an_id(1), now=LATER, successor=later)
        try:
            decide(session, command)
        except Refused:
            continue
        found.add(number)
    return found


@pytest.mark.rule("R19")
@pytest.mark.invariant(3)
@pytest.mark.parametrize(("batches", "later"), list(product(range(5), range(4))))
def test_of_a_session_that_was_given_up_as_many_stay_as_the_channel_lacks(batches: int, later: int) -> None:
    """R19: the channel's newest two completed batches stay, whichever session they are of."""
    session = closed(generated(a_session(), batches))
    channel = [("old", number) for number in range(batches)] + [("new", number) for number in range(later)]
    stay = {number for owner, number in channel[-2:] if owner == "old"}
    assert can_go(session, by(later)) == set(range(batches)) - stay


@pytest.mark.rule("R19")
@pytest.mark.parametrize("later", range(6))
def test_a_session_that_promised_more_keeps_more(later: int) -> None:
    """R19: with keep_previous = 3 the channel keeps four."""
    policy = Policy(keep_previous=3, availability=Availability.OFF)
    session = closed(generated(a_session(policy=policy), 6))
    assert can_go(session, by(later)) == set(range(min(6, 2 + later)))


@pytest.mark.rule("R19")
def test_batches_that_are_gone_already_do_not_count_again() -> None:
    """R19: after the purges of its life the session has two, and both stay."""
    session = closed(purged(purged(generated(a_session(), 4), 0), 1))
    assert can_go(session, by(0)) == set()
    assert can_go(session, by(1)) == {2}
    assert can_go(purged(session, 2), by(1)) == set()
    assert can_go(purged(session, 2), by(2)) == {3}


@pytest.mark.rule("R19")
def test_a_failed_batch_at_the_end_is_no_completed_one() -> None:
    """R19, R4: it neither goes nor takes the place of one that stays."""
    session = closed(failed(started(generated(a_session(), 2))))
    assert can_go(session, by(0)) == set()
    assert can_go(session, by(1)) == {0}
    assert can_go(session, by(5)) == {0, 1}


@pytest.mark.rule("R19")
def test_nothing_of_an_open_session_goes_on_the_word_of_another() -> None:
    """R19: not even if a session with a higher ordinal has completed batches."""
    assert can_go(generated(a_session(), 3), by(7)) == {0}


@pytest.mark.rule("R19")
def test_nothing_goes_of_a_session_that_is_kept() -> None:
    """R19."""
    assert can_go(closed(generated(a_session(), 5), Disposition.KEEP), by(7)) == set()


@pytest.mark.rule("R19")
def test_what_stays_for_the_lack_of_newer_batches_says_so() -> None:
    """R19: a plan lists it without a time."""
    session = closed(generated(a_session(), 3))
    due = {one.batch: one for one in retention.due(session, by(1))}
    assert {number: one.waits_for for number, one in due.items()} == {0: "", 1: "", 2: retention.SUCCESSOR}
    assert (due[2].because, due[2].due_at) == (None, None)
    with pytest.raises(Refused) as error:
        decide(session, IssuePurge(batch=2, purge_id=an_id(1), now=LATER, successor=by(1)))
    assert error.value.value == 2
    assert retention.SUCCESSOR in error.value.reason


@pytest.mark.rule("R19")
def test_the_refusal_for_the_lack_of_newer_batches_names_that_rule() -> None:
    """R19, R20."""
    with pytest.raises(Refused) as error:
        decide(closed(generated(a_session(), 2)), IssuePurge(batch=1, purge_id=an_id(1), now=LATER))
    assert error.value.rule == "R19"


@pytest.mark.rule("R19")
def test_a_batch_that_became_due_in_its_own_session_says_so() -> None:
    """R19, R3: the reason is the first that made it due, from that moment on."""
    session = closed(generated(a_session(), 4))
    due = {one.batch: one.because for one in retention.due(session, by(3))}
    assert {number: because and because.rule for number, because in due.items()} == {
        0: "R3",
        1: "R3",
        2: "R19",
        3: "R19",
    }
    assert due[0] is not None
    assert due[0].session_id is None


@pytest.mark.rule("R19")
@pytest.mark.invariant(3)
@pytest.mark.parametrize("keep_previous", [1, 2, 3])
def test_never_fewer_than_two_are_protected(keep_previous: int) -> None:
    """R19."""
    policy = Policy(keep_previous=keep_previous, availability=Availability.OFF)
    session = generated(a_session(policy=policy), 2)
    assert retention.protected(session, Successor()) == keep_previous + 1
    assert retention.protected(session, by(9)) == keep_previous + 1
    assert retention.protected(closed(session), by(1)) == keep_previous
    assert retention.protected(closed(session), by(9)) == 0
