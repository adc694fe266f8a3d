"""Batches without playlists that complete side by side: their lines of the root's journal are written together.

The queue itself is tested where the log uses it (tests/contract/test_group_commit.py).
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from time import monotonic, sleep

import pytest

from application.ports import JournalLine
from domain.errors import FlushFailed, RootFull, RootSuspect
from media.journal_file import JournalFiles
from tests.memory_app import App, Channel, Store

PATIENCE_S = 30.0


class GatedJournals(JournalFiles):
    """Real journals, with a gate in front of the first append, and a disk that may fail."""

    def __init__(self) -> None:
        self.appended: list[int] = []
        self.begun, self.go_on = Event(), Event()
        self.fails = False
        self.room: int | None = None

    def append(self, root: str, lines: Sequence[JournalLine]) -> None:
        self.appended.append(len(lines))
        self.begun.set()
        assert self.go_on.wait(PATIENCE_S)
        if self.fails:
            raise FlushFailed(root, "its journal cannot be flushed to disk: EIO")
        if self.room is not None and len(lines) > self.room:
            raise RootFull(root, "its journal cannot be written: ENOSPC")
        super().append(root, lines)


@contextmanager
def completing(store: Store, root: Path, journals: GatedJournals) -> Iterator[tuple[list[Channel], list[Future[None]]]]:
    """Three channels below one root; the lines of the last two wait until the gate opens for the first."""
    app = App(store, journals=journals)
    channels = [Channel(app, root, name) for name in ("news", "radio", "sports")]
    for one in channels:
        one.open(playlist_window=0)
    with ThreadPoolExecutor(3) as pool:
        done = [pool.submit(channels[0].generate)]
        assert journals.begun.wait(PATIENCE_S)
        done += [pool.submit(one.generate) for one in channels[1:]]
        [queue] = app.publisher._journaling.values()
        end = monotonic() + PATIENCE_S
        while len(queue._waiting) < 2:
            assert monotonic() < end
            sleep(0.001)
        assert not any(one.done() for one in done), "nobody is told before it is on disk"
        journals.go_on.set()
        yield channels, done


@pytest.mark.rule("R15")
@pytest.mark.invariant(13)
def test_they_share_the_flush(store: Store, tmp_path: Path) -> None:
    """R15."""
    journals = GatedJournals()
    with completing(store, tmp_path / "root", journals) as (channels, done):
        for one in done:
            one.result(PATIENCE_S)
    assert journals.appended == [1, 2]
    lines, _ = JournalFiles().read(str(tmp_path / "root"))
    assert sorted(line.channel for line in lines if line.type == "BatchCompleted") == ["news", "radio", "sports"]
    assert all(one.kinds()[-1] == "BatchCompleted" for one in channels)


@pytest.mark.rule("R17")
@pytest.mark.invariant(9)
def test_a_flush_that_failed_is_held_against_the_root(store: Store, tmp_path: Path) -> None:
    """R17: it is recorded once; those who waited find the root suspect, and nothing is written."""
    journals = GatedJournals()
    journals.fails = True
    with completing(store, tmp_path / "root", journals) as (channels, done):
        for one in done:
            with pytest.raises(RootSuspect, match="EIO"):
                one.result(PATIENCE_S)
    assert journals.appended == [1]
    assert [type(one.event).__name__ for one in channels[0].app.log.read()].count("RootSuspected") == 1


@pytest.mark.rule("R17")
def test_where_there_is_room_for_one_line_and_not_for_all_each_has_its_own(store: Store, tmp_path: Path) -> None:
    """R17: no producer pauses for what the others write."""
    journals = GatedJournals()
    journals.room = 1
    with completing(store, tmp_path / "root", journals) as (_, done):
        for one in done:
            one.result(PATIENCE_S)
    assert journals.appended == [1, 2, 1, 1]
