"""A power cut at every failure point, on ext4 and XFS (docs/reference/torture.md)."""

import pytest

from tests.torture.campaign import FULL, campaign
from tests.torture.conftest import Replay
from tests.torture.disks import what_is_missing
from tests.torture.failure_points import POINTS

pytestmark = pytest.mark.timeout(7200 if FULL else 300)

SEEDS = range(20) if FULL else range(1)
KINDS = ("ext4", "xfs") if FULL else ("ext4",)
SLICE = (
    "append.BatchCompleted.after",
    "journal.fsync-journal.before",
    "journal.fsync-journal.after",
    "publish.fsync-rendition.after",
    "append.PurgeIssued.after",
    "purge.unlink-segment.after",
    "purge.fsync-rendition.before",
    "append.SegmentsPurged.after",
    "shorten.unlink-copy.before",
)
"""The points of `make test`: each is one flush away from a promise; at the last, a recovery is cut off."""


def need(kind: str, cases: int, replay: Replay) -> None:
    """Skip, and say what is not tested, where filesystems of this kind cannot lose power."""
    if missing := what_is_missing(kind):
        replay.skip(cases, f"{cases} power cuts on {kind}: {missing}")


@pytest.mark.rule("R9", "R10", "R14", "R15")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_power_cut_anywhere_loses_nothing_that_was_said(kind: str, seed: int, replay: Replay) -> None:
    """R9, R10, R14, R15: no acknowledged event, no file without its authorisation; and what is purged stays away."""
    cases = len(POINTS) if FULL else len(SLICE)
    need(kind, cases, replay)
    points = () if FULL else ("--points", ",".join(SLICE))
    failures, done = campaign("power_cuts", "--kind", kind, "--seeds", str(seed), *points)
    replay.did(done.cases["power cuts"])
    replay.none_of(failures)
    assert done.points.keys() <= set(POINTS)
    assert done.cases["power cuts"] == cases if not FULL else done.cases["power cuts"] > cases


@pytest.mark.rule("R10", "R15")
@pytest.mark.invariant(13)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("line", [4, 9])
def test_what_a_killed_process_left_unflushed_counts_only_when_it_is_flushed(
    kind: str, line: int, replay: Replay
) -> None:
    """R10, R15: a line of the journal that is there for the next process, until the power goes."""
    need(kind, 1, replay)
    failures, done = campaign("power_cuts", "--kind", kind, "--seeds", "0", "--line", str(line))
    replay.did(done.cases["power cuts"])
    replay.none_of(failures)
    assert done.cases["power cuts"] == 1


@pytest.mark.rule("R10")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("mistake", "why"),
    [
        pytest.param("asynchronous-log", "was acknowledged, and is lost", id="of the log"),
        pytest.param("unflushed-unlinks", "is said to be purged, and is back", id="of a directory"),
    ],
)
def test_the_campaign_finds_a_missing_flush(kind: str, mistake: str, why: str, replay: Replay) -> None:
    """R10: what the flushes are for, shown by taking them away."""
    need(kind, 1, replay)
    point = "append.SegmentsPurged.after"
    failures, _ = campaign("power_cuts", "--kind", kind, "--seeds", "0", "--points", point, "--mistake", mistake)
    assert why in failures[0].why
    replayed, _ = campaign("power_cuts", *failures[0].command.split()[3:])
    assert why in replayed[0].why, "what a failure prints runs it again"
