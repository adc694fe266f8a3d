"""How an event becomes a line and comes back, also from a time with other words for it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import LogDamaged, SchemaMismatch
from domain.events import EVENT_TYPES, SCHEMA, Event
from persistence import codec
from tests.contract.log_events import a_failure, an_event, every_kind_of_event

LINE, _ = codec.encode(an_event())


def changed(**fields: Any) -> bytes:
    """The line with some keys told otherwise."""
    return msgspec.json.encode({**msgspec.json.decode(LINE), **fields})


def without(key: str) -> bytes:
    return msgspec.json.encode({name: value for name, value in msgspec.json.decode(LINE).items() if name != key})


def test_the_history_of_these_tests_has_every_kind_of_event() -> None:
    assert {type(event).__name__ for event in every_kind_of_event()} == set(EVENT_TYPES)


@pytest.mark.parametrize("event", every_kind_of_event(), ids=lambda event: type(event).__name__)
def test_every_kind_of_event_comes_back_from_its_line(event: Event) -> None:
    line, told = codec.encode(an_event(event))
    assert told == an_event(event)
    assert codec.decode(line, position=1) == told
    assert line == codec.encode(told)[0]


@given(st.text(st.characters(codec=None)), st.integers(0, 2**63), st.none() | st.integers(-(2**63), 2**63))
def test_whatever_an_event_holds_is_one_line_that_is_read_alike_ever_after(
    text: str, number: int, code: int | None
) -> None:
    event = an_event(a_failure(text, batch=number, exit_code=code, files_left=(text, text)))
    line, told = codec.encode(event)
    assert line.count(b"\n") == 0
    assert codec.decode(line, position=1) == told
    assert codec.encode(told) == (line, told)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "truncated"),
        (b"not json", "malformed"),
        (b"null", "Expected `object`"),
        (b"[]", "Expected `object`"),
        (LINE.replace(b"[]", b"[" * 100_000), "recursion"),
        (LINE[:-1], "truncated"),
        (LINE + b"{}", "trailing"),
        (LINE.replace(b"tester", b"\xff"), "utf-8"),
        (LINE.replace(b"event 1", b"\xff"), "utf-8"),
        (LINE.replace(b"event 1", b"\\udcff"), "surrogate"),
        (without("actor"), "actor"),
        (without("data"), "data"),
        (changed(position=1), "position"),
        (changed(version="1"), "version"),
        (changed(version=1.0), "version"),
        (changed(recorded_at=2**63), "recorded_at"),
        (changed(schema=-1), "schema"),
        (changed(type="BatchVanished"), "'BatchVanished' is not a type of event"),
        (changed(type="BatchCompleted"), "reason"),
        (changed(data={}), "batch"),
        (changed(data={**msgspec.to_builtins(a_failure()), "batch": 0.5}), "batch"),
        (changed(data={**msgspec.to_builtins(a_failure()), "colour": "red"}), "colour"),
    ],
)
def test_a_line_that_cannot_be_read_tells_where_and_why(line: bytes, reason: str) -> None:
    with pytest.raises(LogDamaged) as caught:
        codec.decode(line, position=42)
    assert caught.value.position == 42
    assert reason in caught.value.reason


# schemas


def attempts_were_counted_from_zero(data: dict[str, Any]) -> dict[str, Any]:
    """A made-up schema 0, in which BatchFailed said ``error`` for ``reason`` and counted attempts from 0."""
    return {"batch": data["batch"], "attempt": data["attempt"] + 1, "reason": data["error"]}


UPCASTERS = {("BatchFailed", 0): attempts_were_counted_from_zero}


def test_an_event_of_an_old_schema_is_upcast_when_it_is_read() -> None:
    old = changed(schema=0, data={"batch": 3, "attempt": 0, "error": "no signal"})
    told = codec.decode(old, position=1, upcasters=UPCASTERS)
    assert told.event == a_failure("no signal", batch=3, attempt=1)
    assert told.schema == SCHEMA
    assert told == an_event(a_failure("no signal", batch=3, attempt=1))


def test_an_event_that_did_not_change_since_its_schema_is_read_as_it_is() -> None:
    assert codec.decode(changed(schema=0), position=1, upcasters={}) == an_event()


def test_steps_are_taken_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "SCHEMA", 3)
    steps: codec.Upcasters = {
        ("BatchFailed", 0): lambda data: {**data, "reason": data["reason"] + " 0"},
        ("BatchFailed", 2): lambda data: {**data, "reason": data["reason"] + " 2"},
        ("BatchStarted", 1): lambda _: {},
    }
    told = codec.decode(changed(schema=0), position=1, upcasters=steps)
    assert told.event == a_failure("event 1 0 2")


@pytest.mark.parametrize("data", [{"batch": 3}, {"batch": 3, "attempt": "no", "error": "x"}, [], None, "text"])
def test_an_old_event_that_cannot_be_upcast_is_damage(data: object) -> None:
    with pytest.raises(LogDamaged) as caught:
        codec.decode(changed(schema=0, data=data), position=42, upcasters=UPCASTERS)
    assert caught.value.position == 42


def test_an_upcast_that_gives_no_event_of_today_is_damage() -> None:
    with pytest.raises(LogDamaged, match="position 42"):
        codec.decode(changed(schema=0), position=42, upcasters={("BatchFailed", 0): lambda _: {}})


@pytest.mark.parametrize("kind", ["BatchFailed", "BatchMoved"])
def test_an_event_of_a_newer_schema_is_no_damage_but_asks_for_a_newer_trailkeep(kind: str) -> None:
    with pytest.raises(SchemaMismatch, match="a newer Trailkeep recorded the event at log position 42"):
        codec.decode(changed(schema=SCHEMA + 1, type=kind, data={"new": True}), position=42)
