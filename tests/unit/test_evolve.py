"""The fold: what is recorded has happened, so every kind of event has its change, and none is refused."""

import pytest

from domain import decisions, session
from domain.commands import Command
from domain.events import EVENT_TYPES, OF_ROOTS, Disposition
from domain.lifecycle import BatchState, SessionState
from domain.session import Session
from tests.builders import NOW, SECOND, a_session, an_id, closed, completed, failed, generated, purging, started


@pytest.mark.rule("R14")
def test_every_kind_of_event_changes_the_state_in_its_own_way() -> None:
    """R14: those of a media root are a stream of their own."""
    assert session._CHANGES.keys() == set(EVENT_TYPES.values()) - set(OF_ROOTS)


def test_every_kind_of_command_is_decided() -> None:
    assert decisions._DECISIONS.keys() == set(Command.__args__)


@pytest.mark.parametrize(
    ("state", "expected", "batch"),
    [
        (a_session(), SessionState.IDLE, None),
        (started(a_session()), SessionState.GENERATING, BatchState.GENERATING),
        (failed(started(a_session())), SessionState.FAILED, BatchState.FAILED),
        (started(failed(started(a_session()))), SessionState.GENERATING, BatchState.GENERATING),
        (generated(a_session()), SessionState.READY, BatchState.COMPLETED),
        (purging(generated(a_session()), 0), SessionState.READY, BatchState.PURGING),
        (closed(generated(a_session())), SessionState.CLOSED, BatchState.COMPLETED),
    ],
)
def test_the_states_follow_from_the_events(state: Session, expected: SessionState, batch: BatchState | None) -> None:
    assert state.state is expected
    assert (state.batches[0].state if state.batches else None) is batch


def test_the_state_knows_how_far_it_goes() -> None:
    state = generated(a_session(7), 2)
    assert (state.session_id, state.version, state.last_event_id) == (an_id(7), 5, an_id(1005))
    assert (state.opened_at, state.next_batch, state.completed, state.purged) == (NOW, 2, 2, 0)


def test_only_the_batch_that_is_being_generated_is_running() -> None:
    state = started(generated(a_session()))
    assert state.running is not None
    assert (state.running.number, state.running.started_at) == (1, NOW + 3 * SECOND)
    assert completed(state).running is failed(state).running is None


def test_the_newest_completed_batch_is_known_until_it_is_purged() -> None:
    state = started(generated(a_session(), 2))
    last = state.last_completed
    assert last is not None
    assert (last.batch, last.position, last.event_id, last.at) == (1, 5, an_id(1005), NOW + 4 * SECOND)
    assert a_session().last_completed is None


def test_what_the_operator_said_last_counts() -> None:
    state = closed(closed(a_session(), Disposition.PURGE), Disposition.KEEP)
    assert (state.state, state.disposition) == (SessionState.CLOSED, Disposition.KEEP)


def test_a_state_is_never_changed_in_place() -> None:
    before = generated(a_session(), 2)
    kept = dict(before.batches)
    purging(generated(before), 0)
    assert before.batches == kept
