"""What no decision could have led to is damage, even if it can be read and folded."""

from typing import Any

import pytest
from msgspec.structs import replace

from domain.events import BatchCompleted, BatchStarted, Event, MediaRoot, Naming
from domain.segments import DEFAULT_PATTERN
from domain.session import Session
from domain.soundness import unsound
from tests.builders import (
    CAMERA,
    a_completed_batch,
    a_segment_file,
    a_session,
    an_id,
    failed,
    files_of,
    generated,
    purged,
    started,
    terms,
    with_one_changed,
    without_last,
)


def a_start(batch: int, first: int, last: int) -> BatchStarted:
    return BatchStarted(batch=batch, attempt=1, first_segment=first, last_segment=last, source=CAMERA)


@pytest.mark.parametrize(
    ("session", "event"),
    [
        (Session(an_id(1)), terms()),
        (a_session(), a_start(0, 0, 1)),
        (failed(started(generated(a_session(), 2))), a_start(2, 4, 5)),
        (started(a_session()), a_completed_batch()),
        (started(purged(generated(a_session(), 3), 0)), a_completed_batch(3)),
    ],
    ids=["opening", "first start", "start again", "completion", "later completion"],
)
def test_what_decisions_lead_to_is_sound(session: Session, event: Event) -> None:
    assert unsound(session, event) is None


@pytest.mark.rule("R20")
@pytest.mark.parametrize(
    "fields",
    [
        {"batch_size": 0},
        {"batch_size": 10**9},
        {"segment_ms": 0},
        {"renditions": ()},
        {"renditions": ("../v",)},
        {"channel": "/etc"},
        {"naming": Naming(pattern="{rendition}", wrap=0)},
        {"naming": Naming(pattern=DEFAULT_PATTERN, wrap=-1)},
        {"naming": Naming(pattern=DEFAULT_PATTERN, wrap=0, offset=-5)},
        {"media_root": MediaRoot(path="srv/hls", root_id=an_id(0))},
        {"media_root": MediaRoot(path="/srv\0hls", root_id=an_id(0))},
    ],
    ids=str,
)
def test_terms_that_nobody_could_open_a_session_with(fields: dict[str, Any]) -> None:
    """R20."""
    assert unsound(Session(an_id(1)), terms(**fields)) is not None


@pytest.mark.rule("R1")
@pytest.mark.parametrize("event", [a_start(1, 2, 3), a_start(0, 0, 2), a_start(0, 1, 1), a_start(-1, -2, -1)])
def test_a_start_of_other_segments_than_the_next(event: BatchStarted) -> None:
    """R1."""
    assert "BatchStarted is of batch" in (unsound(a_session(), event) or "")


@pytest.mark.rule("R1", "R9")
@pytest.mark.parametrize(
    "files",
    [
        (),
        without_last(files_of(a_session())),
        (*files_of(a_session()), a_segment_file(2)),
        with_one_changed(files_of(a_session()), name="v_segment_007.ts"),
        with_one_changed(files_of(a_session()), rendition="w"),
        with_one_changed(files_of(a_session()), size=0),
        with_one_changed(files_of(a_session()), duration_ms=0),
    ],
    ids=["none", "one less", "one more", "another name", "another rendition", "empty", "no duration"],
)
def test_a_completion_of_other_files_than_the_batch_has(files: Any) -> None:
    """R1, R9."""
    session = started(a_session())
    assert "BatchCompleted has" in (unsound(session, replace(a_completed_batch(), files=tuple(files))) or "")


def test_what_belongs_to_no_session_that_was_opened_is_left_to_the_fold() -> None:
    assert unsound(Session(an_id(1)), BatchCompleted(batch=0, attempt=1, files=())) is None
    assert unsound(Session(an_id(1)), a_start(0, 0, 1)) is None
