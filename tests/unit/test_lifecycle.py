"""The two tables: what is asked of `transitions` once is what replay looks up."""

from enum import StrEnum

import pytest
from transitions import Machine

from domain import lifecycle
from domain.lifecycle import BATCH_MOVES, SESSION_MOVES, BatchState, SessionState, Trigger

TABLES = [
    pytest.param(lifecycle.SESSION_MACHINE, SessionState, SESSION_MOVES, id="session"),
    pytest.param(lifecycle.BATCH_MACHINE, BatchState, BATCH_MOVES, id="batch"),
]


@pytest.mark.rule("R14")
@pytest.mark.parametrize(("machine", "states", "moves"), TABLES)
def test_replay_moves_as_the_machine_would(
    machine: Machine, states: type[StrEnum], moves: dict[tuple[StrEnum, Trigger], StrEnum]
) -> None:
    """R14: for every state and trigger, a machine that is driven for real goes where the compiled table says."""
    for state in states:
        for trigger in Trigger:
            model = type("Model", (), {})()
            machine.add_model(model, initial=str(state))
            try:
                answer = machine.get_transitions(trigger, str(state))
                assert len(answer) == ((state, trigger) in moves), (state, trigger)
                if answer:
                    assert model.trigger(str(trigger))
                    assert model.state == moves[state, trigger], (state, trigger)
            finally:
                machine.remove_model(model)


@pytest.mark.parametrize(("machine", "states", "moves"), TABLES)
def test_a_misspelt_trigger_moves_nothing(
    machine: Machine, states: type[StrEnum], moves: dict[tuple[StrEnum, Trigger], StrEnum]
) -> None:
    """`transitions` takes one silently for "not allowed": so triggers are an enum, which refuses it."""
    assert machine.get_transitions("compleet", str(next(iter(states)))) == []
    with pytest.raises(ValueError, match="compleet"):
        Trigger("compleet")


def test_every_state_can_be_reached_and_a_purged_batch_stays_purged() -> None:
    assert set(SESSION_MOVES.values()) | {SessionState.IDLE} == set(SessionState)
    assert set(BATCH_MOVES.values()) == set(BatchState)
    assert not [key for key in BATCH_MOVES if key[0] is BatchState.PURGED]


@pytest.mark.rule("R6")
def test_a_batch_is_authorised_once_and_has_one_outcome() -> None:
    """R6: issue_purge leads out of completed alone, purged out of purging alone."""
    sources = {trigger: {state for state, one in BATCH_MOVES if one is trigger} for trigger in Trigger}
    assert sources[Trigger.ISSUE_PURGE] == {BatchState.COMPLETED}
    assert sources[Trigger.PURGED] == {BatchState.PURGING}


@pytest.mark.rule("R4")
def test_no_failed_batch_can_be_purged() -> None:
    """R4: it was never completed, so nothing says what its files are."""
    assert (BatchState.FAILED, Trigger.ISSUE_PURGE) not in BATCH_MOVES
