"""Files below a media root: found, flushed, listed and named, and never through a link."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from application.ports import FoundFile
from domain.errors import Invalid, Refused, RootSuspect
from domain.segments import DEEPEST
from media.segment_root import SegmentRoots
from tests.integration.media_tree import (
    CHANNEL,
    a_batch,
    a_file,
    identity_of,
    mode,
    mounted_tmpfs,
    names,
    reachable_root,
    unprivileged,
)

FILE = "v1/v1_segment_000.ts"

files = SegmentRoots()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "media").mkdir()
    return tmp_path / "media"


@pytest.mark.rule("R20")
def test_the_directories_of_a_channel_are_made_once(root: Path) -> None:
    files.prepare(str(root), CHANNEL, ["v1", "v2"])
    identity = a_file(root)
    files.prepare(str(root), CHANNEL, ["v1", "v2", "v3"])
    assert names(root, CHANNEL) == ["v1", "v2", "v3"]
    assert files.find(str(root), CHANNEL, [identity.file])[identity.file].identity == identity


@pytest.mark.rule("R20")
@pytest.mark.parametrize("place", [CHANNEL, f"{CHANNEL}/v1"])
def test_a_link_or_a_file_in_the_place_of_a_directory_is_refused(tmp_path: Path, root: Path, place: str) -> None:
    (tmp_path / "canary").mkdir()
    (root / place).parent.mkdir(exist_ok=True)
    field = "rendition" if "/" in place else "channel"
    (root / place).symlink_to(tmp_path / "canary")
    for _ in range(2):
        with pytest.raises(Refused, match=rf"{field}: .* is refused by R20: a link or a file is in the place"):
            files.prepare(str(root), CHANNEL, ["v1"])
        (root / place).unlink()
        (root / place).touch()
    assert names(tmp_path, "canary") == []


@pytest.mark.rule("R20")
def test_a_directory_that_may_not_be_made_is_refused() -> None:
    refusal = "channel: 'news' is refused by R20: its directory cannot be made: EACCES"
    with reachable_root() as root, mode(root, 0o555), unprivileged(), pytest.raises(Refused, match=refusal):
        files.prepare(str(root), CHANNEL, ["v1"])


@pytest.mark.rule("R17")
def test_directories_of_a_missing_root_are_not_made(root: Path) -> None:
    shutil.rmtree(root)
    with pytest.raises(RootSuspect, match="it is missing"):
        files.prepare(str(root), CHANNEL, ["v1"])
    assert not root.exists()


@pytest.mark.rule("R17", "R20")
def test_a_disk_mounted_on_the_directory_of_a_channel_is_refused(root: Path) -> None:
    refusal = "another filesystem is mounted on its directory, and the root's marker cannot vouch for that one"
    with mounted_tmpfs(root / CHANNEL), pytest.raises(Refused, match=refusal):
        files.prepare(str(root), CHANNEL, ["v1"])


def non_files(root: Path) -> dict[str, FoundFile]:
    """Make a link, a FIFO, a socket and a directory under the names of segments; what they are."""
    (root / CHANNEL / "v1").mkdir(parents=True)
    (root / "target").write_bytes(b"segment")
    paths = [root / CHANNEL / f"v1/v1_segment_00{number}.ts" for number in range(4)]
    paths[0].symlink_to(root / "target")
    os.mkfifo(paths[1])
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(paths[2]))
    paths[3].mkdir()
    return {f"v1/{path.name}": FoundFile(identity_of(root, f"v1/{path.name}"), regular=False) for path in paths}


def test_files_that_exist_are_found_in_the_order_asked_for(root: Path) -> None:
    one, two, _ = a_batch(root, size=3)
    found = files.find(str(root), CHANNEL, [two.file, "v1/v1_segment_009.ts", "v2/x.ts", one.file])
    assert list(found.items()) == [(two.file, FoundFile(two, regular=True)), (one.file, FoundFile(one, regular=True))]
    assert files.find(str(root), "sport", [one.file]) == {}


def test_what_is_not_a_regular_file_is_found_as_that(root: Path) -> None:
    expected = non_files(root)
    assert files.find(str(root), CHANNEL, list(expected)) == expected


@pytest.mark.rule("R9")
@pytest.mark.invariant(7)
def test_synced_files_are_told_as_they_are_on_disk(root: Path) -> None:
    batch = a_batch(root)
    found = files.sync(str(root), CHANNEL, [*(file.file for file in batch), "v1/v1_segment_009.ts"])
    assert found == {file.file: FoundFile(file, regular=True) for file in batch}
    assert files.sync(str(root), "sport", [FILE]) == {}


@pytest.mark.rule("R9")
def test_what_is_not_a_regular_file_is_told_and_not_waited_for(root: Path) -> None:
    expected = non_files(root)
    assert files.sync(str(root), CHANNEL, list(expected)) == expected


@pytest.mark.rule("R9")
def test_a_file_that_cannot_be_opened_cannot_be_verified() -> None:
    with reachable_root() as root:
        identity = a_file(root)
        refusal = f"file: '{FILE}' is refused by R9: it cannot be opened: EACCES"
        with mode(root / CHANNEL / FILE, 0o000), unprivileged(), pytest.raises(Refused, match=refusal):
            files.sync(str(root), CHANNEL, [identity.file])


@pytest.mark.rule("R17")
@pytest.mark.parametrize("place", [CHANNEL, f"{CHANNEL}/v1"])
def test_what_a_link_hides_is_not_known_to_be_absent(tmp_path: Path, root: Path, place: str) -> None:
    a_file(root)
    (root / place).rename(tmp_path / "canary")
    (root / place).symlink_to(tmp_path / "canary")
    for look in (files.find, files.sync):
        with pytest.raises(RootSuspect, match=f"news/{FILE} cannot be looked at: ENOTDIR"):
            look(str(root), CHANNEL, [FILE])


@pytest.mark.rule("R17")
def test_nothing_is_known_of_a_missing_root(root: Path) -> None:
    shutil.rmtree(root)
    for look in (files.find, files.sync):
        with pytest.raises(RootSuspect, match="it is missing"):
            look(str(root), CHANNEL, [FILE])
    with pytest.raises(RootSuspect, match="it is missing"):
        list(files.list_files(str(root), CHANNEL))
    with pytest.raises(RootSuspect, match="it is missing"):
        files.free_bytes(str(root))


@pytest.mark.rule("R20")
@pytest.mark.parametrize("file", ["", "x.ts", "../media/news/v1/x.ts", "v1/../x.ts", "/etc/passwd", "v1/x\0"])
def test_only_files_of_renditions_are_looked_for(root: Path, file: str) -> None:
    for look in (files.find, files.sync):
        with pytest.raises(Invalid, match="is not allowed: RENDITION/NAME"):
            look(str(root), CHANNEL, [file])


def test_everything_but_playlists_and_hidden_files_is_listed_in_the_order_of_names(tmp_path: Path, root: Path) -> None:
    for file in ("v2/b.ts", "v1/b.ts", "v1/a.ts", "loose.ts", "v1/deep/er/c.ts"):
        a_file(root, file)
    for file in ("master.m3u8", "v1/v1.m3u8", "v1/.v1.m3u8.new", ".held/a.ts"):
        a_file(root, file)
    (tmp_path / "canary").mkdir()
    (tmp_path / "canary" / "x.ts").touch()
    (root / CHANNEL / "v3").symlink_to(tmp_path / "canary")
    os.mkfifo(root / CHANNEL / "v1" / "fifo")
    listed = list(files.list_files(str(root), CHANNEL))
    assert [one.file for one in listed] == [
        "loose.ts", "v1/a.ts", "v1/b.ts", "v1/deep/er/c.ts", "v1/fifo", "v2/b.ts", "v3",
    ]  # fmt: skip
    assert listed == [identity_of(root, one.file) for one in listed]


def test_names_that_are_no_text_are_listed_with_their_bytes_escaped(root: Path) -> None:
    (root / CHANNEL / "v1").mkdir(parents=True)
    (root / CHANNEL / "v1" / os.fsdecode(b"\xff.ts")).touch()
    assert [one.file for one in files.list_files(str(root), CHANNEL)] == ["v1/\\xff.ts"]


def test_what_is_nested_too_deep_is_told_by_the_directory_it_is_in(root: Path) -> None:
    """Deeper than Python recurses and than descriptors last."""
    place = root / CHANNEL / "v1"
    place.mkdir(parents=True)
    directory = os.open(place, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=directory)
        inner = os.open("d", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = inner
    os.close(directory)
    assert [one.file for one in files.list_files(str(root), CHANNEL)] == ["v1" + "/d" * DEEPEST]
    subprocess.run(["rm", "-r", place], check=True)


def test_a_channel_without_a_directory_has_no_files(root: Path) -> None:
    assert list(files.list_files(str(root), CHANNEL)) == []


@pytest.mark.rule("R17")
def test_a_channel_behind_a_link_or_a_closed_door_cannot_be_listed(tmp_path: Path, root: Path) -> None:
    (root / CHANNEL).symlink_to(tmp_path)
    with pytest.raises(RootSuspect, match="news cannot be listed: ENOTDIR"):
        list(files.list_files(str(root), CHANNEL))
    with reachable_root() as other:
        a_file(other)
        closed = mode(other / CHANNEL / "v1", 0o000)
        with closed, unprivileged(), pytest.raises(RootSuspect, match="news cannot be listed: EACCES"):
            list(files.list_files(str(other), CHANNEL))


def test_an_abandoned_listing_leaves_nothing_open(root: Path) -> None:
    a_batch(root)
    before = open_descriptors()
    listing = files.list_files(str(root), CHANNEL)
    next(listing)
    assert open_descriptors() > before
    del listing
    assert open_descriptors() == before


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_paths_are_below_the_channel(root: Path) -> None:
    assert files.path(str(root), CHANNEL, FILE) == f"{root}/news/{FILE}"
    assert files.path(str(root), CHANNEL, "v1/deep/er/c.ts") == f"{root}/news/v1/deep/er/c.ts"
    assert files.path(str(root), CHANNEL, "") == f"{root}/news"


@pytest.mark.rule("R20")
@pytest.mark.parametrize("file", ["/etc/passwd", "../sport/v1/x.ts", "v1/../../x.ts"])
def test_a_path_out_of_the_channel_is_refused(root: Path, file: str) -> None:
    with pytest.raises(Invalid, match="a path below the channel's directory"):
        files.path(str(root), CHANNEL, file)


def test_free_bytes_are_those_that_anybody_may_write(tmp_path: Path) -> None:
    with mounted_tmpfs(tmp_path / "disk", "size=64k") as root:
        assert files.free_bytes(str(root)) == 65536
        (root / "file").write_bytes(bytes(4096))
        assert files.free_bytes(str(root)) == 65536 - 4096
