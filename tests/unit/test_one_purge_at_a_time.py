"""One process at a time purges below a root, and looks into the log again when its turn has come."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from application.ports import ChannelFiles, Comparison, Deletion, MediaPlaylist
from domain.events import FileIdentity, PurgeIssued
from media.playlist import PlaylistFiles
from media.segment_root import SegmentRoots
from tests.integration.media_tree import is_locked
from tests.memory_app import App, Channel, Store
from tests.property.faults import FailingRoots, Points


class OvertakenRoots(SegmentRoots):
    """The real files below a root; whoever wants to hold it waits until another process has done something."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] = tuple

    def exclusive(self, root: str) -> AbstractContextManager[None]:
        return self._after_the_other(super().exclusive(root))

    @contextmanager
    def _after_the_other(self, held: AbstractContextManager[None]) -> Iterator[None]:
        self.meanwhile()
        with held:
            yield


@pytest.fixture
def files() -> OvertakenRoots:
    return OvertakenRoots()


@pytest.fixture
def app(store: Store, files: OvertakenRoots) -> App:
    return App(store, files)


@pytest.fixture
def due(channel: Channel) -> Channel:
    """Three batches: the purge of batch 0 is authorised."""
    channel.open()
    channel.generate(3)
    channel.app.purger.issue(channel.id, 0)
    return channel


@pytest.mark.rule("R6", "R8")
def test_the_root_is_held_from_the_playlist_to_the_last_file(store: Store, tmp_path: Path) -> None:
    """R6, R8: nobody lists a file again between the two, and nobody else deletes."""
    held: list[tuple[str, bool]] = []

    class WatchedRoots(SegmentRoots):
        def delete_each(self, root: str, batches: Sequence[ChannelFiles]) -> list[Deletion]:
            held.append(("files", is_locked(Path(root))))
            return super().delete_each(root, batches)

    class WatchedPlaylists(PlaylistFiles):
        def publish(
            self, root: str, channel: str, playlists: Sequence[MediaPlaylist], retired: Sequence[MediaPlaylist] = ()
        ) -> None:
            held.append(("playlists", is_locked(Path(root))))
            super().publish(root, channel, playlists, retired)

    channel = Channel(App(store, WatchedRoots(), WatchedPlaylists()), tmp_path / "root")
    channel.open()
    channel.generate(3)
    channel.app.purger.issue(channel.id, 0)
    held.clear()
    channel.app.purger.carry_out(channel.id, 0)
    assert held == [("playlists", True), ("files", True)]
    assert not is_locked(channel.root)


@pytest.mark.rule("R6")
def test_what_another_process_finished_meanwhile_is_not_done_again(due: Channel, files: OvertakenRoots) -> None:
    """R6: one outcome."""
    other = App(due.app.store)
    files.meanwhile = lambda: other.purger.carry_out(due.id, 0)
    assert due.app.purger.carry_out(due.id, 0) == ()
    assert due.kinds()[-2:] == ["PurgeIssued", "SegmentsPurged"]


@pytest.mark.rule("R7")
def test_what_another_process_tried_in_vain_meanwhile_waits(due: Channel, files: OvertakenRoots) -> None:
    """R7: the next attempt has its time, whoever makes it."""
    denied = {str(path) for path in due.paths(0)}
    other = App(due.app.store, FailingRoots(Points(), denied))
    files.meanwhile = lambda: other.purger.carry_out(due.id, 0)
    assert due.app.purger.carry_out(due.id, 0) == ()
    assert due.kinds()[-2:] == ["PurgeIssued", "PurgeFailed"]
    assert all(path.exists() for path in due.paths(0))


@pytest.mark.rule("R16")
def test_a_batch_that_another_process_makes_due_during_the_look_still_says_who_purges_it(
    store: Store, tmp_path: Path
) -> None:
    """R16: it is the decision that judges what is due, and it comes after the look."""

    class OvertakenLook(SegmentRoots):
        def compare(self, root: str, channel: str, files: Sequence[FileIdentity]) -> Comparison:
            other.generate(1)
            return super().compare(root, channel, files)

    channel = Channel(App(store, OvertakenLook()), tmp_path / "root")
    channel.open()
    channel.generate(2)
    other = Channel(App(store), channel.root)
    issued = channel.app.purger.issue(channel.id, 0)
    assert isinstance(issued.event, PurgeIssued)
    assert issued.envelope.actor == "retention projector"
    assert issued.event.because.completed_batch == 2
