"""The marker of a media root: made once, whole, and replaced by an operator's word alone (R17)."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from application.ports import Marker
from domain.errors import Invalid, RootSuspect
from media.marker_file import MARKER_FILE
from media.segment_root import SegmentRoots
from tests.integration.media_tree import mode, mounted_tmpfs, names, reachable_root, started, traced, unprivileged

OURS = Marker(store_id="store-1", root_id="root-1")
LINE = b'{"store_id":"store-1","root_id":"root-1"}\n'
ADOPT = """
import sys
from application.ports import Marker
from media.segment_root import SegmentRoots
print(SegmentRoots().adopt(sys.argv[1], Marker("store-1", "root-1")))
"""
MARK = ADOPT.replace(".adopt(", ".mark(")

pytestmark = pytest.mark.rule("R17")
files = SegmentRoots()


def test_a_new_root_is_made_with_the_directories_above_it_and_marked(tmp_path: Path) -> None:
    root = tmp_path / "srv" / "media"
    assert files.adopt(str(root), OURS) == OURS
    assert (root / MARKER_FILE).read_bytes() == LINE
    assert files.read_marker(str(root)) == OURS
    assert names(root, ".") == [MARKER_FILE]


def test_a_root_keeps_the_marker_that_it_has(tmp_path: Path) -> None:
    files.adopt(str(tmp_path), OURS)
    assert files.adopt(str(tmp_path), Marker(store_id="store-2", root_id="root-2")) == OURS
    assert (tmp_path / MARKER_FILE).read_bytes() == LINE


def test_of_many_who_adopt_a_root_at_once_all_get_the_same_marker(tmp_path: Path) -> None:
    claims = [Marker(store_id="store-1", root_id=f"root-{number}") for number in range(16)]
    with ThreadPoolExecutor(len(claims)) as pool:
        found = set(pool.map(lambda claim: files.adopt(str(tmp_path / "media"), claim), claims))
    assert len(found) == 1
    assert found == {files.read_marker(str(tmp_path / "media"))}
    assert names(tmp_path, "media") == [MARKER_FILE]


def test_a_root_without_a_marker_has_none(tmp_path: Path) -> None:
    assert files.read_marker(str(tmp_path)) is None


def test_a_missing_root_is_suspect(tmp_path: Path) -> None:
    with pytest.raises(RootSuspect, match="it is missing"):
        files.read_marker(str(tmp_path / "media"))


def test_a_file_is_no_root(tmp_path: Path) -> None:
    (tmp_path / "media").touch()
    for call in (files.read_marker, lambda root: files.adopt(root, OURS)):
        with pytest.raises(RootSuspect, match="cannot be opened: ENOTDIR"):
            call(str(tmp_path / "media"))


def test_a_root_below_a_file_or_a_dangling_link_is_suspect(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("unmounted")
    for root in (tmp_path / "file" / "media", tmp_path / "link"):
        with pytest.raises(RootSuspect):
            files.adopt(str(root), OURS)
    assert names(tmp_path, ".") == ["file", "link"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"store_id":"store-1"}',
        b'{"store_id":"store-1","root_id":1}',
        b'{"store_id":"store-1","root_id":""}',
        b'{"store_id":"store-1","root_id":"root-1","more":"x"}',
        LINE[:-3],
        LINE + LINE,
        LINE + b" " * 5000,
        json.dumps({"store_id": "store-1", "root_id": "r" * 5000}).encode(),
    ],
)
def test_a_marker_that_is_not_understood_is_suspect_and_stays(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MARKER_FILE).write_bytes(content)
    for call in (files.read_marker, lambda root: files.adopt(root, OURS)):
        with pytest.raises(RootSuspect, match="is not one line of JSON with a store_id and a root_id"):
            call(str(tmp_path))
    assert (tmp_path / MARKER_FILE).read_bytes() == content


@pytest.mark.parametrize("instead", ["a link", "a fifo", "a directory"])
def test_a_marker_that_is_no_regular_file_is_suspect(tmp_path: Path, instead: str) -> None:
    (tmp_path / "elsewhere").write_bytes(LINE)
    marker = tmp_path / MARKER_FILE
    if instead == "a link":
        marker.symlink_to("elsewhere")
    elif instead == "a fifo":
        os.mkfifo(marker)
    else:
        marker.mkdir()
    with pytest.raises(RootSuspect, match=r"its marker \.trailkeep-root cannot be read: (ELOOP|EINVAL)"):
        files.read_marker(str(tmp_path))


def test_a_marker_that_may_not_be_read_or_made_is_suspect() -> None:
    with reachable_root() as root:
        with mode(root, 0o555), unprivileged(), pytest.raises(RootSuspect, match="cannot be made: EACCES"):
            files.adopt(str(root), OURS)
        files.adopt(str(root), OURS)
        with (
            mode(root / MARKER_FILE, 0o000),
            unprivileged(),
            pytest.raises(RootSuspect, match="cannot be read: EACCES"),
        ):
            files.read_marker(str(root))


def test_a_relative_root_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Invalid, match="media_root: 'media' is not allowed: an absolute path"):
        files.adopt("media", OURS)
    assert names(tmp_path, ".") == []


def test_the_marker_and_every_new_directory_are_flushed_before_it_counts(tmp_path: Path) -> None:
    root = tmp_path / "srv" / "media"
    code, calls, _ = traced(
        ADOPT, str(root), log=tmp_path / "calls", calls="mkdir,mkdirat,fsync,rename,renameat,unlink,unlinkat"
    )
    assert code == 0
    steps = [(call.split("(")[0], call) for call in calls if str(tmp_path) in call]
    assert [step.removesuffix("at") for step, _ in steps] == [
        "mkdir", "fsync", "mkdir", "fsync", "fsync", "rename", "fsync",
    ]  # fmt: skip
    assert f"<{tmp_path}>" in steps[1][1]
    assert f"<{tmp_path}/srv>" in steps[3][1]
    assert f"<{root}/{MARKER_FILE}." in steps[4][1]
    assert f"<{root}>" in steps[6][1]


@pytest.mark.parametrize("call", ["fsync:signal=KILL:when=3", "rename,renameat:signal=KILL:when=1"])
def test_a_marker_whose_maker_was_killed_is_whole_or_not_there_and_nothing_is_left(tmp_path: Path, call: str) -> None:
    root = tmp_path / "srv" / "media"
    code, _, _ = traced(ADOPT, str(root), log=tmp_path / "calls", calls="fsync,rename,renameat", inject=call)
    assert code != 0
    assert files.read_marker(str(root)) in (None, OURS)
    assert files.adopt(str(root), OURS) == OURS
    assert names(root, ".") == [MARKER_FILE]


def test_processes_agree_about_a_marker(tmp_path: Path) -> None:
    processes = [started(ADOPT, str(tmp_path / "media")) for _ in range(3)]
    said = {process.communicate() for process in processes}
    assert len(said) == 1
    assert {process.returncode for process in processes} == {0}


# by an operator's word


@pytest.mark.parametrize("before", [None, b"garbage", b'{"store_id":"store-2","root_id":"root-2"}\n', LINE])
def test_a_root_gets_its_marker_whatever_it_had(tmp_path: Path, before: bytes | None) -> None:
    if before is not None:
        (tmp_path / MARKER_FILE).write_bytes(before)
    files.mark(str(tmp_path), OURS)
    assert (tmp_path / MARKER_FILE).read_bytes() == LINE
    assert names(tmp_path, ".") == [MARKER_FILE]


@pytest.mark.parametrize("instead", ["a link", "a fifo"])
def test_what_is_no_file_gives_way_and_no_link_is_followed(tmp_path: Path, instead: str) -> None:
    marker, elsewhere = tmp_path / MARKER_FILE, tmp_path / "elsewhere"
    elsewhere.write_bytes(b"somebody else's")
    marker.symlink_to("elsewhere") if instead == "a link" else os.mkfifo(marker)
    files.mark(str(tmp_path), OURS)
    assert files.read_marker(str(tmp_path)) == OURS
    assert elsewhere.read_bytes() == b"somebody else's"


def test_a_root_that_is_missing_gets_none_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(RootSuspect, match="it is missing"):
        files.mark(str(tmp_path / "media"), OURS)
    assert names(tmp_path, ".") == []


def test_a_root_that_may_not_be_written_keeps_what_it_has() -> None:
    with reachable_root() as root:
        files.adopt(str(root), Marker(store_id="store-2", root_id="root-2"))
        with mode(root, 0o555), unprivileged(), pytest.raises(RootSuspect, match="cannot be written: EACCES"):
            files.mark(str(root), OURS)
        assert files.read_marker(str(root)) == Marker(store_id="store-2", root_id="root-2")
        assert names(root, ".") == [MARKER_FILE]


def test_the_marker_is_flushed_before_it_takes_its_place_and_its_place_after(tmp_path: Path) -> None:
    root = tmp_path / "media"
    root.mkdir()
    code, calls, _ = traced(MARK, str(root), log=tmp_path / "calls", calls="fsync,rename,renameat,renameat2")
    assert code == 0
    steps = [call for call in calls if str(root) in call]
    assert [step.split("(")[0].removesuffix("2").removesuffix("at") for step in steps] == ["fsync", "rename", "fsync"]
    assert f"<{root}/{MARKER_FILE}." in steps[0]
    assert f"<{root}>" in steps[2]


@pytest.mark.parametrize("when", [1, 2])
def test_a_marker_that_cannot_be_flushed_is_not_taken_for_written(tmp_path: Path, when: int) -> None:
    inject = f"fsync:error=EIO:when={when}"
    code, _, said = traced(MARK, str(tmp_path), log=tmp_path.with_name("calls"), calls="fsync", inject=inject)
    assert code != 0
    assert "EIO" in said
    assert names(tmp_path, ".") == ([] if when == 1 else [MARKER_FILE])


# which filesystem


def test_the_filesystem_is_the_same_at_each_look_and_another_below_a_mount_point(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    before = files.device(str(tmp_path / "one"))
    assert before == files.device(str(tmp_path / "one")) == files.device(str(tmp_path / "two"))
    assert len(before) == 16
    assert int(before, 16) >= 0
    with mounted_tmpfs(tmp_path / "one"):
        assert files.device(str(tmp_path / "one")) != before
    assert files.device(str(tmp_path / "one")) == before


def test_a_missing_root_is_on_no_filesystem(tmp_path: Path) -> None:
    with pytest.raises(RootSuspect, match="it is missing"):
        files.device(str(tmp_path / "media"))
