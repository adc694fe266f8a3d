"""The two lifecycles, each one table; guards, replay and the diagrams in the docs all derive from them.

The tables are `transitions` machines that are asked, not bound: they own no state. What a session is in follows from
its events alone.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from transitions import Machine


class SessionState(StrEnum):
    """Where a session stands."""

    IDLE = "idle"
    GENERATING = "generating"
    READY = "ready"
    FAILED = "failed"
    CLOSED = "closed"


class BatchState(StrEnum):
    """Where a batch stands."""

    GENERATING = "generating"
    FAILED = "failed"
    COMPLETED = "completed"
    PURGING = "purging"
    PURGED = "purged"


class Trigger(StrEnum):
    """What moves a session or a batch: one trigger for each kind of event that does."""

    START = "start"
    COMPLETE = "complete"
    FAIL = "fail"
    CLOSE = "close"
    ISSUE_PURGE = "issue_purge"
    PURGE_FAILED = "purge_failed"
    PURGED = "purged"


Row = tuple[Trigger, tuple[StrEnum, ...], StrEnum]

SESSION_TABLE: tuple[Row, ...] = (
    (Trigger.START, (SessionState.IDLE, SessionState.READY, SessionState.FAILED), SessionState.GENERATING),
    (Trigger.COMPLETE, (SessionState.GENERATING,), SessionState.READY),
    (Trigger.FAIL, (SessionState.GENERATING,), SessionState.FAILED),
    (
        Trigger.CLOSE,
        (SessionState.IDLE, SessionState.READY, SessionState.FAILED, SessionState.CLOSED),
        SessionState.CLOSED,
    ),
)

BATCH_TABLE: tuple[Row, ...] = (
    (Trigger.START, (BatchState.FAILED,), BatchState.GENERATING),
    (Trigger.COMPLETE, (BatchState.GENERATING,), BatchState.COMPLETED),
    (Trigger.FAIL, (BatchState.GENERATING,), BatchState.FAILED),
    (Trigger.ISSUE_PURGE, (BatchState.COMPLETED,), BatchState.PURGING),
    (Trigger.PURGE_FAILED, (BatchState.PURGING,), BatchState.PURGING),
    (Trigger.PURGED, (BatchState.PURGING,), BatchState.PURGED),
)


def _machine(states: type[StrEnum], initial: StrEnum, table: tuple[Row, ...]) -> Machine:
    rows = [{"trigger": t, "source": [str(s) for s in sources], "dest": str(dest)} for t, sources, dest in table]
    return Machine(
        model=None, states=[str(s) for s in states], transitions=rows, initial=str(initial), auto_transitions=False
    )


SESSION_MACHINE = _machine(SessionState, SessionState.IDLE, SESSION_TABLE)
BATCH_MACHINE = _machine(BatchState, BatchState.GENERATING, BATCH_TABLE)


S = TypeVar("S", bound=StrEnum)


def _compiled(machine: Machine, states: type[S]) -> Mapping[tuple[S, Trigger], S]:
    """Ask the machine once for all of its transitions; a look-up in a dict is what replay can afford per event."""
    return {
        (state, trigger): states(str(found[0].dest))
        for state in states
        for trigger in Trigger
        if (found := machine.get_transitions(trigger, str(state)))
    }


SESSION_MOVES = _compiled(SESSION_MACHINE, SessionState)
BATCH_MOVES = _compiled(BATCH_MACHINE, BatchState)
