"""When a purge does not go without saying, and the hash that a person then confirms."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.batch import Batch, Moment
from domain.events import FileIdentity
from domain.plan import plan_hash, too_few
from tests.builders import a_session, an_id, generated

FIRST, SECOND, THIRD = "v/v_segment_000.ts", "v/v_segment_001.ts", "v/v_segment_002.ts"


def a_batch(files: int = 4) -> Batch:
    return generated(a_session(batch_size=max(files, 1))).batches[0]


def another(file: str = THIRD, **fields: int) -> FileIdentity:
    """What is now under the name."""
    return FileIdentity(**{"file": file, "size": 5, "mtime_ns": 6, "inode": 7, **fields})  # type: ignore[arg-type]


@pytest.mark.rule("R19")
@pytest.mark.invariant(10)
@pytest.mark.parametrize(
    ("files", "absent", "changed", "few"),
    [
        (4, 0, 0, False),
        (4, 2, 0, False),
        (4, 0, 2, False),
        (4, 1, 1, False),
        (4, 3, 0, True),
        (4, 0, 3, True),
        (4, 2, 1, True),
        (4, 0, 4, True),
        (5, 2, 0, False),
        (5, 2, 1, True),
        (2, 1, 0, False),
        (2, 1, 1, True),
        (1, 0, 0, False),
        (1, 1, 0, True),
        (1, 0, 1, True),
    ],
)
def test_half_of_the_files_is_enough_and_one_less_is_not(files: int, absent: int, changed: int, few: bool) -> None:
    """R19."""
    gone = tuple(f"v/{number}.ts" for number in range(absent))
    others = tuple(another(f"v/{number}.ts") for number in range(absent, absent + changed))
    assert too_few(a_batch(files), gone, others) is few


@pytest.mark.rule("R19")
@given(st.integers(1, 40), st.data())
def test_it_is_the_share_that_counts(files: int, data: st.DataObject) -> None:
    """R19."""
    absent = data.draw(st.integers(0, files))
    changed = data.draw(st.integers(0, files - absent))
    gone = tuple(f"v/{number}.ts" for number in range(absent))
    others = tuple(another(f"v/{number}.ts") for number in range(absent, absent + changed))
    assert too_few(a_batch(files), gone, others) == ((files - absent - changed) / files < 0.5)


def test_a_batch_whose_files_were_all_noted_as_lost_has_not_too_few() -> None:
    assert not too_few(replace(a_batch(), files=()), (), ())


@pytest.mark.rule("R18")
def test_the_plan_is_the_same_whenever_and_wherever_it_is_made() -> None:
    """R18: a person may confirm it after an upgrade; so this value never changes."""
    plan = plan_hash(an_id(1), a_batch(), (FIRST, SECOND), (another(),))
    assert plan == "45faeda351e603f324a2fd0be9cd02c782ee1b87011fb7027c5bb5d02b1f1f1a"


@pytest.mark.rule("R18")
def test_the_order_in_which_files_were_found_absent_is_no_part_of_the_plan() -> None:
    """R18."""
    assert plan_hash(an_id(1), a_batch(), (SECOND, FIRST), ()) == plan_hash(an_id(1), a_batch(), (FIRST, SECOND), ())


@pytest.mark.rule("R18")
@pytest.mark.parametrize(
    "otherwise",
    [
        {"session_id": an_id(2)},
        {"batch": replace(a_batch(), number=1)},
        {"batch": a_batch(5)},
        {"batch": replace(a_batch(), files=(replace(a_batch().files[0], mtime_ns=1), *a_batch().files[1:]))},
        {"absent": (FIRST,)},
        {"absent": (FIRST, SECOND, "v/v_segment_003.ts")},
        {"absent": (FIRST, "v/v_segment_003.ts")},
        {"absent": (FIRST, SECOND, THIRD), "changed": ()},
        {"changed": ()},
        {"changed": (another(file="v/v_segment_003.ts"),)},
        {"changed": (another(size=6),)},
        {"changed": (another(mtime_ns=7),)},
        {"changed": (another(inode=8),)},
    ],
)
def test_whatever_was_found_otherwise_makes_another_plan(otherwise: dict[str, Any]) -> None:
    """R18: so what is confirmed is what was looked at."""
    found: dict[str, Any] = {
        "session_id": an_id(1),
        "batch": a_batch(),
        "absent": (FIRST, SECOND),
        "changed": (another(),),
    }
    assert plan_hash(**{**found, **otherwise}) != plan_hash(**found)


@pytest.mark.rule("R18")
def test_what_became_of_the_batch_otherwise_is_no_part_of_the_plan() -> None:
    """R18: a playlist that it leaves, or the refusal itself, does not make the plan stale."""
    batch = a_batch()
    moved = replace(batch, listed=True, longest_ms=8000, left=Moment(5))
    assert plan_hash(an_id(1), moved, (FIRST,), ()) == plan_hash(an_id(1), batch, (FIRST,), ())
