"""What a purge does to files: deletes those that still are what they were, and leaves everything else alone."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from application.ports import Deletion
from domain.errors import Invalid, RootSuspect, RootUnavailable
from domain.events import FileIdentity, RemainingFile
from domain.segments import DEEPEST
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
    unprivileged,
)

FILE = "v1/v1_segment_000.ts"


def delete(root: Path, *files: FileIdentity) -> Deletion:
    return SegmentRoots().delete_each(str(root), [(CHANNEL, files)])[0]


@pytest.mark.rule("R10")
def test_files_that_are_what_they_were_are_deleted(tmp_path: Path) -> None:
    batch = (*a_batch(tmp_path, rendition="v1"), *a_batch(tmp_path, rendition="v2"))
    a_file(tmp_path, "v1/v1_segment_005.ts")
    assert delete(tmp_path, *batch) == Deletion(deleted=batch)
    assert names(tmp_path) == ["v1_segment_005.ts"]
    assert names(tmp_path, "news/v2") == []


@pytest.mark.rule("R7")
@pytest.mark.parametrize("missing", [FILE, "v1", ""], ids=["the file", "its rendition", "its channel"])
def test_what_is_missing_below_the_root_is_already_absent(tmp_path: Path, missing: str) -> None:
    identity = a_file(tmp_path)
    path = tmp_path / CHANNEL / missing
    path.unlink() if path.is_file() else shutil.rmtree(path)
    assert delete(tmp_path, identity) == Deletion(already_absent=(FILE,))


@pytest.mark.rule("R17")
@pytest.mark.invariant(6)
def test_without_its_root_nothing_is_absent(tmp_path: Path) -> None:
    identity = a_file(tmp_path / "root")
    (tmp_path / "root").rename(tmp_path / "elsewhere")
    with pytest.raises(RootSuspect, match=r"root' is suspect: it is missing; is the disk mounted\?"):
        delete(tmp_path / "root", identity)


@pytest.mark.rule("R11")
@pytest.mark.invariant(5)
@pytest.mark.parametrize("change", CHANGES)
def test_what_is_no_longer_the_file_is_superseded_and_left_alone(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    identity = a_file(tmp_path)
    before = names(tmp_path)
    change(tmp_path / CHANNEL / FILE)
    found = identity_of(tmp_path, FILE)
    assert found != identity
    assert delete(tmp_path, identity) == Deletion(superseded=(found,))
    assert set(before) <= set(names(tmp_path))
    assert identity_of(tmp_path, FILE) == found


@pytest.mark.rule("R11")
def test_a_directory_is_left_alone_even_if_its_identity_were_recorded(tmp_path: Path) -> None:
    (tmp_path / CHANNEL / FILE).mkdir(parents=True)
    identity = identity_of(tmp_path, FILE)
    assert delete(tmp_path, identity) == Deletion(superseded=(identity,))


@pytest.mark.rule("R11")
def test_another_name_of_a_deleted_file_stays(tmp_path: Path) -> None:
    identity = a_file(tmp_path)
    os.link(tmp_path / CHANNEL / FILE, tmp_path / CHANNEL / "held.ts")
    assert delete(tmp_path, identity) == Deletion(deleted=(identity,))
    assert (tmp_path / CHANNEL / "held.ts").read_bytes() == b"segment"


@pytest.mark.rule("R7")
def test_each_file_of_a_batch_has_its_own_outcome(tmp_path: Path) -> None:
    deleted, absent, superseded, behind_a_file = (
        a_file(tmp_path, f"{rendition}/{rendition}_segment_000.ts") for rendition in ("v1", "v2", "v3", "v4")
    )
    (tmp_path / CHANNEL / absent.file).unlink()
    newer(tmp_path / CHANNEL / superseded.file)
    shutil.rmtree(tmp_path / CHANNEL / "v4")
    (tmp_path / CHANNEL / "v4").touch()
    assert delete(tmp_path, deleted, absent, superseded, behind_a_file) == Deletion(
        deleted=(deleted,),
        already_absent=(absent.file,),
        superseded=(identity_of(tmp_path, superseded.file),),
        remaining=(RemainingFile(name=behind_a_file.file, errno="ENOTDIR"),),
    )


@pytest.mark.rule("R10")
@pytest.mark.invariant(5)
@pytest.mark.parametrize("place", [CHANNEL, f"{CHANNEL}/v1"])
def test_a_link_in_the_place_of_a_directory_leads_nowhere(tmp_path: Path, place: str) -> None:
    root, canary = tmp_path / "root", tmp_path / "canary"
    identity = a_file(root)
    (root / place).rename(canary)
    (root / place).symlink_to(canary)
    assert delete(root, identity) == Deletion(remaining=(RemainingFile(name=FILE, errno="ENOTDIR"),))
    assert identity_of(root, FILE) == identity


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    identity = a_file(tmp_path / "disk")
    (tmp_path / "root").symlink_to("disk")
    assert delete(tmp_path / "root", identity) == Deletion(deleted=(identity,))


@pytest.mark.rule("R7")
def test_a_file_that_may_not_be_deleted_remains_and_goes_when_it_may() -> None:
    with reachable_root() as root:
        identity = a_file(root)
        with mode(root / CHANNEL / "v1", 0o555), unprivileged():
            assert delete(root, identity) == Deletion(remaining=(RemainingFile(name=FILE, errno="EACCES"),))
        assert delete(root, identity) == Deletion(deleted=(identity,))


@pytest.mark.rule("R7")
def test_files_of_a_directory_that_may_not_be_entered_remain() -> None:
    with reachable_root() as root:
        batch = a_batch(root, size=2)
        with mode(root / CHANNEL / "v1", 0o000), unprivileged():
            done = delete(root, *batch)
    assert done == Deletion(remaining=tuple(RemainingFile(name=file.file, errno="EACCES") for file in batch))


@pytest.mark.rule("R7")
def test_an_immutable_file_remains_and_the_others_go(tmp_path: Path) -> None:
    first, second, third = a_batch(tmp_path, size=3)
    path = str(tmp_path / CHANNEL / second.file)
    try:
        subprocess.run(["chattr", "+i", path], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"NOT TESTED: no file can be made immutable here: {error}")
    try:
        done = delete(tmp_path, first, second, third)
    finally:
        subprocess.run(["chattr", "-i", path], check=True)
    assert done == Deletion(deleted=(first, third), remaining=(RemainingFile(name=second.file, errno="EPERM"),))


@pytest.mark.rule("R7")
def test_a_read_only_disk_is_no_outcome_of_a_file(tmp_path: Path) -> None:
    """R7: it is waited for, as none of the disk's files can go."""
    with mounted_tmpfs(tmp_path / "disk") as root:
        identity = a_file(root)
        subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
        with pytest.raises(RootUnavailable, match=f"news/{FILE} cannot be deleted: EROFS") as read_only:
            delete(root, identity)
        assert not isinstance(read_only.value, RootSuspect)
        subprocess.run(["mount", "-o", "remount,rw", str(root)], check=True)
        assert delete(root, identity) == Deletion(deleted=(identity,))


@pytest.mark.rule("R17")
def test_a_disk_mounted_below_the_root_is_not_the_roots(tmp_path: Path) -> None:
    with mounted_tmpfs(tmp_path / CHANNEL):
        identity = a_file(tmp_path)
        assert delete(tmp_path, identity) == Deletion(remaining=(RemainingFile(name=FILE, errno="EXDEV"),))


@pytest.mark.rule("R20")
@pytest.mark.parametrize(
    "file",
    [
        *("", "x.ts", "v1/", "/x.ts", "v1/..", "../x.ts", "v1/a/b.ts", "v1//x.ts", "v1/x\n.ts", "v1/x\0.ts", "/etc/x"),
        *("v1/" + "x" * 256, "x" * 256 + "/x.ts", "v1/" + "\u00e9" * 128),
    ],
    ids=lambda file: repr(file)[:12],
)
def test_a_file_that_is_not_rendition_and_name_is_refused_before_anything_goes(tmp_path: Path, file: str) -> None:
    identity = a_file(tmp_path)
    with pytest.raises(Invalid, match=r"file: .* is not allowed: RENDITION/NAME"):
        delete(tmp_path, identity, replace(identity, file=file))
    assert names(tmp_path) == ["v1_segment_000.ts"]


@pytest.mark.rule("R20")
@pytest.mark.parametrize(
    "file",
    ["v1/x\0.ts", "v1/../x.ts", "v1/.x", "/x.ts", "v1/" * (DEEPEST + 1) + "x.ts", "a/" * 2100 + "x"],
    ids=lambda file: repr(file)[:12],
)
def test_an_orphan_whose_path_is_none_is_refused_before_anything_goes(tmp_path: Path, file: str) -> None:
    """R20: a recorded path of any length."""
    identity = a_file(tmp_path)
    odd = replace(identity, file=file)
    with pytest.raises(Invalid, match=r"file: .* is not allowed: a path"):
        SegmentRoots().remove(str(tmp_path), CHANNEL, [identity, odd])
    assert SegmentRoots().removable(str(tmp_path), CHANNEL, [odd, identity]) == (identity,)
    assert names(tmp_path) == ["v1_segment_000.ts"]


@pytest.mark.rule("R8")
@pytest.mark.invariant(4)
def test_a_playlist_is_never_deleted(tmp_path: Path) -> None:
    identity, playlist = a_file(tmp_path), a_file(tmp_path, "v1/v1.m3u8")
    with pytest.raises(Invalid, match=r"v1/v1\.m3u8.*never playlists \(R8\)"):
        delete(tmp_path, identity, playlist)
    assert names(tmp_path) == ["v1.m3u8", "v1_segment_000.ts"]


@pytest.mark.rule("R20")
@pytest.mark.parametrize("channel", ["", "..", "a/b", "news\0"])
def test_a_channel_that_is_no_single_name_is_refused(tmp_path: Path, channel: str) -> None:
    with pytest.raises(Invalid, match="channel"):
        SegmentRoots().delete_each(str(tmp_path), [(channel, [a_file(tmp_path)])])


@pytest.mark.rule("R20")
@pytest.mark.parametrize("root", ["media", "", "/media\0"])
def test_a_root_that_is_no_absolute_path_is_refused(tmp_path: Path, root: str) -> None:
    with pytest.raises(Invalid, match=r"media_root: .* an absolute path"):
        SegmentRoots().delete_each(root, [(CHANNEL, [a_file(tmp_path)])])
