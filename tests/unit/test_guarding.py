"""R17: whoever is about to write or delete below a media root asks first, and tells of a flush that failed."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from application.ports import ChannelFiles, Deletion, FoundFile, MediaPlaylist
from domain.errors import FlushFailed, RootSuspect
from domain.events import Disposition, RootSuspected, SegmentsPurged, Suspicion
from media.playlist import PlaylistFiles
from media.segment_root import SegmentRoots
from tests.memory_app import TESTER, App, Channel, Store
from tests.root_troubles import EIO, Disks, Trouble, each_trouble, root_of


@pytest.fixture
def app(store: Store) -> App:
    return App(store, Disks())


@pytest.fixture
def opened(channel: Channel) -> Channel:
    """Three batches; the first is due."""
    channel.open()
    channel.generate(3)
    return channel


def a_failed_flush(channel: Channel) -> None:
    with pytest.raises(FlushFailed), channel.app.roots.flushing(root_of(channel)):
        raise FlushFailed(str(channel.root), EIO)


def everything_below(directory: Path) -> list[tuple[str, int, int]]:
    """Each file, its inode and time of change."""
    paths = sorted(directory.rglob("*"))
    return [(str(path), path.lstat().st_ino, path.lstat().st_mtime_ns) for path in paths]


class Unflushed(SegmentRoots):
    """Real media roots, of which one kind of flush fails; all the others succeed."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = ""

    def fail(self, call: str, root: str) -> None:
        if self.fails == call:
            raise FlushFailed(root, EIO)

    def sync(self, root: str, channel: str, files: Sequence[str]) -> dict[str, FoundFile]:
        self.fail("sync", root)
        return super().sync(root, channel, files)

    def delete_each(self, root: str, batches: Sequence[ChannelFiles]) -> list[Deletion]:
        done = super().delete_each(root, batches)
        self.fail("delete", root)
        return done


class UnflushedPlaylists(PlaylistFiles):
    fails = False

    def publish(
        self, root: str, channel: str, playlists: Sequence[MediaPlaylist], retired: Sequence[MediaPlaylist] = ()
    ) -> None:
        super().publish(root, channel, playlists, retired)
        if self.fails:
            raise FlushFailed(root, EIO)


@pytest.mark.rule("R17")
@pytest.mark.invariant(6)
@each_trouble
def test_no_batch_starts_there(opened: Channel, trouble: Trouble) -> None:
    """R17: its files would go to the wrong disk."""
    mend = trouble(opened)
    there = everything_below(opened.root.parent)
    with pytest.raises(RootSuspect):
        opened.start()
    assert everything_below(opened.root.parent) == there
    assert opened.session.state == "ready"
    mend()
    opened.generate()


@pytest.mark.rule("R9", "R17")
@pytest.mark.invariant(6)
@each_trouble
def test_no_batch_is_completed_there(opened: Channel, trouble: Trouble) -> None:
    """R9, R17: what was written may be on another disk; the batch is completed when the root is back."""
    opened.start()
    opened.write()
    mend = trouble(opened)
    with pytest.raises(RootSuspect):
        opened.app.generation.complete(opened.id, lambda expected, path: 2000, "tester")
    assert opened.session.state == "generating"
    mend()
    opened.complete()


@pytest.mark.rule("R10", "R17")
@pytest.mark.invariant(6)
@each_trouble
def test_nothing_is_purged_there(opened: Channel, trouble: Trouble) -> None:
    """R10, R17: neither authorised nor, where it was authorised before, carried out; it goes on by itself."""
    mend = trouble(opened)
    there = everything_below(opened.root.parent)
    done = opened.app.retention.run_once()
    assert (done.recorded, done.paused.keys()) == ((), {str(opened.root)})
    assert everything_below(opened.root.parent) == there
    mend()
    opened.app.purger.issue(opened.id, 0)
    mend = trouble(opened)
    there = everything_below(opened.root.parent)
    done = opened.app.retention.run_once()
    assert (done.recorded, done.paused.keys()) == ((), {str(opened.root)})
    assert everything_below(opened.root.parent) == there
    mend()
    (purged,) = opened.app.retention.run_once().recorded
    assert isinstance(purged.event, SegmentsPurged)


@pytest.mark.rule("R17", "R20")
@pytest.mark.invariant(6)
@pytest.mark.parametrize("known", ["by its channel", "by another channel"])
@each_trouble
def test_no_session_is_opened_there(opened: Channel, trouble: Trouble, known: str) -> None:
    """R17, R20: a refused session has touched nothing, not even made a directory."""
    if known == "by its channel":
        opened.app.generation.close(opened.id, "the end", Disposition.KEEP, TESTER)
        channel = opened
    else:
        opened.app.project()
        channel = Channel(opened.app, opened.root, "sport")
    mend = trouble(opened)
    there = everything_below(opened.root.parent)
    with pytest.raises(RootSuspect):
        channel.open()
    assert everything_below(opened.root.parent) == there
    mend()
    channel.open()


@pytest.mark.rule("R17")
@pytest.mark.invariant(9)
def test_a_failed_flush_forbids_all_of_that(opened: Channel) -> None:
    """R17."""
    opened.app.project()
    opened.generate()
    a_failed_flush(opened)
    there = everything_below(opened.root.parent)
    other = Channel(opened.app, opened.root, "sport")
    for verb in (opened.start, other.open, lambda: opened.app.purger.issue(opened.id, 1)):
        with pytest.raises(RootSuspect, match="EIO"):
            verb()
    assert opened.app.retention.run_once().recorded == ()
    assert everything_below(opened.root.parent) == there


@pytest.mark.rule("R17")
def test_a_known_root_is_suspected_for_all_its_channels_and_for_no_other_root(opened: Channel, tmp_path: Path) -> None:
    """R17."""
    sport, elsewhere = Channel(opened.app, opened.root, "sport"), Channel(opened.app, tmp_path / "other", "films")
    for channel in (sport, elsewhere):
        channel.open()
        channel.generate(3)
    a_failed_flush(opened)
    done = opened.app.retention.run_once()
    assert {one.envelope.session_id for one in done.recorded} == {elsewhere.id}
    assert done.paused.keys() == {str(opened.root)}
    with pytest.raises(RootSuspect, match="EIO"):
        sport.start()
    elsewhere.start()


@pytest.mark.rule("R10", "R17")
@pytest.mark.invariant(9)
@pytest.mark.parametrize("when", ["complete", "publish", "delete"])
def test_a_flush_that_fails_at_any_step_is_recorded(store: Store, tmp_path: Path, when: str) -> None:
    """R10, R17: and nothing that the flush was to make durable is recorded."""
    files, playlists = Unflushed(), UnflushedPlaylists()
    channel = Channel(App(store, files, playlists), tmp_path / "root")
    channel.open()
    channel.generate(3)
    verb: Callable[[], object]
    if when == "complete":
        channel.start()
        verb, files.fails = channel.complete, "sync"
    elif when == "publish":
        channel.app.purger.issue(channel.id, 0)
        verb, playlists.fails = lambda: channel.app.purger.carry_out(channel.id, 0), True
    else:
        channel.app.purger.issue(channel.id, 0)
        verb, files.fails = lambda: channel.app.purger.carry_out(channel.id, 0), "delete"
    head = channel.app.log.head()
    with pytest.raises(FlushFailed):
        verb()
    (recorded,) = channel.app.log.read(after=head)
    assert recorded.event == RootSuspected(root=root_of(channel), suspicion=Suspicion.FLUSH, reason=EIO)
    assert len(channel.segments()) == (6 + 2 * (when == "complete") - 2 * (when == "delete"))


@pytest.mark.rule("R17")
def test_a_session_knows_the_filesystem_that_its_root_was_on_when_it_was_opened(channel: Channel) -> None:
    """R17."""
    channel.open()
    assert root_of(channel).device == channel.app.files.device(str(channel.root)) != ""
