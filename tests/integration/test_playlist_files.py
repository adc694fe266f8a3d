"""Playlists on disk: replaced whole, never backwards, and never listing a file that is not there."""

import os
import shutil
import stat
import threading
from pathlib import Path

import m3u8
import msgspec
import pytest
from msgspec.structs import replace

from application.ports import MediaPlaylist, PlaylistSegment
from domain.errors import Invalid, RootSuspect, RootUnavailable
from media.directories import open_beneath, opened_root
from media.playlist import MASTER_PLAYLIST, PlaylistFiles
from media.playlist_text import parse_media
from media.segment_root import SegmentRoots
from tests.integration.media_tree import (
    CHANNEL,
    a_file,
    mode,
    mounted_tmpfs,
    names,
    reachable_root,
    steps,
    traced,
    unprivileged,
)

PUBLISH = """
import sys, msgspec
from application.ports import MediaPlaylist
from domain.errors import RootSuspect
from media.playlist import PlaylistFiles
try:
    PlaylistFiles().publish(sys.argv[1], "news", [msgspec.json.decode(sys.argv[2], type=MediaPlaylist)])
except RootSuspect as suspect:
    print(suspect)
"""

playlists = PlaylistFiles()


def name_of(number: int, rendition: str = "v1") -> str:
    return f"{rendition}_segment_{number:03d}.ts"


def a_window(numbers: range, rendition: str = "v1", bandwidth: int = 1000) -> MediaPlaylist:
    """A playlist of these segments."""
    return MediaPlaylist(
        rendition=rendition,
        target_duration_ms=2000,
        media_sequence=numbers.start,
        discontinuity_sequence=0,
        segments=tuple(
            PlaylistSegment(name_of(n, rendition), 2000, n * 2_000_000, discontinuity=False) for n in numbers
        ),
        bandwidth=bandwidth,
    )


def publish(root: Path, *windows: MediaPlaylist) -> None:
    playlists.publish(str(root), CHANNEL, windows)


def shown(root: Path, rendition: str = "v1") -> tuple[int, list[int]]:
    """Media sequence and segment numbers of what a reader of the playlist sees."""
    read = m3u8.load(str(root / CHANNEL / rendition / f"{rendition}.m3u8"))
    return read.media_sequence, [int(uri[-6:-3]) for uri in read.files]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A media root with segments 0 to 19 in two renditions."""
    for rendition in ("v1", "v2"):
        for number in range(20):
            a_file(tmp_path / "media", f"{rendition}/{name_of(number, rendition)}")
    return tmp_path / "media"


def test_a_player_finds_every_rendition_and_segment_from_the_master_playlist(root: Path) -> None:
    publish(root, a_window(range(5, 15), "v1", 2000), a_window(range(5, 15), "v2", 1000))
    master = m3u8.load(str(root / CHANNEL / MASTER_PLAYLIST))
    assert [(one.uri, one.stream_info.bandwidth) for one in master.playlists] == [
        ("v1/v1.m3u8", 2000),
        ("v2/v2.m3u8", 1000),
    ]
    for variant in master.playlists:
        path = root / CHANNEL / variant.uri
        media = m3u8.load(str(path))
        assert media.media_sequence == 5
        assert len(media.files) == 10
        assert all((path.parent / file).is_file() for file in media.files)


def test_which_playlists_are_there_can_be_asked(root: Path) -> None:
    asked = (str(root), CHANNEL, ("v1", "v2", "v3"))
    assert playlists.find(*asked) == playlists.find(str(root), "sport", ("v1",)) == ()
    publish(root, a_window(range(3)), a_window(range(3), "v2"))
    assert playlists.find(*asked) == (MASTER_PLAYLIST, "v1/v1.m3u8", "v2/v2.m3u8")
    (root / CHANNEL / MASTER_PLAYLIST).unlink()
    (root / CHANNEL / "v1" / "v1.m3u8").unlink()
    (root / CHANNEL / "v1" / "v1.m3u8").symlink_to(root / CHANNEL / "v2" / "v2.m3u8")
    assert playlists.find(*asked) == ("v2/v2.m3u8",)
    shutil.rmtree(root)
    with pytest.raises(RootSuspect, match="it is missing"):
        playlists.find(*asked)


@pytest.mark.parametrize("name", ["a\0b", "..", "a/b", ""])
def test_a_rendition_that_no_directory_can_be_named_after_is_refused(root: Path, name: str) -> None:
    """It may come from a line of the log that somebody has rewritten."""
    with pytest.raises(Invalid, match="rendition"):
        playlists.find(str(root), "news", (name,))


def test_what_is_listed_can_be_asked(root: Path) -> None:
    assert playlists.listed(str(root), CHANNEL, "v1") is None
    assert playlists.listed(str(root), CHANNEL, "v3") is None
    assert playlists.listed(str(root), "sport", "v1") is None
    publish(root, a_window(range(3)))
    assert playlists.listed(str(root), CHANNEL, "v1") == tuple(name_of(number) for number in range(3))


def test_the_window_slides(root: Path) -> None:
    for end in (5, 10, 15, 20):
        publish(root, a_window(range(max(0, end - 10), end)))
    assert shown(root) == (10, list(range(10, 20)))
    assert "master.m3u8" in names(root, CHANNEL)
    assert [name for name in names(root) if "m3u8" in name] == ["v1.m3u8"]


@pytest.mark.rule("R8")
@pytest.mark.parametrize("instead", ["nothing", "a directory", "a link"])
def test_a_segment_whose_file_is_missing_is_not_listed_nor_are_those_before_it(root: Path, instead: str) -> None:
    path = root / CHANNEL / "v1" / name_of(7)
    path.unlink()
    if instead == "a directory":
        path.mkdir()
    if instead == "a link":
        path.symlink_to(name_of(6))
    publish(root, a_window(range(5, 15)), a_window(range(5, 15), "v2"))
    assert shown(root) == (8, list(range(8, 15)))
    assert shown(root, "v2") == (5, list(range(5, 15)))


@pytest.mark.rule("R8")
def test_a_segment_that_was_left_out_does_not_come_back_before_those_that_were_listed(root: Path) -> None:
    path = root / CHANNEL / "v1" / name_of(7)
    path.rename(root / "aside")
    publish(root, a_window(range(5, 15)))
    (root / "aside").rename(path)
    publish(root, a_window(range(5, 15)))
    assert shown(root) == (8, list(range(8, 15)))
    publish(root, a_window(range(10, 20)))
    assert shown(root) == (10, list(range(10, 20)))


@pytest.mark.rule("R8")
def test_with_all_files_gone_the_playlist_is_empty_until_there_are_some(root: Path) -> None:
    publish(root, a_window(range(10)))
    (root / CHANNEL / "v1").rename(root / "aside")
    (root / CHANNEL / "v1").mkdir()
    shutil.copy(root / "aside" / "v1.m3u8", root / CHANNEL / "v1")
    publish(root, a_window(range(5, 15)))
    assert shown(root) == (5, [])
    for number in range(15, 20):
        a_file(root, f"v1/{name_of(number)}")
    publish(root, a_window(range(10, 20)))
    assert shown(root) == (15, list(range(15, 20)))


@pytest.mark.rule("R17")
@pytest.mark.parametrize("older", [range(10), range(8, 14), range(14, 14)])
def test_a_log_that_knows_less_than_viewers_have_seen_does_not_publish(root: Path, older: range) -> None:
    publish(root, a_window(range(5, 15)), a_window(range(5, 15), "v2"))
    before = (root / CHANNEL / "v1" / "v1.m3u8").read_bytes()
    with pytest.raises(
        RootSuspect, match=r"v2\.m3u8 lists segments up to media sequence number 14, the log only up to"
    ):
        publish(root, a_window(range(10, 20)), a_window(older, "v2"))
    assert (root / CHANNEL / "v1" / "v1.m3u8").read_bytes() == before
    (root / CHANNEL / "v2" / "v2.m3u8").unlink()
    publish(root, a_window(range(10, 20)), a_window(older, "v2"))
    assert shown(root, "v2") == (older.start, list(older))


def test_what_did_not_change_is_not_written_again(root: Path) -> None:
    publish(root, a_window(range(5)), a_window(range(5), "v2"))
    paths = [root / CHANNEL / "v1" / "v1.m3u8", root / CHANNEL / "v2" / "v2.m3u8", root / CHANNEL / MASTER_PLAYLIST]
    before = [path.stat() for path in paths]
    publish(root, a_window(range(5)), a_window(range(6), "v2"))
    changed = [old.st_ino != path.stat().st_ino for path, old in zip(paths, before, strict=True)]
    assert changed == [False, True, False]


def test_playlists_can_be_read_by_a_web_server(root: Path) -> None:
    before = os.umask(0o022)
    try:
        publish(root, a_window(range(5)))
    finally:
        os.umask(before)
    assert stat.filemode((root / CHANNEL / "v1" / "v1.m3u8").stat().st_mode) == "-rw-r--r--"


@pytest.mark.rule("R8")
def test_a_reader_never_sees_half_a_playlist(root: Path) -> None:
    publish(root, a_window(range(10)))
    path, done, seen = root / CHANNEL / "v1" / "v1.m3u8", threading.Event(), set()

    def read() -> None:
        while not done.is_set():
            listing = parse_media(path.read_text())
            seen.add((listing.media_sequence, len(listing.names)))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for first in range(1, 11):
            publish(root, a_window(range(first, first + 10)))
    finally:
        done.set()
        reader.join()
    assert seen <= {(first, 10) for first in range(11)}


def publish_traced(root: Path, window: MediaPlaylist, inject: str = "") -> tuple[list[str], str]:
    arguments, calls = (str(root), msgspec.json.encode(window).decode()), "fsync,rename,renameat,renameat2"
    _, seen, said = traced(PUBLISH, *arguments, log=root.with_name("calls"), calls=calls, inject=inject)
    return steps(seen, root), said


@pytest.mark.rule("R8")
def test_a_playlist_is_flushed_before_it_takes_its_place_and_the_master_comes_last(root: Path) -> None:
    assert publish_traced(root, a_window(range(10))) == (
        [
            "fsync news/v1/.v1.m3u8.new",
            "rename news/v1/.v1.m3u8.new",
            "fsync news/v1",
            "fsync news/.master.m3u8.new",
            "rename news/.master.m3u8.new",
            "fsync news",
        ],
        "",
    )


@pytest.mark.rule("R8")
def test_what_a_killed_publisher_wrote_is_flushed_by_the_next(root: Path) -> None:
    publish_traced(root, a_window(range(10)), inject="fsync:signal=KILL:when=2")
    assert shown(root) == (0, list(range(10)))
    seen, _ = publish_traced(root, a_window(range(10)))
    assert seen[0] == "fsync news/v1"


@pytest.mark.rule("R8")
def test_what_is_told_to_be_listed_is_so_after_a_power_cut(root: Path) -> None:
    """R8: a purge may rely on it where no playlist can be written."""
    publish_traced(root, a_window(range(10)), inject="fsync:signal=KILL:when=2")
    code = "import sys; from media.playlist import PlaylistFiles; PlaylistFiles().listed(sys.argv[1], 'news', 'v1')"
    _, seen, _ = traced(code, str(root), log=root.with_name("calls"), calls="fsync")
    assert steps(seen, root) == ["fsync news/v1"]


@pytest.mark.rule("R8")
@pytest.mark.parametrize("step", ["fsync:signal=KILL:when=1", "fsync:signal=KILL:when=3"])
def test_what_a_killed_publisher_left_behind_is_no_obstacle(root: Path, step: str) -> None:
    publish(root, a_window(range(10), bandwidth=1))
    window = a_window(range(5, 15), bandwidth=2)
    publish_traced(root, window, inject=step)
    assert any(name.endswith(".new") for name in (*names(root), *names(root, CHANNEL)))
    publish(root, window)
    assert shown(root) == (5, list(range(5, 15)))
    assert not any(name.endswith(".new") for name in (*names(root), *names(root, CHANNEL)))


@pytest.mark.parametrize("leftover", ["a link", "another name of a segment", "a fifo"])
def test_nothing_is_written_through_what_bears_the_temporary_name(root: Path, leftover: str) -> None:
    segment, temporary = root / CHANNEL / "v1" / name_of(0), root / CHANNEL / "v1" / ".v1.m3u8.new"
    if leftover == "a link":
        temporary.symlink_to(segment)
    elif leftover == "a fifo":
        os.mkfifo(temporary)
    else:
        os.link(segment, temporary)
    publish(root, a_window(range(10)))
    assert segment.read_bytes() == b"segment"
    assert shown(root) == (0, list(range(10)))


@pytest.mark.rule("R17")
@pytest.mark.parametrize(
    ("when", "what"),
    [(1, "news/v1/v1.m3u8 cannot be written"), (2, "news/v1 cannot be flushed"), (4, "news cannot be flushed")],
)
def test_a_playlist_that_cannot_be_flushed_makes_the_root_suspect(root: Path, when: int, what: str) -> None:
    seen, said = publish_traced(root, a_window(range(10)), inject=f"fsync:error=EIO:when={when}")
    assert f"is suspect: {what}" in said
    assert len([step for step in seen if "fsync" in step]) == when


def test_on_a_full_disk_the_old_playlist_stays(tmp_path: Path) -> None:
    with mounted_tmpfs(tmp_path / "disk", "size=64k") as root:
        for number in range(20):
            a_file(root, f"v1/{name_of(number)}", b"")
        publish(root, a_window(range(10)))
        (root / "ballast").write_bytes(bytes(SegmentRoots().free_bytes(str(root))))
        with pytest.raises(RootUnavailable, match=r"news/v1/v1\.m3u8 cannot be written: ENOSPC") as full:
            publish(root, a_window(range(20)))
        assert not isinstance(full.value, RootSuspect)
        assert shown(root) == (0, list(range(10)))
        assert not any(name.endswith(".new") for name in names(root))


@pytest.mark.parametrize(("error", "kind"), [("ENOSPC", "RootFull"), ("EDQUOT", "RootFull"), ("EIO", "FlushFailed")])
def test_a_flush_that_finds_no_room_for_a_new_playlist_lost_nothing(root: Path, error: str, kind: str) -> None:
    """Blocks may be allocated as late as that; nobody relies on the file yet, and it is thrown away."""
    code = PUBLISH.replace("RootSuspect", "RootUnavailable").replace("print(suspect)", "print(type(suspect).__name__)")
    window = msgspec.json.encode(a_window(range(10))).decode()
    log, inject = root.with_name("calls"), f"fsync:error={error}:when=1"
    assert traced(code, str(root), window, log=log, calls="fsync", inject=inject)[2] == f"{kind}\n"
    assert not any(name.startswith(".v1") for name in names(root))


@pytest.mark.rule("R17")
def test_a_playlist_that_may_not_be_written_or_read_makes_the_root_suspect() -> None:
    with reachable_root() as root:
        a_file(root, f"v1/{name_of(0)}")
        closed, suspicion = mode(root / CHANNEL / "v1", 0o555), r"news/v1/v1\.m3u8 cannot be written: EACCES"
        with closed, unprivileged(), pytest.raises(RootSuspect, match=suspicion):
            publish(root, a_window(range(1)))
        publish(root, a_window(range(1)))
        closed, suspicion = mode(root / CHANNEL / "v1" / "v1.m3u8", 0o000), r"news/v1/v1\.m3u8 cannot be read: EACCES"
        with closed, unprivileged(), pytest.raises(RootSuspect, match=suspicion):
            playlists.listed(str(root), CHANNEL, "v1")


@pytest.mark.rule("R17")
@pytest.mark.parametrize("instead", ["a link", "a fifo", "a directory"])
def test_what_is_not_a_file_in_the_place_of_a_playlist_makes_the_root_suspect(root: Path, instead: str) -> None:
    path, segment = root / CHANNEL / "v1" / "v1.m3u8", root / CHANNEL / "v1" / name_of(0)
    if instead == "a link":
        path.symlink_to(segment)
    elif instead == "a fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(RootSuspect, match=r"news/v1/v1\.m3u8 cannot be read: (ELOOP|EINVAL)"):
        publish(root, a_window(range(10)))
    with pytest.raises(RootSuspect, match=r"news/v1/v1\.m3u8 cannot be read: (ELOOP|EINVAL)"):
        playlists.listed(str(root), CHANNEL, "v1")
    assert segment.read_bytes() == b"segment"


@pytest.mark.rule("R17")
@pytest.mark.parametrize("place", [CHANNEL, f"{CHANNEL}/v1"])
def test_no_playlist_is_written_or_read_through_a_link(tmp_path: Path, root: Path, place: str) -> None:
    publish(root, a_window(range(5)))
    (root / place).rename(tmp_path / "canary")
    (root / place).symlink_to(tmp_path / "canary")
    before = shown(root)
    with pytest.raises(RootSuspect, match="news/v1 cannot be opened: ENOTDIR"):
        publish(root, a_window(range(10)))
    with pytest.raises(RootSuspect, match="the playlist of news/v1 cannot be read: ENOTDIR"):
        playlists.listed(str(root), CHANNEL, "v1")
    assert shown(root) == before


@pytest.mark.rule("R7")
@pytest.mark.parametrize("gone", [f"{CHANNEL}/v1", CHANNEL])
def test_a_directory_that_somebody_removed_is_made_again_with_a_playlist_that_lists_nothing(
    root: Path, gone: str
) -> None:
    publish(root, a_window(range(5)))
    shutil.rmtree(root / gone)
    assert playlists.listed(str(root), CHANNEL, "v1") is None
    flushed = list[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("media.playlist.flush", lambda _, __, what: flushed.append(what))
        publish(root, a_window(range(5)))
    assert flushed[:2] == [CHANNEL, "its directory"], "they lead to the playlists"
    assert playlists.listed(str(root), CHANNEL, "v1") == ()


@pytest.mark.rule("R17")
def test_a_playlist_is_not_put_in_the_place_of_a_root_that_is_missing(root: Path) -> None:
    shutil.rmtree(root)
    with pytest.raises(RootSuspect, match="it is missing"):
        publish(root, a_window(range(5)))
    assert not root.exists()


@pytest.mark.rule("R17")
def test_a_directory_that_cannot_be_made_again_is_told(root: Path) -> None:
    (root / CHANNEL).rename(root / "away")
    (root / CHANNEL).symlink_to("nowhere")
    with pytest.raises(RootSuspect, match="news/v1 cannot be opened: ENOTDIR"):
        publish(root, a_window(range(5)))


@pytest.mark.rule("R20")
@pytest.mark.parametrize(("rendition", "name"), [("..", "x.ts"), ("v1", "../x.ts"), ("v1", "x\n.ts"), ("v1", "")])
def test_names_that_are_none_are_refused_before_anything_is_written(root: Path, rendition: str, name: str) -> None:
    window = a_window(range(1))
    odd = replace(window, rendition=rendition, segments=(replace(window.segments[0], name=name),))
    with pytest.raises(Invalid, match=r"(rendition|file): .* is not allowed"):
        publish(root, window, odd)
    assert playlists.listed(str(root), CHANNEL, "v1") is None


@pytest.mark.rule("R20")
@pytest.mark.parametrize(
    "rendition",
    ["\0", "a\0b", "", ".", "..", "../sport", "/etc", "x" * 64, "a/" * 2100 + "x"],
    ids=lambda one: repr(one)[:12],
)
def test_a_rendition_that_can_be_none_is_refused_wherever_it_is_asked_for(root: Path, rendition: str) -> None:
    """R20: no directory is opened by its name, here or elsewhere."""
    window, odd = a_window(range(1)), replace(a_window(range(1)), rendition=rendition)
    for ask in (
        lambda: playlists.listed(str(root), CHANNEL, rendition),
        lambda: playlists.find(str(root), CHANNEL, ["v1", rendition]),
        lambda: playlists.differences(str(root), CHANNEL, [window], [rendition]),
        lambda: playlists.differences(str(root), CHANNEL, [replace(odd, segments=())], []),
        lambda: playlists.publish(str(root), CHANNEL, [window], [odd]),
    ):
        with pytest.raises(Invalid, match=r"rendition: .* is not allowed: 1 to 63 letters"):
            ask()
    assert playlists.listed(str(root), CHANNEL, "v1") is None


@pytest.mark.rule("R20")
@pytest.mark.parametrize("name", ["", ".", "..", "../sport", "/", "v1/x", "\0", "v1\0"])
def test_a_directory_is_opened_by_one_name_alone(root: Path, name: str) -> None:
    with opened_root(str(root)) as parent, pytest.raises(Invalid, match=r"directory: .* is not allowed: one name"):
        open_beneath(parent, name)
