"""What a session may be opened with."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.commands import CloseSession
from domain.decisions import decide
from domain.errors import Invalid, Refused, TrailkeepError
from domain.events import Availability, Disposition, Naming, Policy
from domain.session import Session
from tests.builders import OFF, a_session, an_id, open_session, terms

RFC8216 = Policy(availability=Availability.RFC8216)
UNOPENED = Session(an_id(0))


def refusal(**fields: Any) -> TrailkeepError | None:
    """Why a session with these terms is not opened; None if it is."""
    try:
        decide(UNOPENED, open_session(**fields))
    except TrailkeepError as error:
        return error
    return None


def test_a_session_is_opened_on_the_terms_that_were_asked_for() -> None:
    assert decide(UNOPENED, open_session(batch_size=7, playlist_window=9)) == (terms(batch_size=7, playlist_window=9),)


def test_a_session_is_opened_once() -> None:
    with pytest.raises(Refused) as error:
        decide(a_session(), open_session())
    assert (error.value.rule, error.value.field, error.value.value) == ("R20", "channel", "news")


def test_nothing_else_can_be_done_with_a_session_that_was_never_opened() -> None:
    with pytest.raises(Refused, match="never opened"):
        decide(UNOPENED, CloseSession(reason="why not", disposition=Disposition.KEEP))


@pytest.mark.rule("R20")
@pytest.mark.parametrize(
    ("fields", "field", "value"),
    [
        ({"channel": "../news"}, "channel", "../news"),
        ({"renditions": ()}, "renditions", []),
        ({"renditions": ("v", "a b")}, "rendition", "a b"),
        ({"renditions": ("v", "v")}, "renditions", ["v", "v"]),
        ({"renditions": ("v", "V")}, "renditions", ["v", "V"]),
        ({"naming": Naming(pattern="x%d", wrap=0)}, "naming.pattern", "x%d"),
        ({"wrap": -1}, "wrap", -1),
        ({"batch_size": 0}, "batch_size", 0),
        ({"batch_size": 10_001}, "batch_size", 10_001),
        ({"segment_ms": 0}, "segment_seconds", 0.0),
        ({"segment_ms": 3_600_001}, "segment_seconds", 3600.001),
        ({"playlist_window": 1}, "playlist_window", 1),
        ({"playlist_window": -1}, "playlist_window", -1),
        ({"policy": Policy(keep_previous=0)}, "keep_previous", 0),
    ],
)
def test_a_term_that_can_never_hold_is_named_with_its_value_and_rule(
    fields: dict[str, Any], field: str, value: Any
) -> None:
    """R20."""
    error = refusal(**fields)
    assert isinstance(error, Invalid)
    assert (error.field, error.value) == (field, value)
    assert error.rule
    assert str(error) == f"{field}: {value!r} is not allowed: {error.rule}"


@pytest.mark.parametrize(
    "fields",
    [
        {"batch_size": 1, "playlist_window": 1},
        {"batch_size": 10_000, "playlist_window": 0},
        {"segment_ms": 1},
        {"segment_ms": 3_600_000},
        {"playlist_window": 0},
        {"playlist_window": 2},
        {"policy": Policy(keep_previous=1)},
        {"renditions": ("720p", "360p")},
    ],
)
def test_the_values_at_the_bounds_are_allowed(fields: dict[str, Any]) -> None:
    assert refusal(**fields) is None


@pytest.mark.rule("R5")
@pytest.mark.parametrize("keep_previous", [1, 2, 4])
@pytest.mark.parametrize("batch_size", [1, 2, 5, 20])
def test_names_must_not_repeat_before_three_batches_and_more_had_theirs(batch_size: int, keep_previous: int) -> None:
    """R5: (keep_previous + 2) * B names are enough, one less is not."""
    policy = Policy(keep_previous=keep_previous, availability=Availability.OFF)
    enough = (keep_previous + 2) * batch_size
    fields: dict[str, Any] = {"batch_size": batch_size, "policy": policy, "playlist_window": 50 * batch_size}
    assert refusal(wrap=enough, **fields) is None
    assert refusal(wrap=0, **fields) is None
    error = refusal(wrap=enough - 1, **fields)
    assert isinstance(error, Refused)
    assert (error.rule, error.field, error.value) == ("R5", "wrap", enough - 1)
    assert str(enough) in str(error)


@pytest.mark.rule("R5", "R13")
@pytest.mark.parametrize(
    ("batch_size", "window", "enough"),
    [
        (5, 0, 15),
        (5, 5, 15),
        (5, 10, 15),
        (5, 11, 20),  # the playlist lists one segment of a third batch, and a batch goes or stays as a whole
        (5, 15, 20),
        (2, 5, 8),
        (1, 9, 10),
    ],
)
def test_names_must_not_repeat_while_a_playlist_still_lists_their_batch(
    batch_size: int, window: int, enough: int
) -> None:
    """R5, R13: what is listed is not due, so the next batch needs names beside it."""
    fields: dict[str, Any] = {"batch_size": batch_size, "playlist_window": window, "policy": RFC8216}
    assert refusal(wrap=enough, **fields) is None
    error = refusal(wrap=enough - 1, **fields)
    assert isinstance(error, Refused)
    assert error.rule == "R5"


@pytest.mark.rule("R5")
def test_a_playlist_does_not_hold_names_when_availability_is_off() -> None:
    """R5."""
    assert refusal(batch_size=5, playlist_window=15, wrap=15, policy=OFF) is None


@pytest.mark.rule("R5")
@given(st.integers(1, 4), st.integers(0, 12), st.integers(1, 24), st.integers(1, 3), st.sampled_from(Availability))
def test_a_session_is_opened_exactly_if_its_names_never_have_to_collide(
    batch_size: int, window: int, wrap: int, keep_previous: int, availability: Availability
) -> None:
    """R5: against a count of who needs which name when each batch starts, everything purged as early as it may be."""
    window = max(window, batch_size) if window else 0
    policy = Policy(keep_previous=keep_previous, availability=availability)
    fields: dict[str, Any] = {"batch_size": batch_size, "playlist_window": window, "policy": policy, "wrap": wrap}
    waits = window if availability is Availability.RFC8216 else 0
    free = all(not clash for clash in clashes(batch_size, waits, wrap, keep_previous))
    assert (refusal(**fields) is None) == free


def clashes(batch_size: int, window: int, wrap: int, keep_previous: int) -> Iterator[set[int]]:
    for batch in range(1, 20):
        first = batch * batch_size
        kept = {
            segment
            for other in range(batch)
            for segment in range(other * batch_size, (other + 1) * batch_size)
            if other >= batch - keep_previous - 1 or (other + 1) * batch_size > first - window
        }
        names = [segment % wrap for segment in range(first, first + batch_size)]
        yield {segment for segment in kept if segment % wrap in names} | (
            set() if len(set(names)) == batch_size else {first}
        )
