"""Any command in any state is answered, and any event survives its line of JSON."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.commands import (
    CompleteBatch,
    CondemnOrphans,
    FailBatch,
    IssuePurge,
    RecordLoss,
    RecordPurge,
    RecordRemoval,
)
from domain.decisions import decide
from domain.errors import Invalid, Refused
from domain.events import Envelope, Event, FileIdentity, Recorded
from domain.segments import identity_of
from domain.session import Folding, Session, evolve, replay
from persistence import codec
from tests.builders import SECOND, an_id, files_of, recorded
from tests.property.strategies import commands, envelopes, sensible_opens


@pytest.mark.rule("R14", "R20")
@given(opening=sensible_opens, data=st.data())
def test_any_command_in_any_state_is_decided_or_refused(opening: Any, data: st.DataObject) -> None:
    """R20: a refusal says by which rule; R14: what is recorded folds, and folds again to the same state.

    So it does when it is folded in place, from whatever state on, and that state stays what it was.
    """
    session, history = Session(an_id(7)), list[Recorded]()
    states = [session]
    for step in range(data.draw(st.integers(0, 30))):
        command = data.draw(commands | sensible(session)) if step else opening
        before = msgspec.json.encode(session)
        events, refusal = answer(session, command)
        assert refusal is None or (refusal.rule and str(refusal).startswith(f"{refusal.field}: {refusal.value!r}"))
        assert msgspec.json.encode(session) == before, "decide changes nothing"
        for event in events:
            history.append(recorded(session, event, at=history[-1].envelope.recorded_at + SECOND if history else 0))
            session = evolve(session, history[-1])
            states.append(session)
    start = data.draw(st.integers(0, len(history)))
    folding, before = Folding(states[start]), msgspec.json.encode(states[start])
    for one, state in zip(history[start:], states[start + 1 :], strict=True):
        folding.add(one)
        assert msgspec.json.encode(folding.session()) == msgspec.json.encode(state)
    assert folding.session() == session
    assert msgspec.json.encode(states[start]) == before
    assert msgspec.json.encode(replay(session.session_id, history)) == msgspec.json.encode(session)


def answer(session: Session, command: Any) -> tuple[tuple[Event, ...], Invalid | Refused | None]:
    try:
        return decide(session, command), None
    except (Invalid, Refused) as refusal:
        return (), refusal


def sensible(session: Session) -> st.SearchStrategy[Any]:
    """Commands that fit the state, so that histories go far."""
    number = session.next_batch
    fitting: list[Any] = [FailBatch(batch=number, reason="the camera went away")]
    if session.running:
        fitting.append(CompleteBatch(batch=number, files=files_of(session)))
    far = 2**62
    for batch in session.batches.values():
        files = tuple(identity_of(file).file for file in batch.files)
        plan = batch.refusal.plan if batch.refusal else None
        fitting += [
            IssuePurge(batch=batch.number, purge_id=an_id(batch.number), now=far, absent=absent, confirmed=plan)
            for absent in (files, ())
        ]
        fitting.append(RecordPurge(batch=batch.number, deleted=1, bytes_freed=1))
        fitting.append(RecordLoss(batch=batch.number, files=files[:1]))
    fitting.append(CondemnOrphans(removal_id=an_id(8), files=(FileIdentity(file="x", size=1, mtime_ns=1, inode=1),)))
    fitting.append(RecordRemoval(deleted=1, bytes_freed=1))
    return st.sampled_from(fitting)


@pytest.mark.rule("R14", "R15")
@given(envelopes)
def test_any_event_comes_back_from_its_line_and_gives_the_same_line(envelope: Envelope) -> None:
    """R14: byte for byte."""
    line, written = codec.encode(envelope)
    assert written == envelope
    assert codec.decode(line, position=1) == envelope
    assert codec.encode(codec.decode(line, position=1))[0] == line
    assert b"\n" not in line, "one event, one line"
