"""Who holds a media root or a channel: one at a time, of all threads and processes, and never the dead."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from domain.errors import Refused, RootSuspect
from media.segment_root import SegmentRoots
from tests.integration.media_tree import CHANNEL, is_locked, started

HOLD = """
import sys
from media.segment_root import SegmentRoots
root = sys.argv[1]
with SegmentRoots().producing(root, "news"), SegmentRoots().exclusive(root):
    print("held", flush=True)
    sys.stdin.read()
"""
COUNT = """
import pathlib, sys
from media.segment_root import SegmentRoots
counter = pathlib.Path(sys.argv[1], "counter")
for _ in range(100):
    with SegmentRoots().exclusive(sys.argv[1]):
        counter.write_text(str(int(counter.read_text()) + 1))
"""

files = SegmentRoots()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "media").mkdir()
    return tmp_path / "media"


def test_a_root_is_held_as_long_as_the_block_lasts(root: Path) -> None:
    with files.exclusive(str(root)):
        assert is_locked(root)
    assert not is_locked(root)


def test_a_root_is_free_again_after_an_error(root: Path) -> None:
    with pytest.raises(ZeroDivisionError), files.exclusive(str(root)):
        _ = 1 // 0
    assert not is_locked(root)


def test_threads_and_processes_hold_a_root_one_after_the_other(root: Path) -> None:
    counter = root / "counter"
    counter.write_text("0")

    def count() -> None:
        for _ in range(100):
            with files.exclusive(str(root)):
                counter.write_text(str(int(counter.read_text()) + 1))

    processes = [started(COUNT, str(root)) for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(count) for _ in range(4)]:
            done.result()
    for process in processes:
        process.communicate()
    assert counter.read_text() == "600"


@pytest.mark.rule("R17")
def test_who_waited_for_a_root_that_was_replaced_holds_the_one_at_the_path(root: Path) -> None:
    held = threading.Event()
    release = threading.Event()

    def wait() -> None:
        with files.exclusive(str(root)):
            held.set()
            release.wait()

    waiter = threading.Thread(target=wait, daemon=True)
    with files.exclusive(str(root)):
        waiter.start()
        until_somebody_waits_for(root)
        root.rename(root.with_name("old"))
        root.mkdir()
    assert held.wait(60)
    assert is_locked(root)
    assert not is_locked(root.with_name("old"))
    release.set()
    waiter.join()


def until_somebody_waits_for(directory: Path) -> None:
    locks = Path("/proc/locks")
    if not locks.exists():
        pytest.skip("NOT TESTED: /proc/locks does not tell who waits")
    inode = f":{directory.stat().st_ino} "
    while not any("->" in line and inode in line for line in locks.read_text().splitlines()):
        os.sched_yield()


@pytest.mark.rule("R17")
def test_a_missing_root_cannot_be_held(tmp_path: Path) -> None:
    for hold in (files.exclusive(str(tmp_path / "no")), files.producing(str(tmp_path / "no"), CHANNEL)):
        with pytest.raises(RootSuspect, match="it is missing"), hold:
            pass


def test_a_channel_has_one_producer(root: Path) -> None:
    with files.producing(str(root), CHANNEL):
        with (
            pytest.raises(Refused, match="channel: 'news' is refused by R20: another process produces it"),
            files.producing(str(root), CHANNEL),
        ):
            pass
        with files.producing(str(root), "sport"), files.exclusive(str(root)):
            pass
    with files.producing(str(root), CHANNEL):
        assert is_locked(root / CHANNEL)
    assert not is_locked(root / CHANNEL)


def test_the_hold_of_a_process_ends_with_it_even_by_kill(root: Path) -> None:
    process = started(HOLD, str(root))
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert is_locked(root)
    with pytest.raises(Refused, match="another process produces it"), files.producing(str(root), CHANNEL):
        pass
    process.kill()
    process.communicate()
    with files.producing(str(root), CHANNEL), files.exclusive(str(root)):
        pass


def test_a_child_process_does_not_inherit_a_hold(root: Path) -> None:
    with files.producing(str(root), CHANNEL):
        child = started("import sys; print('alive', flush=True); sys.stdin.read()")
        assert child.stdout is not None
        assert child.stdout.readline() == "alive\n"
    assert not is_locked(root / CHANNEL)
    child.communicate()


@pytest.mark.rule("R20")
def test_a_channel_behind_a_link_cannot_be_produced(tmp_path: Path, root: Path) -> None:
    (tmp_path / "canary").mkdir()
    (root / CHANNEL).symlink_to(tmp_path / "canary")
    with (
        pytest.raises(Refused, match="channel: 'news' is refused by R20: a link or a file is in the place"),
        files.producing(str(root), CHANNEL),
    ):
        pass
    assert not is_locked(tmp_path / "canary")
