"""A flush that failed is never retried into success, by this process or another."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from application.ports import ChannelFiles, Deletion
from domain.errors import FlushFailed, RootUnavailable
from domain.events import PurgeIssued, RootSuspected, SegmentsPurged
from media.playlist import PlaylistFiles
from media.segment_root import SegmentRoots
from tests.memory_app import TESTER, App, Channel, Store


class DiskThatLostAWrite(SegmentRoots):
    """The real files below a root, but the first flush after a deletion fails; the next one would succeed."""

    failures = 1

    def delete_each(self, root: str, batches: Sequence[ChannelFiles]) -> list[Deletion]:
        done = super().delete_each(root, batches)
        if self.failures:
            self.failures -= 1
            raise FlushFailed(root, "a directory cannot be flushed to disk: EIO")
        return done


@pytest.mark.rule("R10", "R17")
@pytest.mark.invariant(2, 9)
def test_after_a_failed_flush_no_process_records_an_outcome_until_an_operator_trusts_the_root(tmp_path: Path) -> None:
    """R10, R17: no event says purged while the files can come back."""
    store = Store()
    channel = Channel(App(store, files=DiskThatLostAWrite()), tmp_path / "media")
    channel.open()
    channel.generate(3)
    head = channel.app.log.head()
    assert [type(one.event) for one in channel.app.retention.run_once().recorded] == [PurgeIssued]
    for app in (channel.app, channel.app, App(store), App(store)):
        again = app.retention.run_once()
        assert again.recorded == ()
        assert "EIO" in again.paused[str(channel.root)]
        assert f"trailkeep root trust {channel.root}" in again.paused[str(channel.root)]
    assert [type(one.event) for one in channel.app.log.read(after=head)] == [PurgeIssued, RootSuspected]

    App(store).roots.trust(channel.session.terms.media_root, "the controller was replaced", TESTER)
    done = channel.app.retention.run_once()
    assert done.paused == {}
    assert [type(one.event) for one in done.recorded] == [SegmentsPurged]


@pytest.mark.rule("R8", "R10", "R17")
def test_on_a_full_disk_a_lost_write_of_the_playlist_that_stays_is_held_against_the_root(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R8, R10, R17: it may come back as it was before, and list what the purge took."""

    def publish(_: PlaylistFiles, root: str, *__: object) -> None:
        raise RootUnavailable(root, "news/v/v.m3u8 cannot be written: ENOSPC")

    def listed(_: PlaylistFiles, root: str, *__: object) -> None:
        raise FlushFailed(root, "news/v cannot be flushed to disk: EIO")

    channel.open(playlist_window=2)
    channel.generate(3)
    monkeypatch.setattr(PlaylistFiles, "publish", publish)
    monkeypatch.setattr(PlaylistFiles, "listed", listed)
    done = channel.app.retention.run_once()
    assert [type(one.event) for one in done.recorded] == [PurgeIssued]
    monkeypatch.undo()
    assert "EIO" in App(channel.app.store).retention.run_once().paused[str(channel.root)]
    assert all(path.exists() for path in channel.paths(0))
