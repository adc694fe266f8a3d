"""Four channels at full speed, killed every few seconds: nothing grows, and what is left agrees with the log."""

from pathlib import Path

import pytest

from tests.torture.campaign import FULL
from tests.torture.soak import LONG_LIFE, WATCHED, Life, Soak, grown, idle, most_files

LIVES, SECONDS, LAST = (75, 20.0, LONG_LIFE) if FULL else (2, 2.5, 1)


@pytest.mark.rule("R6", "R10", "R14")
@pytest.mark.timeout(3600)
def test_descriptors_memory_and_backlog_stay_flat(arena: Path) -> None:
    soak = Soak(arena)
    lives = [life for _ in range(LIVES) for life in soak.live(SECONDS)]
    assert lives[-1].events > lives[0].events > 4, soak.errors()
    long_life = soak.live(SECONDS * LAST, looks=3 * LAST)
    assert max(life.files for life in (*lives, *long_life)) <= most_files()
    if FULL:  # the few looks of the slice are at a process that begins: they tell nothing of growth
        assert grown(lives, *WATCHED) == []
        assert grown(long_life, *WATCHED) == []
        assert idle(lives) == []
        assert idle(long_life) == []
    verified = soak.settle()
    assert verified.returncode == 0, verified.stdout


FLAT = [Life(descriptors=20 + life % 3, resident_kib=60_000, files=100, waiting=8, events=life) for life in range(30)]


@pytest.mark.parametrize(
    ("field", "leaked", "told"),
    [
        ("descriptors", 1, "descriptors: 25.5 in the first third, 45.5 in the last (medians)"),
        ("resident_kib", 400, "resident_kib: 61800.0 in the first third, 69800.0 in the last (medians)"),
        ("waiting", 1, "waiting: 12.5 in the first third, 32.5 in the last (medians)"),
    ],
)
def test_what_grows_is_told(field: str, leaked: int, told: str) -> None:
    leaking = [life._replace(**{field: getattr(life, field) + leaked * number}) for number, life in enumerate(FLAT)]
    assert grown(leaking, *WATCHED) == [told]


def test_what_does_not_grow_is_not() -> None:
    assert grown(FLAT, *WATCHED) == []


def test_a_life_that_comes_to_a_stand_is_told() -> None:
    """Nothing grows any more where nothing goes on."""
    assert idle(FLAT) == []
    assert idle([life._replace(events=min(life.events, 12)) for life in FLAT]) == [
        "third 2: 3 events",
        "third 3: 0 events",
    ]
