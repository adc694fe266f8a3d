"""Every call fails once: the process ends properly or goes on, and without faults all comes to the same clean end.

A shim in C, preloaded, fails call number n of a channel's life (see `fault_shim.c`), for n = 1, 2, 3 ... until the life
has fewer calls. What must hold is in `fault_judge.py`. `make test` tries some cases, chosen by seeds; all of them run
with TRAILKEEP_TORTURE=1. A case that fails prints the command that runs it alone.
"""

import errno
import itertools
import os
import random
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.command_line import Store, of_type
from tests.torture.campaign import FULL
from tests.torture.conftest import Replay
from tests.torture.fault_lab import CALLS, Fault, Found, Lab, NoCompilerError, laboratory, shim
from tests.torture.fault_life import LIVES

ERRORS = ("EIO", "ENOSPC", "EROFS", "EACCES", "EPERM", "EMFILE", "EINTR")
NEVER = {"read": set(ERRORS) - {"EIO", "EINTR"}}
"""What the manual knows no reason for, of calls that change nothing. It is tried on every seventh."""

BURST = 7
"""So many calls in a row fail in the second part: whoever tries again fails again."""

SLICE = range(24)
SWEEPS = [(call, error) for call in CALLS for error in ERRORS]
torture = pytest.mark.skipif(not FULL, reason="NOT TESTED: the whole campaign runs with TRAILKEEP_TORTURE=1")


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    try:
        with laboratory() as made:
            yield made
    except NoCompilerError as error:
        pytest.skip(f"NOT TESTED: the shim that makes calls fail cannot be made: {error}")


def judge(replay: Replay, fault: Fault, found: Found, seed: int = 0) -> None:
    replay.case(seed=seed, command=f".venv/bin/{fault.command()}")
    if found.wrong:
        pytest.fail("\n".join([*found.wrong, f"the first call that failed: {found.place}", found.said]), pytrace=False)


def sweep(lab: Lab, replay: Replay, life: str, call: str, error: str, *, times: int = 1, stride: int = 1) -> None:
    """Try the fault at each of the life's calls."""
    for cases, at in enumerate(itertools.count(1, stride)):
        fault = Fault(life, call, error, at, times)
        found = lab.run(fault)
        judge(replay, fault, found)
        if not found.place:
            assert cases
            replay.did(cases)
            return


@pytest.fixture(scope="session")
def counts(lab: Lab) -> dict[str, dict[str, int]]:
    """How many calls of each kind a life has in which nothing fails."""
    found = {life: lab.run(Fault(life, "write", "EIO", at=0)) for life in LIVES}
    assert {life: (one.code, one.place, one.wrong) for life, one in found.items()} == dict.fromkeys(LIVES, (0, "", []))
    return {life: one.seen for life, one in found.items()}


def test_every_life_has_calls_of_every_kind(counts: dict[str, dict[str, int]]) -> None:
    """Otherwise the rest would show nothing."""
    assert [(life, call) for life, seen in counts.items() for call in CALLS if not seen[call]] == []


def test_a_call_that_is_to_fail_fails(lab: Lab) -> None:
    """Here the database, which cannot be opened: the command says so, and ends with 1."""
    found = lab.run(Fault("born", "open", "EACCES", at=1))
    assert found.place.startswith("open ")
    assert found.place.endswith("/log.db")
    assert "unable to open database file" in found.said
    assert (found.code, found.wrong) == (1, [])


@pytest.mark.rule("R10", "R17")
@pytest.mark.invariant(9)
def test_a_flush_that_fails_once_is_held_against_the_root(lab: Lab, replay: Replay) -> None:
    """R10, R17: one after the other, up to that of the first segment; none is tried again into success."""
    for at in itertools.count(1):
        fault = Fault("produced", "fsync", "EIO", at)
        found = lab.run(fault)
        judge(replay, fault, found)
        if found.place.endswith(".ts"):
            return


@pytest.mark.rule("R6", "R10", "R14", "R15")
@pytest.mark.parametrize("seed", SLICE)
def test_after_some_fault_all_comes_to_a_clean_end(
    lab: Lab, replay: Replay, counts: dict[str, dict[str, int]], seed: int
) -> None:
    """R6, R10, R14, R15."""
    chance = random.Random(seed)
    life = chance.choices(list(LIVES), [10, 1, 2])[0]
    call = chance.choices([call for call in CALLS if counts[life][call]])[0]
    at, times = chance.randint(1, counts[life][call]), chance.choice([1, BURST])
    fault = Fault(life, call, chance.choice(ERRORS), at, times)
    found = lab.run(fault)
    assert found.place
    judge(replay, fault, found, seed)


@torture
@pytest.mark.timeout(7200)
@pytest.mark.rule("R6", "R10", "R14", "R15")
@pytest.mark.parametrize(("call", "error"), SWEEPS)
def test_after_each_fault_all_comes_to_a_clean_end(lab: Lab, replay: Replay, call: str, error: str) -> None:
    """R6, R10, R14, R15: call after call of a channel that Trailkeep produces."""
    sweep(lab, replay, "produced", call, error, stride=7 if error in NEVER.get(call, ()) else 1)


@torture
@pytest.mark.timeout(7200)
@pytest.mark.rule("R6", "R10", "R14", "R15")
@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EMFILE"])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "unlink", "rename"])
def test_after_a_burst_of_faults_all_comes_to_a_clean_end(lab: Lab, replay: Replay, call: str, error: str) -> None:
    """R6, R10, R14, R15: what is tried again fails again."""
    sweep(lab, replay, "produced", call, error, times=BURST, stride=BURST)


@torture
@pytest.mark.timeout(7200)
@pytest.mark.rule("R6", "R10", "R14", "R15")
@pytest.mark.parametrize("call", CALLS)
def test_a_script_that_goes_on_after_each_fault_comes_to_a_clean_end(lab: Lab, replay: Replay, call: str) -> None:
    """R6, R10, R14, R15: command after command, each with a database to open and to close."""
    for number, error in enumerate(ERRORS):
        sweep(lab, replay, "scripted", call, error, stride=97 - number)


@torture
@pytest.mark.timeout(7200)
@pytest.mark.rule("R15", "R17", "R20")
@pytest.mark.parametrize("call", CALLS)
def test_a_store_that_could_not_be_made_is_made_later(lab: Lab, replay: Replay, call: str) -> None:
    """R15, R17, R20: database, schema, marker and directories."""
    for number, error in enumerate(ERRORS):
        sweep(lab, replay, "born", call, error, stride=7 - number)


def trust_what_lost_a_flush(store: Store) -> None:
    """What an operator does, or the root would stay suspect."""
    if any(root["suspect"] for root in store.answer("root", "list")):
        store.answer("root", "trust", str(store.root), "--reason", "the disk was looked at")


RUNS = [
    ("write", "ENOSPC"),
    ("open", "EMFILE"),
    ("open", "EROFS"),
    ("write", "EIO"),
    ("fsync", "EIO"),
    ("rename", "EIO"),
]


@pytest.mark.parametrize(("call", "error"), RUNS if FULL else RUNS[:1])
def test_a_run_whose_disk_fails_for_a_while_says_so_and_goes_on(tmp_path: Path, call: str, error: str) -> None:
    """`trailkeep run` itself, its threads and a real ffmpeg: all such calls fail from a batch on until it pauses."""
    place, failing = tmp_path / "place", tmp_path / "failing"
    place.mkdir()
    store = Store(place)
    config, said = str(store.config(2)), list[str]()
    environment = {
        **os.environ,
        "LD_PRELOAD": str(shim(tmp_path)),
        "FAULT_BELOW": str(place),
        "FAULT_KIND": str(CALLS.index(call)),
        "FAULT_ERROR": str(getattr(errno, error)),
        "FAULT_WHILE": str(failing),
    }
    command = store.command("run", config, "--batches", "5")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
        impatient = threading.Timer(100, process.kill)
        impatient.start()
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if "BatchCompleted" in line:
                failing.touch()
                break
        for line in process.stderr:
            said.append(line)
            if "paus" in line:
                failing.unlink(missing_ok=True)
                trust_what_lost_a_flush(store)
        process.communicate()
    impatient.cancel()
    assert "Traceback" not in "".join(said)
    assert process.returncode == 0, said
    assert store.process("recover").returncode == 0
    assert store.process("project").returncode == 0
    verified = store.process("verify")
    assert verified.returncode == 0, verified.stdout
    completed = [event["data"]["batch"] for event in of_type(store.events(), "BatchCompleted")]
    purged = [event["data"]["batch"] for event in of_type(store.events(), "SegmentsPurged")]
    assert completed == [0, 1, 2, 3, 4]
    assert purged == [0, 1, 2]
