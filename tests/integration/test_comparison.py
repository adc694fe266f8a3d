"""One look at each file of a batch before its purge is authorised: it is absent, it is another, or nobody can say."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from application.ports import Comparison
from domain.errors import Invalid, RootSuspect
from domain.events import FileIdentity
from media.segment_root import SegmentRoots
from tests.integration.media_tree import (
    CHANGES,
    CHANNEL,
    a_batch,
    a_file,
    identity_of,
    mode,
    mounted_tmpfs,
    names,
    newer,
    reachable_root,
    traced,
    unprivileged,
)

FILE = "v1/v1_segment_000.ts"
COMPARE = """
import sys
import msgspec
from domain.events import FileIdentity
from media.segment_root import SegmentRoots
found = SegmentRoots().compare(sys.argv[1], "news", msgspec.json.decode(sys.argv[2], type=tuple[FileIdentity, ...]))
print(len(found.absent), len(found.changed))
"""


def compare(root: Path, *files: FileIdentity) -> Comparison:
    return SegmentRoots().compare(str(root), CHANNEL, files)


def test_of_files_that_are_what_was_recorded_there_is_nothing_to_say(tmp_path: Path) -> None:
    batch = (*a_batch(tmp_path, rendition="v1"), *a_batch(tmp_path, rendition="v2"))
    assert compare(tmp_path, *batch) == Comparison()
    assert compare(tmp_path) == Comparison()


@pytest.mark.rule("R11")
@pytest.mark.parametrize("change", CHANGES)
def test_what_is_no_longer_the_file_is_told_as_it_is(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """R11: a link is not followed, and a pipe is not waited for."""
    first, second = a_batch(tmp_path, size=2)
    change(tmp_path / CHANNEL / FILE)
    found, there = identity_of(tmp_path, FILE), names(tmp_path)
    assert compare(tmp_path, first, second) == Comparison(changed=(found,))
    assert (identity_of(tmp_path, FILE), names(tmp_path)) == (found, there), "nothing is touched"


@pytest.mark.rule("R11")
def test_a_directory_is_another_even_if_its_identity_were_recorded(tmp_path: Path) -> None:
    (tmp_path / CHANNEL / FILE).mkdir(parents=True)
    identity = identity_of(tmp_path, FILE)
    assert compare(tmp_path, identity) == Comparison(changed=(identity,))


@pytest.mark.rule("R7")
@pytest.mark.parametrize("missing", [FILE, "v1", ""], ids=["the file", "its rendition", "its channel"])
def test_what_is_missing_below_the_root_is_absent(tmp_path: Path, missing: str) -> None:
    identity = a_file(tmp_path)
    path = tmp_path / CHANNEL / missing
    path.unlink() if path.is_file() else shutil.rmtree(path)
    assert compare(tmp_path, identity) == Comparison(absent=(FILE,))


def test_each_file_is_told_of_by_itself_in_the_order_that_was_asked_for(tmp_path: Path) -> None:
    gone, there, other, away = (a_file(tmp_path, f"{one}/{one}_segment_000.ts") for one in ("v4", "v3", "v2", "v1"))
    (tmp_path / CHANNEL / gone.file).unlink()
    newer(tmp_path / CHANNEL / other.file)
    shutil.rmtree(tmp_path / CHANNEL / "v1")
    assert compare(tmp_path, gone, there, other, away) == Comparison(
        absent=(gone.file, away.file), changed=(identity_of(tmp_path, other.file),)
    )


@pytest.mark.rule("R17")
@pytest.mark.parametrize("place", [CHANNEL, f"{CHANNEL}/v1"])
@pytest.mark.parametrize("instead", ["a link", "a file"])
def test_what_cannot_be_looked_at_is_neither_absent_nor_another(tmp_path: Path, place: str, instead: str) -> None:
    """R17: something is in the place of its directory; whether the file is there nobody knows."""
    root = tmp_path / "root"
    identity = a_file(root)
    (root / place).rename(tmp_path / "moved")
    if instead == "a link":
        (root / place).symlink_to(tmp_path / "moved")
    else:
        (root / place).touch()
    assert compare(root, identity) == Comparison()


@pytest.mark.rule("R17")
def test_files_behind_a_closed_door_are_neither() -> None:
    with reachable_root() as root:
        shut, there = a_batch(root, size=2, rendition="v1"), a_batch(root, size=2, rendition="v2")
        (root / CHANNEL / there[0].file).unlink()
        with mode(root / CHANNEL / "v1", 0o000), unprivileged():
            assert compare(root, *shut, *there) == Comparison(absent=(there[0].file,))


@pytest.mark.rule("R17")
def test_files_on_a_disk_mounted_below_the_root_are_neither(tmp_path: Path) -> None:
    with mounted_tmpfs(tmp_path / CHANNEL):
        identity = a_file(tmp_path)
        assert compare(tmp_path, identity) == Comparison()


@pytest.mark.rule("R17")
def test_without_its_root_nothing_is_absent(tmp_path: Path) -> None:
    identity = a_file(tmp_path / "root")
    (tmp_path / "root").rename(tmp_path / "elsewhere")
    with pytest.raises(RootSuspect, match="it is missing"):
        compare(tmp_path / "root", identity)


@pytest.mark.rule("R20")
@pytest.mark.parametrize("file", ["", "x.ts", "v1/..", "../x.ts", "v1/a/b.ts"])
def test_only_files_of_renditions_are_looked_at(tmp_path: Path, file: str) -> None:
    with pytest.raises(Invalid, match="RENDITION/NAME"):
        compare(tmp_path, replace(a_file(tmp_path), file=file))


@pytest.mark.rule("R18")
@pytest.mark.parametrize("change", [None, os.unlink, *CHANGES])
def test_a_deletion_that_follows_finds_what_the_comparison_found(
    tmp_path: Path, change: Callable[[Path], None] | None
) -> None:
    """R18: the one look and the other judge by the same."""
    batch = a_batch(tmp_path, size=3)
    if change:
        change(tmp_path / CHANNEL / FILE)
    found = compare(tmp_path, *batch)
    (done,) = SegmentRoots().delete_each(str(tmp_path), [(CHANNEL, batch)])
    assert (found.absent, found.changed) == (done.already_absent, done.superseded)


def test_each_file_is_looked_at_once_and_none_is_opened(tmp_path: Path) -> None:
    batch = a_batch(tmp_path / "root", size=20)
    os.mkfifo(tmp_path / "root" / CHANNEL / "v1" / "fifo")
    pipe = identity_of(tmp_path / "root", "v1/fifo")
    arguments = (str(tmp_path / "root"), msgspec.json.encode((*batch, pipe)).decode())
    code, calls, said = traced(
        COMPARE, *arguments, log=tmp_path / "calls", calls="openat,open,stat,lstat,newfstatat,statx"
    )
    assert (code, said) == (0, "0 1\n")
    seen = [call for call in calls if str(tmp_path / "root") in call]
    assert len([call for call in seen if "v1_segment_" in call or "fifo" in call]) == 21
    assert len([call for call in seen if call.startswith("open")]) == 3
