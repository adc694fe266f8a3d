"""Processes that read the log along with the verifier: what they make of it, and what becomes of them."""

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from application.log_reader import Part
from application.ports import Share
from domain.errors import LogDamaged, NotFound
from entrypoints.readers import EVENTS_WORTH, MOST, Processes, ReadShare

SHARES = (Share(1, 2),)


def _dies(*_: object) -> Part:
    os._exit(9)


def _refuses(*_: object) -> Part:
    raise NotFound("session", "news", "a session id")


def _waits(*_: object) -> Part:
    threading.Event().wait()
    raise AssertionError


def _tells_much(*_: object) -> Any:
    return bytes(10_000_000)


def hold() -> None:
    """Be the parent of one that waits for ever."""
    with Processes(_waits, list).begin(SHARES, 10, 10):
        print(active_children()[0].pid, flush=True)
        threading.Event().wait()


def _lives(pid: str) -> bool:
    """Whether there is such a process, and nobody only has to take note of its end."""
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("read", [_dies, _refuses])
def test_a_reader_that_does_not_come_to_its_end_tells_nothing(read: ReadShare) -> None:
    with Processes(read, list).begin(SHARES, 10, 10) as reading, pytest.raises(LogDamaged, match="its share"):
        list(reading.parts())
    assert active_children() == []


def test_readers_that_are_not_needed_any_more_are_ended() -> None:
    with Processes(_waits, lambda: ["a page"]).begin(SHARES, 10, 10) as reading:
        assert len(active_children()) == 1
        assert list(reading.storage_faults()) == ["a page"]
    assert active_children() == []


def test_who_is_interrupted_does_not_wait_for_the_storage() -> None:
    asked, let, ended = threading.Event(), threading.Event(), list[int]()

    def storage_faults() -> list[str]:
        asked.set()
        let.wait(60)
        ended.append(1)
        return []

    with suppress(KeyboardInterrupt), Processes(_waits, storage_faults).begin(SHARES, 10, 10):
        assert asked.wait(60)
        raise KeyboardInterrupt
    assert (active_children(), ended) == ([], [])
    let.set()


def test_who_is_not_interrupted_waits_for_the_storage() -> None:
    """And those that read are ended before."""
    begun, reading = threading.Event(), list[list[BaseProcess]]()

    def storage_faults() -> list[str]:
        assert begun.wait(60)
        while active_children():
            time.sleep(0.01)
        reading.append(active_children())
        return []

    with suppress(LogDamaged), Processes(_waits, storage_faults).begin(SHARES, 10, 10):
        assert active_children()
        begun.set()
        raise LogDamaged(1, "it is torn")
    assert reading == [[]]


def test_a_reader_that_is_killed_while_it_answers_tells_nothing() -> None:
    with Processes(_tells_much, list).begin(SHARES, 10, 10) as reading:
        (answer,) = reading._answers
        assert answer.poll(60)
        for process in active_children():
            process.kill()
            process.join()
        with pytest.raises(LogDamaged, match="its share"):
            list(reading.parts())


def test_readers_end_with_whom_they_read_for() -> None:
    """Also when that one is killed: nobody would hear of what they find."""
    command = [sys.executable, "-c", "from tests.integration.test_readers import hold; hold()"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = parent.stdout.readline().strip()
        assert _lives(pid)
        parent.kill()
        deadline = time.monotonic() + 60
        while _lives(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not _lives(pid)


def test_a_short_log_is_read_by_one_and_a_long_one_by_those_that_there_are_processors_for() -> None:
    processes = Processes(_refuses, list)
    assert processes.worth(EVENTS_WORTH - 1) == 1
    allowed = os.sched_getaffinity(0)
    assert processes.worth(EVENTS_WORTH) == min(MOST, len(allowed))
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert processes.worth(10**9) == 1
    finally:
        os.sched_setaffinity(0, allowed)
