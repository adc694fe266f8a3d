"""Any command in any state is answered, and any event survives its line of JSON."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.commands import CompleteBatch, FailBatch, IssuePurge, RecordPurge
from domain.decisions import decide
from domain.errors import Invalid, Refused
from domain.events import Envelope, Event, Recorded
from domain.session import Session, evolve, replay
from persistence import codec
from tests.builders import SECOND, an_id, files_of, recorded
from tests.property.strategies import commands, envelopes, sensible_opens


@pytest.mark.rule("R14", "R20")
@given(opening=sensible_opens, data=st.data())
def test_any_command_in_any_state_is_decided_or_refused(opening: Any, data: st.DataObject) -> None:
    """R20: a refusal says by which rule; R14: what is recorded folds, and folds again to the same state."""
    session, history = Session(an_id(7)), list[Recorded]()
    for step in range(data.draw(st.integers(0, 30))):
        command = data.draw(commands | sensible(session)) if step else opening
        before = msgspec.json.encode(session)
        events, refusal = answer(session, command)
        assert refusal is None or (refusal.rule and str(refusal).startswith(f"{refusal.field}: {refusal.value!r}"))
        assert msgspec.json.encode(session) == before, "decide changes nothing"
        for event in events:
            history.append(recorded(session, event, at=history[-1].envelope.recorded_at + SECOND if history else 0))
            session = evolve(session, history[-1])
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
    fitting += [IssuePurge(batch=batch, purge_id=an_id(batch), now=far) for batch in session.batches]
    fitting += [RecordPurge(batch=batch, deleted=1, bytes_freed=1) for batch in session.batches]
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
