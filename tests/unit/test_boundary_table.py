"""The N-2 rule, N = 0 to 5, with up to two failures in every place: what is due after each event, and what stays.

The expectation is set arithmetic over the batches that completed; it knows nothing of the domain's own rule.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import combinations_with_replacement

import pytest

from domain import retention
from domain.commands import IssuePurge
from domain.decisions import decide
from domain.errors import Refused
from domain.events import Policy
from domain.session import Session
from tests.builders import NOW, OFF, SECOND, a_session, an_id, completed, failed, generated, purged, started

BATCHES = range(6)
LATER = NOW + 3600 * SECOND
PLACEMENTS = [placement for count in range(3) for placement in combinations_with_replacement(BATCHES, count)]


def name_of(placement: tuple[int, ...]) -> str:
    return "failures of " + (" and ".join(map(str, placement)) or "none")


def steps(placement: tuple[int, ...], session: Session) -> Iterator[tuple[str, int, Session]]:
    """Every event of a history in which these batches fail first; what happened, to which batch, and the state."""
    for number in BATCHES:
        for _ in range(Counter(placement)[number]):
            session = started(session)
            yield "started", number, session
            session = failed(session)
            yield "failed", number, session
        session = started(session)
        yield "started", number, session
        session = completed(session)
        yield "completed", number, session


def due_numbers(session: Session) -> set[int]:
    return {due.batch for due in retention.due(session)}


def refusal(session: Session, number: int) -> str | None:
    """The rule by which a purge of this batch is refused now; None if it is authorised."""
    try:
        decide(session, IssuePurge(batch=number, purge_id=an_id(1), now=LATER))
    except Refused as refused:
        return refused.rule
    return None


@pytest.mark.rule("R2", "R3", "R4")
@pytest.mark.invariant(3)
@pytest.mark.parametrize("placement", PLACEMENTS, ids=name_of)
def test_exactly_the_batches_before_the_newest_two_completed_ones_are_due(placement: tuple[int, ...]) -> None:
    """R2, R3, R4: after each event, without a projector."""
    finished: set[int] = set()
    for what, number, session in steps(placement, a_session()):
        if what == "completed":
            finished.add(number)
        due = {batch for batch in finished if batch + 2 in finished}
        assert due_numbers(session) == due, (what, number)
        authorised = {batch for batch in range(number + 2) if refusal(session, batch) is None}
        assert authorised == due, (what, number)


@pytest.mark.rule("R2", "R3", "R4", "R6")
@pytest.mark.invariant(3)
@pytest.mark.parametrize("placement", PLACEMENTS, ids=name_of)
def test_a_projector_that_is_never_late_keeps_exactly_two_completed_batches(placement: tuple[int, ...]) -> None:
    """R2, R3, R4: what is due goes at once; N-1 and, until N has completed, N-2 stay."""
    session, gone = a_session(), set[int]()
    for number in BATCHES:
        for _ in range(Counter(placement)[number]):
            session = failed(started(session))
            assert due_numbers(session) == set()
        session = started(session)
        assert {one for one in (number - 1, number - 2) if one >= 0} <= session.batches.keys()
        session = completed(session)
        assert due_numbers(session) == {one for one in [number - 2] if one >= 0}
        for due in due_numbers(session):
            session, gone = purged(session, due), gone | {due}
        assert session.batches.keys() == {one for one in (number - 1, number) if one >= 0}
    assert gone == {0, 1, 2, 3}


@pytest.mark.rule("R3")
@pytest.mark.parametrize("batches", [0, 1, 2])
def test_nothing_is_due_while_fewer_than_three_batches_exist(batches: int) -> None:
    """R3."""
    assert due_numbers(generated(a_session(), batches)) == set()


@pytest.mark.rule("R3")
def test_the_completion_of_a_batch_is_why_the_batch_two_before_goes() -> None:
    """R3: and it is due from that moment on, not earlier and not later."""
    session = generated(a_session(), 3)
    (due,) = retention.due(session)
    completion = session.batches[2].completed
    assert completion is not None
    assert due.because is not None
    assert (due.because.rule, due.because.completed_batch) == ("R3", 2)
    assert (due.because.completed_position, due.due_at) == (completion.position, completion.at)


@pytest.mark.rule("R4")
@pytest.mark.invariant(3)
@pytest.mark.parametrize("failures", [1, 2, 20])
def test_a_batch_that_keeps_failing_makes_nothing_due(failures: int) -> None:
    """R4: however often it fails, N-1 and N-2 stay."""
    session = purged(generated(a_session(), 3), 0)
    for _ in range(failures):
        session = failed(started(session))
        assert due_numbers(session) == set()
    assert {1, 2} <= session.batches.keys()
    assert session.failures == failures


@pytest.mark.rule("R4")
def test_a_failed_batch_is_tried_again_under_its_number_as_the_next_attempt() -> None:
    """R4: and a completed one ends the count of failures in a row."""
    session = failed(started(failed(started(generated(a_session(), 1)))))
    assert (session.next_batch, session.batches[1].attempt) == (1, 2)
    session = completed(started(session))
    assert (session.next_batch, session.batches[1].attempt, session.failures) == (2, 3, 0)


@pytest.mark.rule("R2", "R3")
@pytest.mark.parametrize("keep_previous", [1, 2, 5])
def test_more_batches_stay_when_the_policy_says_so(keep_previous: int) -> None:
    """R2: ``keep_previous`` batches stay beside the newest."""
    policy = Policy(keep_previous=keep_previous, availability=OFF.availability)
    session = generated(a_session(policy=policy), 8)
    assert due_numbers(session) == set(range(8 - keep_previous - 1))


def test_a_batch_that_is_being_purged_is_not_due_again() -> None:
    session = generated(a_session(), 4)
    assert [due.batch for due in retention.due(session)] == [0, 1], "oldest first"
    assert due_numbers(purged(session, 1)) == {0}, "an outcome that came out of turn changes nothing for the others"
