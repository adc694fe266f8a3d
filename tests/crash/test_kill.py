"""kill -9 in the middle: after `recover` and going on all kept files are there, none that is due, no event twice."""

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.command_line import Store, names_of, of_type

KILLS = 20 if os.environ.get("TRAILKEEP_LONG") else 6
BATCH_SIZE = 2

STEPS = {
    "the playlist is published": ("media/news", "fsync", 1),
    "the first file goes": ("media/news/90p", "unlinkat", 1),
    "the second file goes": ("media/news/90p", "unlinkat", 2),
    "the directory is flushed": ("media/news/90p", "fsync", 2),
}


def strace() -> str:
    """A strace that works here; the reason is loud when there is none."""
    path = shutil.which("strace")
    if path is None:
        pytest.skip("NOT TESTED: kill -9 at each step of a purge needs strace, which is not installed")
    probe = subprocess.run([path, "-e", "trace=none", "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(
            f"NOT TESTED: kill -9 at each step of a purge needs strace, which fails here: {probe.stderr.strip()}"
        )
    return path


def a_log_without_gap_or_double(store: Store) -> None:
    events = store.events()
    assert [event["position"] for event in events] == list(range(1, len(events) + 1))
    assert [event["version"] for event in events] == list(range(1, len(events) + 1))
    issued = {event["data"]["purge_id"]: event for event in of_type(events, "PurgeIssued")}
    purged = {event["data"]["purge_id"]: event for event in of_type(events, "SegmentsPurged")}
    assert issued.keys() == purged.keys()
    assert all(issued[purge_id]["position"] < purged[purge_id]["position"] for purge_id in issued)
    for ends in (issued, purged):
        batches = [event["data"]["batch"] for event in ends.values()]
        assert len(set(batches)) == len(batches)


def recovered_for_good(store: Store) -> None:
    """R14: what a second recovery finds is nothing; the log and the disk agree."""
    assert store.answer("recover") == {"recorded": [], "left": []}
    verified = store.invoke("verify")
    assert verified.exit_code == 0, verified.output


@pytest.mark.rule("R6", "R10", "R14")
@pytest.mark.invariant(1, 8)
@pytest.mark.parametrize("seed", range(KILLS))
def test_a_killed_run_is_recovered_and_goes_on(empty_store: Store, seed: int) -> None:
    """R6, R10, R14: the moment is a number of events and a part of the time that the next one takes."""
    moment = random.Random(seed)
    store = empty_store
    config = str(store.config(BATCH_SIZE))
    with store.running("run", config) as process:
        assert process.stdout is not None
        for _ in range(moment.randint(1, 24)):
            assert process.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=moment.uniform(0, 0.15))
        process.kill()
    before = store.events()

    recovered = store.process("recover")
    assert recovered.returncode == 0, recovered.stderr
    recovered_for_good(store)
    assert store.events()[: len(before)] == before

    went_on = store.process("run", config, "--batches", "2")
    assert went_on.returncode == 0, went_on.stderr
    newest = [event["data"]["batch"] for event in of_type(store.events(), "BatchCompleted")][-2:]
    assert store.names() == names_of(*newest, batch_size=BATCH_SIZE)
    a_log_without_gap_or_double(store)
    recovered_for_good(store)


@pytest.mark.rule("R6", "R10", "R14")
@pytest.mark.invariant(8)
@pytest.mark.parametrize("step", STEPS)
def test_a_purge_that_was_killed_is_finished_by_recovery(empty_store: Store, step: str) -> None:
    """R6, R10, R14: at every step no file is gone without its authorisation, and no outcome is told too early."""
    finished_by_recovery(empty_store, *STEPS[step])


@pytest.mark.rule("R6", "R10", "R14")
@pytest.mark.invariant(8)
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_purge_that_was_killed_at_a_flush_of_its_log_is_finished_by_recovery(tmp_path: Path, number: int) -> None:
    """R6, R10, R14: SQLite, for a server's flushes are in its own process."""
    finished_by_recovery(Store(tmp_path), "log.db-wal", "fsync", number)


def finished_by_recovery(store: Store, place: str, call: str, occurrence: int) -> None:
    """Kill `project` as it makes a system call for a place, and recover."""
    tracer = strace()
    store.open("--wrap", "20")
    store.produce(3)
    due, kept = names_of(0, batch_size=BATCH_SIZE), names_of(1, 2, batch_size=BATCH_SIZE)
    inject = f"inject={call}:signal=KILL:when={occurrence}"
    killed = subprocess.run(
        [
            *(tracer, "-f", "-qq", "-o", str(store.directory / "trace"), "-P", str(store.directory / place)),
            *("-e", f"trace={call}", "-e", inject),
            *store.command("project"),
        ],
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -9
    events = store.events()
    assert kept <= store.names()
    if due - store.names():
        assert of_type(events, "PurgeIssued")
    if of_type(events, "SegmentsPurged"):
        assert store.names() == kept

    recovered = store.process("recover")
    assert recovered.returncode == 0, recovered.stderr
    store.process("project")
    assert store.events()[: len(events)] == events
    assert store.names() == kept
    a_log_without_gap_or_double(store)
    recovered_for_good(store)
