"""R20: every error names the field, the value and the rule, and carries them as attributes."""

import pytest

from domain import errors
from domain.errors import (
    ConcurrencyConflict,
    EncoderFailed,
    EventIdConflict,
    EventsLost,
    FlushFailed,
    HeldElsewhere,
    Invalid,
    LeaseLost,
    LogDamaged,
    NotFound,
    ReadModelsDamaged,
    Refused,
    RootFull,
    RootSuspect,
    RootUnavailable,
    SchemaMismatch,
    StoreUnavailable,
    TrailkeepError,
)

ERRORS = [
    (Invalid("wrap", -1, "0 or more"), ["wrap", "-1", "0 or more"]),
    (Refused("R5", "batch", 7, "names are in use"), ["batch", "7", "R5", "names are in use"]),
    (NotFound("session", "news", "the name of a channel"), ["session", "'news'", "the name of a channel"]),
    (ConcurrencyConflict("s-1", 4), ["expected_version", "4", "s-1", "another writer"]),
    (HeldElsewhere("root:r-1", "there:7", 9), ["lease", "'root:r-1'", "there:7"]),
    (LeaseLost("root:r-1", 3), ["lease", "'root:r-1'", "epoch 3", "another worker"]),
    (EventIdConflict("e-1", 9), ["event_id", "'e-1'", "position 9", "an id names one event"]),
    (LogDamaged(9, "it is gone"), ["log position 9", "it is gone", "nothing is deleted"]),
    (LogDamaged(None, "a page is gone"), ["database: a page is gone", "nothing is deleted"]),
    (ReadModelsDamaged("a row is gone"), ["read models", "a row is gone", "rebuild"]),
    (SchemaMismatch("v9", "v1", "upgrade Trailkeep"), ["schema", "'v9'", "'v1'", "upgrade Trailkeep"]),
    (StoreUnavailable("sqlite:///x", "it is locked"), ["database", "'sqlite:///x'", "it is locked"]),
    (RootUnavailable("/srv", "ENOSPC"), ["media root", "'/srv'", "ENOSPC"]),
    (RootFull("/srv", "ENOSPC"), ["media root", "'/srv'", "ENOSPC", "now"]),
    (RootSuspect("/srv", "no marker"), ["media root", "'/srv'", "no marker", "R17"]),
    (EventsLost("/srv", "position 7"), ["log", "lost events", "position 7", "nothing is purged", "R15", "R17"]),
    (FlushFailed("/srv", "EIO"), ["media root", "'/srv'", "EIO", "R17"]),
    (EncoderFailed("no signal", 1, "tail"), ["no signal"]),
]


@pytest.mark.rule("R20")
@pytest.mark.parametrize(("error", "words"), ERRORS, ids=[type(error).__name__ for error, _ in ERRORS])
def test_the_message_names_what_an_operator_needs(error: TrailkeepError, words: list[str]) -> None:
    """R20: in one line."""
    message = str(error)
    assert [word for word in words if word not in message] == []
    assert "\n" not in message


@pytest.mark.rule("R20")
def test_the_facts_are_attributes() -> None:
    """R20."""
    facts = [vars(error) for error, _ in ERRORS]
    assert facts == [
        {"field": "wrap", "value": -1, "rule": "0 or more"},
        {"rule": "R5", "field": "batch", "value": 7, "reason": "names are in use"},
        {"field": "session", "value": "news", "rule": "the name of a channel"},
        {"session_id": "s-1", "expected_version": 4},
        {"resource": "root:r-1", "owner": "there:7", "until": 9},
        {"resource": "root:r-1", "epoch": 3},
        {"event_id": "e-1", "position": 9},
        {"position": 9, "reason": "it is gone"},
        {"position": None, "reason": "a page is gone"},
        {"reason": "a row is gone"},
        {"found": "v9", "known": "v1"},
        {"url": "sqlite:///x", "reason": "it is locked"},
        {"root": "/srv", "reason": "ENOSPC"},
        {"root": "/srv", "reason": "ENOSPC"},
        {"root": "/srv", "reason": "no marker"},
        {"root": "/srv", "reason": "position 7"},
        {"root": "/srv", "reason": "EIO"},
        {"reason": "no signal", "exit_code": 1, "stderr_tail": "tail"},
    ]


def test_there_is_one_tree_and_no_error_is_left_out_here() -> None:
    defined = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert all(issubclass(kind, TrailkeepError) for kind in defined)
    assert {type(error) for error, _ in ERRORS} == defined - {TrailkeepError}


@pytest.mark.rule("R17")
def test_a_root_that_is_not_available_now_is_not_suspected() -> None:
    """R17: a full disk proves to be ours; what pauses for it pauses also for one that does not."""
    assert issubclass(RootSuspect, RootUnavailable)
    assert "suspect" not in str(RootUnavailable("/srv", "ENOSPC"))
    assert "R17" not in str(RootUnavailable("/srv", "ENOSPC"))
