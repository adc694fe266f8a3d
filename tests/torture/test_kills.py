"""kill -9 at every failure point, and again at every point of the recovery (docs/reference/torture.md)."""

from collections import Counter

import pytest

from tests.torture.campaign import FULL, campaign
from tests.torture.conftest import Replay
from tests.torture.failure_points import POINTS, SIDES

pytestmark = pytest.mark.timeout(7200 if FULL else 300)

SEEDS = range(20) if FULL else range(1)
SLICE = (
    "adopt.rename-marker.before",
    "append.BatchStarted.after",
    "journal.write-journal.before",
    "shorten.create-copy.after",
    "publish.write-playlist.before",
    "publish.rename-master.before",
    "append.PurgeIssued.before",
    "purge.unlink-segment.after",
    "append.SegmentsPurged.after",
    "read-models.apply.before",
)
"""The points of `make test`: what is left behind is of each kind, so that recovery meets every effect that there is."""

AGAIN = ("journal.write-journal.before", "append.SegmentsPurged.before")
"""Those after which recovery is killed again, at each of its effects: of a batch that is made, and of one that goes."""


@pytest.mark.rule("R6", "R8", "R10", "R14", "R15")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_life_that_is_killed_anywhere_ends_as_one_that_is_not(seed: int, replay: Replay) -> None:
    """R6, R8, R10, R14, R15; and every failure point is met: else its name means nothing."""
    slices = (("--points", ",".join(SLICE), "--again", "none"), ("--points", ",".join(AGAIN)))
    points, cases = set[str](), Counter[str]()
    for words in ((),) if FULL else slices:
        failures, done = campaign("kills", "--seeds", str(seed), *words)
        points |= done.points.keys()
        cases.update(done.cases)
        replay.did(sum(done.cases.values()))
        replay.none_of(failures)
    assert points == set(POINTS)
    assert cases["kills"] >= (100 if FULL else len(SLICE))
    assert cases["second kills"] > cases["kills"]


PURGE = ",".join(f"{effect}.{side}" for effect in ("purge.unlink-segment", "append.SegmentsPurged") for side in SIDES)


@pytest.mark.parametrize(
    ("mistake", "points", "why"),
    [
        pytest.param("listed-to-the-end", PURGE, "m3u8 lists", id="listed to the end"),
        pytest.param("playlists-in-place", "publish.write-playlist.before", "is not whole", id="written in place"),
    ],
)
def test_the_campaign_finds_a_mistake(mistake: str, points: str, why: str) -> None:
    words = ("--seeds", "0", "--points", points, "--again", "none", "--mistake", mistake)
    failures, _ = campaign("kills", *words)
    found = next(failure for failure in failures if why in failure.why)
    replayed, _ = campaign("kills", *found.command.split()[3:])
    assert [failure for failure in replayed if why in failure.why], "what a failure prints runs it again"
