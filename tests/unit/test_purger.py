"""One purge, step by step, on real files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog

from application.ports import ChannelFiles, Comparison, Deletion, Marker, MediaPlaylist
from application.purger import FIRST_RETRY_US
from domain.errors import FlushFailed, LogDamaged, Refused, RootSuspect
from domain.events import (
    Availability,
    Because,
    Disposition,
    Envelope,
    FileIdentity,
    Policy,
    PurgeFailed,
    PurgeIssued,
    Recorded,
    RootSuspected,
    RootTrusted,
    SegmentsPurged,
    Suspicion,
)
from media.playlist import PlaylistFiles
from media.segment_root import SegmentRoots
from tests.builders import SECOND, STORE_ID, an_id, envelope
from tests.memory_app import TESTER, App, Channel, Store, TestLog
from tests.property.faults import FailingRoots, Killed, Points

MARKER = ".trailkeep-root"


@pytest.fixture
def due(channel: Channel) -> Channel:
    """Three batches in two renditions: batch 0 is due."""
    channel.open(renditions=("v", "a"))
    channel.generate(3)
    return channel


def purge(channel: Channel, batch: int = 0) -> Recorded:
    channel.app.purger.issue(channel.id, batch)
    return channel.app.purger.carry_out(channel.id, batch)[-1]


def marker_of(channel: Channel) -> Marker:
    found = channel.app.files.read_marker(str(channel.root))
    assert found is not None
    return found


class TestAuthorising:
    @pytest.mark.rule("R10")
    @pytest.mark.invariant(1)
    def test_an_authorisation_touches_no_file(self, due: Channel) -> None:
        """R10: it is durable before anything is done."""
        recorded = due.app.purger.issue(due.id, 0)
        event = recorded.event
        assert isinstance(event, PurgeIssued)
        assert (event.files, event.confirmed) == (4, None)
        assert all(path.exists() for path in due.paths(0))
        assert event.bytes == sum(path.stat().st_size for path in due.paths(0))
        assert recorded.envelope.actor == "retention projector"

    @pytest.mark.rule("R3", "R6")
    @pytest.mark.invariant(3)
    def test_it_is_refused_for_a_batch_that_is_not_due_and_a_second_time(self, due: Channel) -> None:
        """R3, R6."""
        for batch in (1, 2, 3):
            with pytest.raises(Refused):
                due.app.purger.issue(due.id, batch)
        due.app.purger.issue(due.id, 0)
        with pytest.raises(Refused) as error:
            due.app.purger.issue(due.id, 0)
        assert error.value.rule == "R6"

    @pytest.mark.rule("R17")
    @pytest.mark.invariant(6)
    @pytest.mark.parametrize("trouble", ["no marker", "another store", "another root", "not mounted", "nonsense"])
    def test_it_needs_a_root_that_proves_to_be_ours(self, due: Channel, trouble: str) -> None:
        """R17: absent is not deleted; that it is absent is all that is recorded."""
        marker = due.root / MARKER
        files, root_id = due.app.files, due.session.terms.media_root.root_id
        marker.unlink()
        if trouble == "another store":
            files.adopt(str(due.root), Marker(store_id=an_id(999), root_id=root_id))
        elif trouble == "another root":
            files.adopt(str(due.root), Marker(store_id=STORE_ID, root_id=an_id(999)))
        elif trouble == "nonsense":
            marker.write_bytes(b"\0")
        elif trouble == "not mounted":
            due.root.rename(due.root.with_name("unmounted"))
        head = due.app.log.head()
        with pytest.raises(RootSuspect) as error:
            due.app.purger.issue(due.id, 0)
        assert error.value.root == str(due.root)
        assert "R17" in str(error.value)
        if trouble.startswith("another"):
            assert f"of store {marker_of(due).store_id} and root {marker_of(due).root_id}" in error.value.reason
        (recorded,) = due.app.log.read(after=head)
        assert isinstance(recorded.event, RootSuspected)
        foreign = trouble.startswith("another")
        assert recorded.event.suspicion is (Suspicion.FOREIGN if foreign else Suspicion.ABSENT)

    @pytest.mark.rule("R16", "R19")
    def test_a_batch_that_newer_sessions_made_due_names_their_batch(self, due: Channel) -> None:
        """R16, R19."""
        first = due.id
        due.app.generation.close(first, "next", Disposition.PURGE, TESTER)
        due.open(renditions=("v", "a"))
        due.generate(2)
        recorded = due.app.purger.issue(first, 2)
        event = recorded.event
        assert isinstance(event, PurgeIssued)
        assert (event.because.rule, event.because.session_id, event.because.completed_batch) == ("R19", due.id, 1)
        completion = due.session.last_completed
        assert completion is not None
        assert recorded.envelope.causation_id == completion.event_id
        assert recorded.envelope.correlation_id == completion.correlation_id


class TestCarryingOut:
    @pytest.mark.rule("R2", "R19")
    @pytest.mark.invariant(3)
    def test_an_authorisation_that_would_take_the_newest_batches_is_damage(self, due: Channel) -> None:
        """R2, R19: of a closed session the events do not tell what the channel has beside it; the channel does."""
        due.app.generation.close(due.id, "the end", Disposition.PURGE, TESTER)
        size = due.session.batches[2].bytes
        because = Because(rule="R19", completed_batch=9, completed_position=99, session_id=an_id(5))
        event = PurgeIssued(purge_id=an_id(91), batch=2, because=because, files=4, bytes=size)
        version = due.session.version
        forged = envelope(event, version=version + 1, session_id=due.id, event_id=an_id(92))
        due.app.log.append([forged], expected_version=version)
        with pytest.raises(LogDamaged, match=r"the purge of batch 2 of .* would take the channel's newest"):
            due.app.purger.carry_out(due.id, 2)
        assert all(path.exists() for path in due.paths(1) + due.paths(2))

    @pytest.mark.rule("R6", "R10")
    @pytest.mark.invariant(3)
    def test_every_file_of_the_batch_goes_and_no_other(self, due: Channel) -> None:
        """R6, R10."""
        gone, kept = due.paths(0), due.paths(1) + due.paths(2)
        size = sum(path.stat().st_size for path in gone)
        event = purge(due).event
        assert isinstance(event, SegmentsPurged)
        assert (event.deleted, event.bytes_freed) == (4, size)
        assert not any(path.exists() for path in gone)
        assert all(path.exists() for path in kept)

    @pytest.mark.rule("R7")
    def test_a_purge_that_left_nothing_warns_of_nothing(self, due: Channel) -> None:
        """R7: also if a file was missing."""
        due.paths(0)[1].unlink()
        with structlog.testing.capture_logs() as logs:
            purge(due)
        assert logs == []

    @pytest.mark.rule("R6")
    @pytest.mark.invariant(8)
    def test_what_has_its_outcome_is_not_done_again(self, due: Channel) -> None:
        """R6."""
        purge(due)
        assert due.app.purger.carry_out(due.id, 0) == ()
        assert due.app.purger.carry_out(due.id, 1) == (), "and what is not authorised is not done at all"
        assert due.app.purger.carry_out(due.id, 77) == ()

    @pytest.mark.rule("R8", "R10", "R17")
    @pytest.mark.invariant(1, 4)
    def test_the_steps_follow_each_other_as_the_protocol_has_them(self, tmp_path: Path) -> None:
        """R10: authorised first, recorded last; R17: the marker; R19: the look; R8: the playlist before its files."""
        steps: list[str] = []

        class WatchedRoots(SegmentRoots):
            def read_marker(self, root: str) -> Marker | None:
                steps.append("marker")
                return super().read_marker(root)

            def compare(self, root: str, channel: str, files: Sequence[FileIdentity]) -> Comparison:
                steps.append("look")
                return super().compare(root, channel, files)

            def delete_each(self, root: str, batches: Sequence[ChannelFiles]) -> list[Deletion]:
                for channel, files in batches:
                    listed = PlaylistFiles().listed(root, channel, "v") or ()
                    assert not {file.file.removeprefix("v/") for file in files} & set(listed), "R8"
                steps.append("files")
                return super().delete_each(root, batches)

        class WatchedPlaylists(PlaylistFiles):
            def publish(
                self, root: str, channel: str, playlists: Sequence[MediaPlaylist], retired: Sequence[MediaPlaylist] = ()
            ) -> None:
                super().publish(root, channel, playlists, retired)
                steps.append("playlist")

        class WatchedLog(TestLog):
            def append(self, envelopes: Sequence[Envelope], **terms: Any) -> tuple[Recorded, ...]:
                steps.append(type(envelopes[0].event).__name__)
                return super().append(envelopes, **terms)

        store = Store()
        store.log = WatchedLog()
        channel = Channel(App(store, WatchedRoots(), WatchedPlaylists()), tmp_path / "root")
        channel.open(playlist_window=6)
        channel.generate(3)
        assert len(channel.listed()) == 6, "with availability off the playlist lists also what is due"
        steps.clear()
        purge(channel)
        assert steps == ["marker", "look", "PurgeIssued", "marker", "playlist", "files", "SegmentsPurged"]

    @pytest.mark.rule("R16")
    def test_the_outcome_follows_from_the_authorisation(self, due: Channel) -> None:
        """R16."""
        issued = due.app.purger.issue(due.id, 0)
        (purged,) = due.app.purger.carry_out(due.id, 0)
        assert purged.envelope.causation_id == issued.envelope.event_id
        assert purged.envelope.correlation_id == issued.envelope.correlation_id

    @pytest.mark.rule("R7")
    def test_a_missing_file_is_an_outcome(self, due: Channel) -> None:
        """R7."""
        due.paths(0)[1].unlink()
        event = purge(due).event
        assert isinstance(event, SegmentsPurged)
        assert (event.deleted, event.already_absent) == (3, ("v/v_segment_001.ts",))

    @pytest.mark.rule("R7")
    def test_a_missing_directory_is_one_for_each_of_its_files(self, due: Channel) -> None:
        """R7: nor does it keep the purges of others on its root waiting."""
        for path in (due.directory / "a").iterdir():
            path.unlink()
        (due.directory / "a").rmdir()
        due.app.purger.issue(due.id, 0)
        event = due.app.purger.carry_out(due.id, 0)[0].event
        assert isinstance(event, SegmentsPurged)
        assert event.already_absent == ("a/a_segment_000.ts", "a/a_segment_001.ts")

    @pytest.mark.rule("R11")
    @pytest.mark.invariant(5)
    def test_a_file_that_is_another_is_left_alone(self, due: Channel) -> None:
        """R11: and its identity is recorded."""
        path = due.paths(0)[0]
        path.unlink()
        path.write_bytes(b"somebody else's")
        event = purge(due).event
        assert isinstance(event, SegmentsPurged)
        assert event.deleted == 3
        (other,) = event.superseded
        assert (other.file, other.size, other.inode) == ("v/v_segment_000.ts", 15, path.stat().st_ino)
        assert path.read_bytes() == b"somebody else's"

    @pytest.mark.rule("R17")
    @pytest.mark.invariant(6)
    def test_a_root_that_lost_its_marker_after_the_authorisation_loses_nothing_else(self, due: Channel) -> None:
        """R17: the purge waits, and is done when the marker is back."""
        due.app.purger.issue(due.id, 0)
        marker = due.root / MARKER
        line = marker.read_bytes()
        marker.unlink()
        head = due.app.log.head()
        with pytest.raises(RootSuspect):
            due.app.purger.carry_out(due.id, 0)
        assert all(path.exists() for path in due.paths(0))
        marker.write_bytes(line)
        assert due.app.purger.carry_out(due.id, 0)
        kinds = [type(one.event) for one in due.app.log.read(after=head)]
        assert kinds == [RootSuspected, RootTrusted, SegmentsPurged]

    @pytest.mark.rule("R10")
    @pytest.mark.invariant(2, 9)
    def test_files_that_may_come_back_are_not_recorded_as_gone(self, due: Channel) -> None:
        """R10: here a directory that would not flush; what is found after an operator looked at the disk counts."""

        class UnflushedRoots(SegmentRoots):
            def delete_each(self, root: str, batches: Sequence[ChannelFiles]) -> list[Deletion]:
                super().delete_each(root, batches)
                raise FlushFailed(root, "a directory cannot be flushed to disk: EIO")

        unflushed = App(due.app.store, UnflushedRoots())
        unflushed.purger.issue(due.id, 0)
        head = due.app.log.head()
        with pytest.raises(FlushFailed):
            unflushed.purger.carry_out(due.id, 0)
        with pytest.raises(RootSuspect, match="EIO"):
            due.app.purger.carry_out(due.id, 0)
        assert [type(one.event) for one in due.app.log.read(after=head)] == [RootSuspected]
        due.app.roots.trust(due.session.terms.media_root, "a cable was loose", TESTER)
        event = due.app.purger.carry_out(due.id, 0)[0].event
        assert isinstance(event, SegmentsPurged)
        assert (event.deleted, len(event.already_absent)) == (0, 4)

    @pytest.mark.rule("R6", "R10")
    @pytest.mark.invariant(8)
    @pytest.mark.parametrize("point", [Points.DELETE, Points.UNLINKED, Points.DELETED])
    def test_a_purge_that_died_is_finished_by_the_next_process(self, due: Channel, point: str) -> None:
        """R6: wherever it died, there is one outcome, and no file is left."""
        points = Points()
        dying = App(due.app.store, FailingRoots(points, set()))
        dying.purger.issue(due.id, 0)
        points.armed = point
        with pytest.raises(Killed):
            dying.purger.carry_out(due.id, 0)
        event = App(due.app.store).purger.carry_out(due.id, 0)[0].event
        assert isinstance(event, SegmentsPurged)
        assert event.deleted + len(event.already_absent) == 4
        assert not any(path.exists() for path in due.paths(0))


class TestTryingAgain:
    """R7: a permission error is an outcome: recorded, warned of, tried again later."""

    @pytest.fixture
    def denied(self) -> set[str]:
        return set()

    @pytest.fixture
    def app(self, store: Store, denied: set[str]) -> App:
        return App(store, FailingRoots(Points(), denied))

    @pytest.mark.rule("R7")
    def test_what_cannot_be_deleted_is_recorded_and_the_rest_goes(self, due: Channel, denied: set[str]) -> None:
        """R7."""
        stuck = due.paths(0)[0]
        denied.add(str(stuck))
        sizes = sum(path.stat().st_size for path in due.paths(0)[1:])
        with structlog.testing.capture_logs() as logs:
            event = purge(due).event
        assert isinstance(event, PurgeFailed)
        assert [(file.name, file.errno) for file in event.remaining] == [("v/v_segment_000.ts", "EACCES")]
        assert (event.deleted, event.bytes_freed, event.attempt) == (3, sizes, 1)
        assert event.retry_at == due.app.clock.time + FIRST_RETRY_US
        assert [path.exists() for path in due.paths(0)] == [True, False, False, False]
        (warning,) = logs
        assert warning == {
            "event": "purge incomplete, will be tried again",
            "log_level": "warning",
            "session": due.id,
            "batch": 0,
            "attempt": 1,
            "remaining": {"v/v_segment_000.ts": "EACCES"},
        }

    @pytest.mark.rule("R7")
    def test_it_is_not_tried_before_its_time_and_then_only_with_what_is_left(
        self, due: Channel, denied: set[str]
    ) -> None:
        """R7."""
        denied.add(str(due.paths(0)[0]))
        purge(due)
        denied.clear()
        due.app.clock.time += FIRST_RETRY_US - 1
        assert due.app.purger.carry_out(due.id, 0) == ()
        due.app.clock.time += 1
        event = due.app.purger.carry_out(due.id, 0)[0].event
        assert isinstance(event, SegmentsPurged)
        assert (event.deleted, event.already_absent) == (1, ())

    @pytest.mark.rule("R7")
    def test_it_is_tried_later_each_time_up_to_a_bound(self, due: Channel, denied: set[str]) -> None:
        """R7: 1, 2, 4 ... seconds, five minutes at most, however often."""
        denied.add(str(due.paths(0)[0]))
        due.app.purger.issue(due.id, 0)
        waits = []
        for _ in range(40):
            event = due.app.purger.carry_out(due.id, 0)[0].event
            assert isinstance(event, PurgeFailed)
            waits.append(event.retry_at - due.app.clock.time)
            assert due.app.purger.carry_out(due.id, 0) == (), "not at once, however long the wait"
            due.app.clock.time = event.retry_at
        assert [wait / SECOND for wait in waits[:10]] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
        assert set(waits[10:]) == {300 * SECOND}


@pytest.mark.rule("R13")
def test_a_batch_that_left_its_playlist_waits(channel: Channel) -> None:
    """R13: a window of two batches of two segments of 2 s: 2 s and 8 s after it left."""
    channel.open(policy=Policy(availability=Availability.RFC8216))
    channel.generate(3)
    with pytest.raises(Refused) as error:
        channel.app.purger.issue(channel.id, 0)
    assert (error.value.rule, error.value.reason) == ("R13", "it is due in 10.000 s")
    channel.app.clock.advance(10)
    assert isinstance(channel.app.purger.issue(channel.id, 0).event, PurgeIssued)
