"""Four channels at full speed, killed every few seconds: nothing grows, and what is left agrees with the log."""

from pathlib import Path

import pytest

from tests.torture.campaign import FULL
from tests.torture.soak import LONG_LIFE, Life, Soak, grown, most_files

WATCHED = ("descriptors", "resident_kib", "files")
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
    verified = soak.settle()
    assert verified.returncode == 0, verified.stdout


def test_what_grows_is_told() -> None:
    leaking = [Life(descriptors=20 + life, resident_kib=60_000, files=100, events=life) for life in range(30)]
    assert grown(leaking, "descriptors", "files") == ["descriptors: at most 29 in the first third, 44.5 in the last"]
    assert grown([life._replace(descriptors=20) for life in leaking], "descriptors") == []
