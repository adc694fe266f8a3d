"""What reaches the disk, and in which order, as the kernel is asked for it; what an error or a crash there means."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from application.ports import Deletion
from domain.errors import FlushFailed, RootUnavailable
from domain.events import FileIdentity
from media.segment_root import SegmentRoots
from tests.integration.media_tree import CHANNEL, a_batch, names, started, steps, traced

DELETE = """
import sys, msgspec
from domain.errors import RootSuspect
from domain.events import FileIdentity
from media.segment_root import SegmentRoots
batch = msgspec.json.decode(sys.argv[2], type=tuple[FileIdentity, ...])
try:
    (done,) = SegmentRoots().delete_each(sys.argv[1], [("news", batch)])
    print(len(done.deleted), "deleted", len(done.already_absent), "absent")
except RootSuspect as suspect:
    print(suspect)
"""
DELETE_EACH = """
import sys, msgspec
from domain.events import FileIdentity
from media.segment_root import SegmentRoots
batches = msgspec.json.decode(sys.argv[2], type=list[tuple[str, tuple[FileIdentity, ...]]])
print([len(done.deleted) for done in SegmentRoots().delete_each(sys.argv[1], batches)])
"""
SHORT_OF_DESCRIPTORS = """
import os, resource, sys, msgspec
from domain.errors import RootUnavailable
from domain.events import FileIdentity
from media.segment_root import SegmentRoots
batches = msgspec.json.decode(sys.argv[2], type=list[tuple[str, tuple[FileIdentity, ...]]])
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
taken = []
try:
    while True:
        taken.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    for descriptor in taken[-int(sys.argv[3]):]:
        os.close(descriptor)
try:
    print([len(done.deleted) for done in SegmentRoots().delete_each(sys.argv[1], batches)])
except RootUnavailable as unavailable:
    assert "EMFILE" in str(unavailable)
    print(type(unavailable).__name__)
"""
SYNC = """
import sys
from domain.errors import RootSuspect
from media.segment_root import SegmentRoots
try:
    print(len(SegmentRoots().sync(sys.argv[1], "news", sys.argv[2:])))
except RootSuspect as suspect:
    print(suspect)
"""
Later = Callable[[int], None]
SYSTEM_CALLS = "unlink,unlinkat,fsync,openat,stat,lstat,newfstatat,fstat"


def delete(root: Path, batch: tuple[FileIdentity, ...], inject: str = "") -> tuple[int, list[str], str]:
    lines = msgspec.json.encode(batch).decode()
    return traced(DELETE, str(root), lines, log=root.with_name("calls"), calls="unlink,unlinkat,fsync", inject=inject)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "media"


@pytest.mark.rule("R10")
@pytest.mark.invariant(2)
def test_every_unlink_comes_before_one_flush_of_each_directory(root: Path) -> None:
    batch = (*a_batch(root, size=2, rendition="v1"), *a_batch(root, size=2, rendition="v2"))
    _, calls, said = delete(root, batch)
    assert said == "4 deleted 0 absent\n"
    assert steps(calls, root) == [
        "unlink news/v1/v1_segment_000.ts",
        "unlink news/v1/v1_segment_001.ts",
        "unlink news/v2/v2_segment_000.ts",
        "unlink news/v2/v2_segment_001.ts",
        "fsync news/v1",
        "fsync news/v2",
    ]


@pytest.mark.rule("R10")
@pytest.mark.invariant(2)
def test_the_files_of_all_channels_go_before_the_first_flush(root: Path) -> None:
    """One commit of the filesystem's journal is enough for all of them; each directory is flushed all the same."""
    batches = [("news", a_batch(root, size=2)), ("sports", a_batch(root, size=1, channel="sports"))]
    arguments = str(root), msgspec.json.encode(batches).decode()
    _, calls, said = traced(DELETE_EACH, *arguments, log=root.with_name("calls"), calls="unlink,unlinkat,fsync")
    assert said == "[2, 1]\n"
    unlinked, flushed = steps(calls, root)[:3], steps(calls, root)[3:]
    assert unlinked == [
        "unlink news/v1/v1_segment_000.ts",
        "unlink news/v1/v1_segment_001.ts",
        "unlink sports/v1/v1_segment_000.ts",
    ]
    assert sorted(flushed) == ["fsync news/v1", "fsync sports/v1"], "at the same time"


@pytest.mark.rule("R10")
@pytest.mark.parametrize("bad", ["news", "sports"])
def test_a_flush_of_any_channel_that_fails_makes_the_root_suspect(
    root: Path, bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R10: of none of them anything may be recorded as gone; each directory is asked for once."""
    asked = list[str]()

    def flush(_: int, where: str, what: str) -> None:
        asked.append(what)
        if bad in what:
            raise FlushFailed(where, f"{what} cannot be flushed to disk: EIO")

    monkeypatch.setattr("media.deletion.flush", flush)
    batches = [(channel, a_batch(root, size=2, channel=channel)) for channel in ("news", "sports")]
    with pytest.raises(FlushFailed, match=f"a directory of channel {bad} cannot be flushed to disk: EIO"):
        SegmentRoots().delete_each(str(root), batches)
    assert sorted(asked) == ["a directory of channel news", "a directory of channel sports"]


@pytest.mark.rule("R10")
@pytest.mark.invariant(9)
@pytest.mark.parametrize("first", ["news", "sports"])
def test_a_failed_flush_is_told_before_anything_else_that_went_wrong(
    root: Path, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R10: the kernel tells of it once, so it must not get lost behind another channel's trouble."""

    def flush(_: int, where: str, what: str) -> None:
        if "news" in what:
            raise RootUnavailable(where, "it cannot be opened now: EMFILE")
        raise FlushFailed(where, f"{what} cannot be flushed to disk: EIO")

    monkeypatch.setattr("media.deletion.flush", flush)
    channels = sorted(("news", "sports"), key=lambda channel: channel != first)
    batches = [(channel, a_batch(root, size=2, channel=channel)) for channel in channels]
    with pytest.raises(FlushFailed, match="a directory of channel sports cannot be flushed"):
        SegmentRoots().delete_each(str(root), batches)


@pytest.mark.rule("R10")
@pytest.mark.invariant(9)
def test_an_interrupt_does_not_hide_a_failed_flush(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R10: the next process would flush with success what this one was told is lost."""
    together = threading.Barrier(2)

    def flush(_: int, where: str, what: str) -> None:
        together.wait()
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        raise FlushFailed(where, f"{what} cannot be flushed to disk: EIO")

    monkeypatch.setattr("media.deletion.flush", flush)
    batches = [(channel, a_batch(root, size=2, channel=channel)) for channel in ("news", "sports")]
    with pytest.raises(FlushFailed):
        SegmentRoots().delete_each(str(root), batches)


@pytest.mark.rule("R10")
@pytest.mark.parametrize("threads", [0, 1])
def test_where_threads_run_out_one_flushes_what_is_left(
    root: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed, started = list[str](), list[threading.Thread]()
    start = threading.Thread.start

    def starting(thread: threading.Thread) -> None:
        if len(started) == threads:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", starting)
    monkeypatch.setattr("media.deletion.flush", lambda _, __, what: flushed.append(what))
    batches = [(channel, a_batch(root, size=2, channel=channel)) for channel in ("arts", "news", "sports")]
    assert [len(one.deleted) for one in SegmentRoots().delete_each(str(root), batches)] == [2, 2, 2]
    assert sorted(flushed) == [f"a directory of channel {channel}" for channel in ("arts", "news", "sports")]


@pytest.mark.rule("R10")
def test_where_descriptors_run_out_nothing_goes(root: Path) -> None:
    batches = [("news", a_batch(root)), ("sports", a_batch(root, channel="sports"))]
    for spare, said in ((5, "RootUnavailable"), (6, "[5, 5]")):  # for two channels: root, channel and rendition
        child = started(SHORT_OF_DESCRIPTORS, str(root), msgspec.json.encode(batches).decode(), str(spare))
        output, errors = child.communicate()
        assert (output.strip(), errors) == (said, "")
        assert len(names(root)) == (5 if spare == 5 else 0)


@pytest.mark.rule("R10")
@pytest.mark.invariant(2, 8)
def test_what_a_killed_attempt_unlinked_is_flushed_by_the_next(root: Path) -> None:
    batch = a_batch(root, size=3)
    code, _, _ = delete(root, batch, inject="fsync:signal=KILL:when=1")
    assert code != 0
    assert names(root) == []
    _, calls, said = delete(root, batch)
    assert said == "0 deleted 3 absent\n"
    assert steps(calls, root) == ["fsync news/v1", "fsync news", "fsync ."]


@pytest.mark.rule("R6", "R10")
@pytest.mark.invariant(8)
def test_a_killed_attempt_is_finished_by_the_next(root: Path) -> None:
    batch = a_batch(root, size=3)
    delete(root, batch, inject="unlink,unlinkat:signal=KILL:when=2")
    left = len(names(root))
    assert 0 < left < 3
    assert SegmentRoots().delete_each(str(root), [(CHANNEL, batch)])[0] == Deletion(
        deleted=batch[3 - left :], already_absent=tuple(file.file for file in batch[: 3 - left])
    )


@pytest.mark.rule("R10")
@pytest.mark.invariant(2)
def test_where_the_directory_itself_is_gone_those_above_are_flushed(root: Path) -> None:
    batch = a_batch(root, size=1)
    (root / CHANNEL / batch[0].file).unlink()
    (root / CHANNEL / "v1").rmdir()
    _, calls, _ = delete(root, batch)
    assert steps(calls, root) == ["fsync news", "fsync ."]
    (root / CHANNEL).rmdir()
    _, calls, _ = delete(root, batch)
    assert steps(calls, root) == ["fsync ."]
    (root / CHANNEL / "v1").mkdir(parents=True)
    _, calls, _ = delete(root, batch)
    assert steps(calls, root) == ["fsync news/v1", "fsync news", "fsync ."], "it was made again by somebody"


@pytest.mark.rule("R10", "R17")
@pytest.mark.invariant(2, 9)
def test_a_flush_that_fails_makes_the_root_suspect_and_is_not_tried_again(root: Path) -> None:
    batch = (*a_batch(root, size=1, rendition="v1"), *a_batch(root, size=1, rendition="v2"))
    _, calls, said = delete(root, batch, inject="fsync:error=EIO:when=1")
    assert "is suspect: a directory of channel news cannot be flushed to disk: EIO; purging of it pauses (R17)" in said
    assert [step for step in steps(calls, root) if "fsync" in step] == ["fsync news/v1"]


@pytest.mark.rule("R7")
@pytest.mark.parametrize("error", ["EIO", "EBUSY"])
def test_an_unlink_that_fails_is_an_outcome_of_that_file_alone(root: Path, error: str) -> None:
    code = DELETE.replace("print(len(done.deleted)", "print(*done.remaining, len(done.deleted)")
    _, _, said = traced(
        code,
        str(root),
        msgspec.json.encode(a_batch(root, size=3)).decode(),
        log=root.with_name("calls"),
        calls="unlink,unlinkat",
        inject=f"unlink,unlinkat:error={error}:when=2",
    )
    assert said == f"RemainingFile(name='v1/v1_segment_001.ts', errno='{error}') 2 deleted 0 absent\n"
    assert names(root) == ["v1_segment_001.ts"]


def test_a_purge_asks_the_kernel_twice_for_each_file_and_opens_each_directory_once(root: Path) -> None:
    batch = a_batch(root, size=20)
    arguments = (str(root), msgspec.json.encode(batch).decode())
    _, calls, _ = traced(DELETE, *arguments, log=root.with_name("calls"), calls=SYSTEM_CALLS)
    seen = [call for call in calls if str(root) in call]
    opened = [call for call in seen if call.startswith("openat")]
    assert len(opened) == 3
    assert all("O_DIRECTORY" in call and "O_CLOEXEC" in call for call in opened)
    assert all("O_NOFOLLOW" in call for call in opened[1:])
    assert len([call for call in seen if "v1_segment_" in call]) == 40


@pytest.mark.rule("R9")
@pytest.mark.invariant(7)
def test_files_are_flushed_before_their_directories_from_the_innermost_outwards(root: Path) -> None:
    batch = (*a_batch(root, size=2, rendition="v1"), *a_batch(root, size=1, rendition="v2"))
    arguments = (str(root), *(file.file for file in batch))
    _, calls, said = traced(SYNC, *arguments, log=root.with_name("calls"), calls="fsync")
    assert said == "3\n"
    assert steps(calls, root) == [
        "fsync news/v1/v1_segment_000.ts",
        "fsync news/v1/v1_segment_001.ts",
        "fsync news/v2/v2_segment_000.ts",
        "fsync news/v1",
        "fsync news/v2",
        "fsync news",
        "fsync .",
    ]


@pytest.mark.rule("R9", "R17")
@pytest.mark.invariant(7, 9)
@pytest.mark.parametrize(
    ("when", "what"), [(1, "v1/v1_segment_000.ts"), (3, "news/v1"), (4, "news"), (5, "its directory")]
)
def test_a_file_or_directory_that_cannot_be_flushed_makes_the_root_suspect(root: Path, when: int, what: str) -> None:
    arguments = (str(root), *(file.file for file in a_batch(root, size=2)))
    inject = f"fsync:error=EIO:when={when}"
    _, calls, said = traced(SYNC, *arguments, log=root.with_name("calls"), calls="fsync", inject=inject)
    assert f"is suspect: {what} cannot be flushed to disk: EIO" in said
    assert len(steps(calls, root)) == when


class TestDirectoriesThatNobodyChanged:
    """Those above a rendition's are flushed by a process once, and again when something came into them or went."""

    @pytest.fixture
    def flushed(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> list[str]:
        """The directories that were flushed, relative to the root, since the list was emptied."""
        paths: list[str] = []

        def noting(descriptor: int, *_: object) -> None:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            if path.is_dir():
                paths.append(str(path.relative_to(root)))

        monkeypatch.setattr("media.durable.flush", noting)
        monkeypatch.setattr("media.segment_root.flush", noting)
        return paths

    @pytest.fixture
    def later(self, monkeypatch: pytest.MonkeyPatch) -> Later:
        """Sets the clock that tells how old a change is: so many seconds after now."""
        return lambda seconds: monkeypatch.setattr("media.durable.time_ns", lambda: time.time_ns() + seconds * 10**9)

    @pytest.fixture
    def files(self, root: Path, flushed: list[str], later: Later) -> SegmentRoots:
        """Directories that came to be long ago, and were flushed by this process."""
        files = SegmentRoots()
        a_batch(root, size=3, rendition="v1")
        later(100)
        files.sync(str(root), CHANNEL, ["v1/v1_segment_000.ts"])
        assert flushed == [f"{CHANNEL}/v1", CHANNEL, "."]
        flushed.clear()
        return files

    def test_they_are_not_flushed_again(self, root: Path, files: SegmentRoots, flushed: list[str]) -> None:
        files.sync(str(root), CHANNEL, ["v1/v1_segment_001.ts"])
        assert flushed == [f"{CHANNEL}/v1"]

    def test_another_process_flushes_them(self, root: Path, files: SegmentRoots, flushed: list[str]) -> None:
        SegmentRoots().sync(str(root), CHANNEL, ["v1/v1_segment_001.ts"])
        assert flushed == [f"{CHANNEL}/v1", CHANNEL, "."]

    def test_one_with_something_new_is_flushed_each_time_while_it_is_young(
        self, root: Path, files: SegmentRoots, flushed: list[str], later: Later
    ) -> None:
        """The clock of a directory's ctime stands still within its tick."""
        a_batch(root, size=1, rendition="v2")
        later(1)
        for _ in range(2):
            files.sync(str(root), CHANNEL, ["v2/v2_segment_000.ts"])
        assert flushed == [f"{CHANNEL}/v2", CHANNEL] * 2
        flushed.clear()
        later(100)
        for _ in range(2):
            files.sync(str(root), CHANNEL, ["v2/v2_segment_000.ts"])
        assert flushed == [f"{CHANNEL}/v2", CHANNEL, f"{CHANNEL}/v2"]

    def test_one_that_was_given_its_old_mtime_again_is_flushed(
        self, root: Path, files: SegmentRoots, flushed: list[str]
    ) -> None:
        """As who puts files back from a copy leaves it."""
        before = (root / CHANNEL).stat().st_mtime_ns
        a_batch(root, size=1, rendition="v2")
        os.utime(root / CHANNEL, ns=(before, before))
        files.sync(str(root), CHANNEL, ["v2/v2_segment_000.ts"])
        assert flushed == [f"{CHANNEL}/v2", CHANNEL]

    def test_a_directory_that_was_made_anew_is_flushed(
        self, root: Path, files: SegmentRoots, flushed: list[str]
    ) -> None:
        (root / CHANNEL).rename(root / "aside")
        a_batch(root, size=1, rendition="v1")
        files.sync(str(root), CHANNEL, ["v1/v1_segment_000.ts"])
        assert flushed == [f"{CHANNEL}/v1", CHANNEL, "."]

    def test_one_that_could_not_be_flushed_is_not_taken_for_flushed(
        self, root: Path, files: SegmentRoots, flushed: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def failing(_: int, where: str, what: str) -> None:
            raise FlushFailed(where, f"{what} cannot be flushed to disk: EIO")

        (root / CHANNEL).rename(root / "aside")
        (root / "aside").rename(root / CHANNEL)
        with monkeypatch.context() as patched:
            patched.setattr("media.durable.flush", failing)
            with pytest.raises(FlushFailed):
                files.sync(str(root), CHANNEL, ["v1/v1_segment_001.ts"])
        flushed.clear()
        files.sync(str(root), CHANNEL, ["v1/v1_segment_001.ts"])
        assert flushed == [f"{CHANNEL}/v1", CHANNEL, "."]
