"""Processes that read the log along with the verifier: what they make of it, and what becomes of them."""

import os
import threading
from multiprocessing import active_children

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
