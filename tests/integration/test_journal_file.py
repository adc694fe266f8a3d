"""R15: the journal of a media root as a file: appended and flushed, torn and mended, and no way out of the root."""

import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from application.ports import BEGINNING, JournalLine
from domain.errors import RootFull, RootSuspect, RootUnavailable
from media.journal_file import JOURNAL_FILE, JournalFiles
from tests.integration.media_tree import mounted_tmpfs, steps, traced

JOURNALS = JournalFiles()
APPEND = """
import sys
from application.ports import JournalLine
from domain.errors import RootUnavailable
from media.journal_file import JournalFiles
line = JournalLine(position=9, leaf_hash="", event_id="e9", store_id="s", session_id="i", channel="news", batch=9,
    type="BatchCompleted", recorded_at=9)
try:
    {call}
except RootUnavailable as error:
    print(type(error).__name__)
"""


def a_line(number: int, channel: str = "news") -> JournalLine:
    return JournalLine(
        position=number,
        leaf_hash=f"{number:064x}",
        event_id=f"e{number}",
        store_id="s",
        session_id="i",
        channel=channel,
        batch=None if number % 2 else number,
        type="BatchCompleted",
        recorded_at=number,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    return made


@pytest.fixture
def path(root: Path) -> Path:
    return root / JOURNAL_FILE


def append(root: Path, *numbers: int) -> None:
    JOURNALS.append(str(root), [a_line(number) for number in numbers])


def read(root: Path) -> list[int]:
    return [line.position for line in JOURNALS.read(str(root))[0]]


class TestLines:
    def test_a_root_without_a_journal_has_no_lines(self, root: Path) -> None:
        assert JOURNALS.read(str(root)) == ([], BEGINNING)

    def test_they_come_back_as_they_were_whatever_is_in_them(self, root: Path, path: Path) -> None:
        lines = [a_line(1), a_line(2, "Straße 新闻 \N{LINE SEPARATOR} \x85"), a_line(3)]
        for line in lines:
            JOURNALS.append(str(root), [line])
        assert JOURNALS.read(str(root))[0] == lines
        assert path.read_bytes().count(b"\n") == 3
        assert stat.S_IMODE(path.stat().st_mode) & 0o022 == 0

    def test_who_knows_a_part_reads_on_from_there(self, root: Path) -> None:
        append(root, 1, 2)
        lines, place = JOURNALS.read(str(root))
        append(root, 3)
        more, place = JOURNALS.read(str(root), place)
        assert [line.position for line in (*lines, *more)] == [1, 2, 3]
        assert (place.lines, JOURNALS.read(str(root), place)) == (3, ([], place))

    @pytest.mark.parametrize("other", ["shortened", "replaced", "removed", "cut"])
    def test_another_journal_is_read_from_its_beginning(self, root: Path, path: Path, other: str) -> None:
        append(root, 1, 2, 3)
        _, place = JOURNALS.read(str(root))
        if other == "shortened":
            JOURNALS.shorten(str(root), 2)
        elif other == "cut":
            os.truncate(path, len(path.read_bytes().splitlines()[0]) + 1)
        else:
            path.unlink()
        if other == "replaced":
            append(root, 4, 5, 6)
        found, place = JOURNALS.read(str(root), place)
        wanted = {"shortened": [2, 3], "replaced": [4, 5, 6], "removed": [], "cut": [1]}[other]
        assert [line.position for line in found] == wanted
        assert place.lines == len(wanted)

    def test_an_inode_that_is_used_again_is_not_taken_for_the_same_journal(self, root: Path, path: Path) -> None:
        append(root, 1, 2)
        _, place = JOURNALS.read(str(root))
        path.write_bytes(path.read_bytes().replace(b"e1", b"x1") * 2)
        assert path.stat().st_ino == place.inode
        assert len(JOURNALS.read(str(root), place)[0]) == 4

    def test_shortening_keeps_the_newest(self, root: Path, path: Path) -> None:
        append(root, *range(1, 11))
        path.with_name(f"{JOURNAL_FILE}.new").write_bytes(b"of one who died")
        JOURNALS.shorten(str(root), 3)
        assert read(root) == [8, 9, 10]
        append(root, 11)
        assert read(root) == [8, 9, 10, 11]
        assert [one.name for one in root.iterdir()] == [JOURNAL_FILE]


@pytest.mark.rule("R15")
class TestTornLines:
    """R15: a power cut in the middle of an append; nobody relied on that line."""

    TORN = (b'{"position":4,"leaf', b"\0" * 40, b'{"position":4,' + b"\0" * 20 + b"\n", b"\0\n", b"x" * 5000)

    @pytest.mark.parametrize("torn", TORN, ids=["an end", "zeros", "a hole", "a hole in a line", "long"])
    @pytest.mark.parametrize("before", [0, 3])
    def test_it_is_no_line_and_goes_with_the_next_append(
        self, root: Path, path: Path, torn: bytes, before: int
    ) -> None:
        whole = list(range(1, before + 1))
        if whole:
            append(root, *whole)
        with path.open("ab") as journal:
            journal.write(torn)
        assert read(root) == whole
        _, place = JOURNALS.read(str(root))
        append(root, 9)
        assert read(root) == [*whole, 9]
        assert torn not in path.read_bytes()
        assert [line.position for line in JOURNALS.read(str(root), place)[0]][-1] == 9

    def test_every_cut_of_the_last_line_leaves_those_before_it(self, root: Path, path: Path) -> None:
        append(root, 1, 2, 3)
        content = path.read_bytes()
        start = content[:-1].rfind(b"\n") + 1
        for size in range(start, len(content)):
            path.write_bytes(content[:size])
            assert read(root) == [1, 2]
            append(root, 4)
            assert read(root) == [1, 2, 4]

    @pytest.mark.parametrize("number", [1, 2])
    def test_what_is_damaged_before_the_last_line_is_said_with_its_place(
        self, root: Path, path: Path, number: int
    ) -> None:
        append(root, 1, 2, 3)
        texts = path.read_bytes().splitlines(keepends=True)
        texts[number - 1] = b'{"position":"one"}\n'
        path.write_bytes(b"".join(texts))
        with pytest.raises(RootSuspect, match=rf"line {number} of its journal .* cannot be understood.*move it away"):
            read(root)


@pytest.mark.rule("R17")
class TestWhatIsInItsPlace:
    """R17: it is opened below the root, and nothing is followed out of it."""

    @pytest.mark.parametrize("there", [True, False])
    def test_a_link_is_neither_read_nor_written_through(self, root: Path, path: Path, there: bool) -> None:
        outside = root.with_name("outside")
        if there:
            outside.write_bytes(b"somebody's\n")
        path.symlink_to(outside)
        for call in (lambda: append(root, 1), lambda: read(root)):
            with pytest.raises(RootSuspect, match="ELOOP"):
                call()
        assert outside.exists() == there
        assert not there or outside.read_bytes() == b"somebody's\n"

    def test_a_directory_or_a_fifo_is_refused_without_waiting(self, root: Path, path: Path) -> None:
        path.mkdir()
        for call in (lambda: append(root, 1), lambda: read(root)):
            with pytest.raises(RootSuspect, match=r"its journal .* cannot be"):
                call()
        path.rmdir()
        os.mkfifo(path)
        for call in (lambda: append(root, 1), lambda: read(root)):
            with pytest.raises(RootSuspect, match="EINVAL"):
                call()

    def test_a_root_that_is_not_there_is_said_to_be(self, tmp_path: Path) -> None:
        for call in (lambda: append(tmp_path / "x", 1), lambda: read(tmp_path / "x")):
            with pytest.raises(RootSuspect, match="is the disk mounted"):
                call()


@pytest.mark.rule("R10", "R15")
class TestDurability:
    """R10, R15: it is on disk when the call returns, or the call says that it is not."""

    def test_the_file_is_flushed_and_where_it_is_new_the_directory(self, root: Path) -> None:
        code = APPEND.format(call="JournalFiles().append(sys.argv[1], [line])")
        flushes = [f"fsync {JOURNAL_FILE}", "fsync ."]
        for wanted in flushes, flushes[:1]:
            calls = traced(code, str(root), log=root.with_name("calls"), calls="write,fsync")[1]
            written, *flushed = steps(calls, root)
            assert written.startswith(f"write {JOURNAL_FILE}")
            assert flushed == wanted
        assert len(read(root)) == 2

    def test_what_another_one_wrote_is_flushed_with_the_directory(self, root: Path) -> None:
        code = APPEND.format(call="JournalFiles().flush(sys.argv[1])")
        for wanted in [], [f"fsync {JOURNAL_FILE}", "fsync ."]:
            calls = traced(code, str(root), log=root.with_name("calls"), calls="write,fsync")[1]
            assert steps(calls, root) == wanted
            append(root, 1)

    def test_a_shortened_one_is_whole_before_it_takes_the_name(self, root: Path) -> None:
        append(root, 1, 2)
        code = APPEND.format(call="JournalFiles().shorten(sys.argv[1], 1)")
        calls = traced(code, str(root), log=root.with_name("calls"), calls="write,fsync,rename,renameat,renameat2")[1]
        assert [step.split()[0] for step in steps(calls, root)] == ["write", "fsync", "rename", "fsync"]

    @pytest.mark.parametrize(
        ("inject", "kind"),
        [
            ("fsync:error=EIO:when=1", "FlushFailed"),
            ("fsync:error=EIO:when=2", "FlushFailed"),
            ("fsync:error=ENOSPC:when=1", "RootFull"),
            ("write:error=EIO:when=1", "RootSuspect"),
        ],
    )
    def test_what_is_not_on_disk_is_not_said_to_be(self, root: Path, inject: str, kind: str) -> None:
        code = APPEND.format(call="JournalFiles().append(sys.argv[1], [line])")
        call = inject.partition(":")[0]
        out = traced(code, str(root), log=root.with_name("calls"), calls=call, inject=inject)[2]
        assert out == f"{kind}\n"
        assert read(root) == ([9] if "when=2" in inject else [])


def fill(disk: Path) -> Path:
    """Take every byte that is free."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as filling, suppress(OSError):
        while True:
            filling.write(bytes(4096))
    return ballast


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    with mounted_tmpfs(tmp_path / "small", "size=64k") as disk:
        yield disk


class TestFullDisk:
    def test_a_line_that_does_not_fit_is_not_there_in_part(self, small: Path) -> None:
        append(small, 1)
        ballast = fill(small)
        with pytest.raises(RootFull, match=r"its journal \.trailkeep-journal cannot be written: ENOSPC"):
            append(small, *range(2, 60))
        assert read(small) == [1]
        assert (small / JOURNAL_FILE).read_bytes().count(b"\n") == 1
        ballast.unlink()
        append(small, 2)
        assert read(small) == [1, 2]

    def test_a_journal_that_cannot_be_shortened_stays_as_it_is(self, small: Path) -> None:
        append(small, *range(1, 100))
        fill(small)
        with pytest.raises(RootFull):
            JOURNALS.shorten(str(small), 90)
        assert read(small) == list(range(1, 100))
        assert len(list(small.iterdir())) == 2

    def test_a_read_only_disk_is_unavailable_and_not_suspect(self, tmp_path: Path) -> None:
        with mounted_tmpfs(tmp_path / "disk") as disk:
            append(disk, 1)
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            with pytest.raises(RootUnavailable, match="EROFS") as error:
                append(disk, 2)
            assert not isinstance(error.value, RootSuspect | RootFull)
            assert read(disk) == [1]
