"""A flush that failed is never retried into success."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from application.ports import Deletion
from domain.errors import FlushFailed
from domain.events import FileIdentity, PurgeIssued, SegmentsPurged
from media.segment_root import SegmentRoots
from tests.memory_app import App, Channel, Store


class DiskThatLostAWrite(SegmentRoots):
    """The real files below a root, but the first flush after a deletion fails; the next one would succeed."""

    failures = 1

    def delete(self, root: str, channel: str, files: Sequence[FileIdentity]) -> Deletion:
        done = super().delete(root, channel, files)
        if self.failures:
            self.failures -= 1
            raise FlushFailed(root, "a directory cannot be flushed to disk: EIO")
        return done


@pytest.mark.rule("R10")
def test_after_a_failed_flush_this_process_records_no_outcome_any_more(tmp_path: Path) -> None:
    """R10: no event says purged while the files can come back."""
    store = Store()
    channel = Channel(App(store, files=DiskThatLostAWrite()), tmp_path / "media")
    channel.open()
    channel.generate(3)
    done = channel.app.retention.run_once()
    assert [type(one.event) for one in done.recorded] == [PurgeIssued]
    for _ in range(2):
        again = channel.app.retention.run_once()
        assert again.recorded == ()
        assert "EIO" in again.paused[str(channel.root)]
    restarted = App(store).retention.run_once()
    assert [type(one.event) for one in restarted.recorded] == [SegmentsPurged]
