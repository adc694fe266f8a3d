"""The playlists follow the log: what they list, and when it is recorded (RFC 8216 section 6.2.2)."""

from pathlib import Path

import pytest

from application.generation import nominal
from application.playlist_content import media_playlist
from domain.events import Availability, Disposition, Naming, PlaylistPublished, Policy, Source, Uptime
from tests.builders import (
    CAMERA,
    NOW,
    SECOND,
    a_session,
    completed,
    failed,
    files_of,
    generated,
    purging,
    started,
    with_one_changed,
)
from tests.memory_app import TESTER, App, Channel
from tests.property.faults import FailingPlaylists, Killed, Points

RFC8216 = Policy(availability=Availability.RFC8216)
FILM = Source(label="film", producer="script")
AT_START = Uptime(boot="boot 1", us=0)


class TestWhatIsListed:
    """`media_playlist` of a state."""

    @pytest.mark.parametrize(
        ("window", "batches", "numbers"),
        [(4, 1, [0, 1]), (4, 2, [0, 1, 2, 3]), (4, 4, [4, 5, 6, 7]), (3, 3, [3, 4, 5])],
    )
    def test_the_newest_segments_up_to_the_window(self, window: int, batches: int, numbers: list[int]) -> None:
        playlist = media_playlist(generated(a_session(playlist_window=window), batches), "v")
        assert [segment.name for segment in playlist.segments] == [f"v_segment_{one:03d}.ts" for one in numbers]
        assert playlist.media_sequence == numbers[0]

    def test_each_rendition_lists_its_own_files(self) -> None:
        session = generated(a_session(renditions=("v", "a")), 1)
        for rendition in ("v", "a"):
            names = [segment.name for segment in media_playlist(session, rendition).segments]
            assert names == [f"{rendition}_segment_000.ts", f"{rendition}_segment_001.ts"]

    def test_a_running_or_failed_batch_is_not_listed(self) -> None:
        session = generated(a_session(), 1)
        assert media_playlist(started(session), "v") == media_playlist(session, "v")

    @pytest.mark.rule("R8")
    @pytest.mark.invariant(4)
    def test_a_batch_that_is_being_purged_is_not_listed_nor_what_is_before_it(self) -> None:
        """R8."""
        session = purging(generated(a_session(playlist_window=8), 4), 1)
        playlist = media_playlist(session, "v")
        assert (playlist.media_sequence, len(playlist.segments)) == (4, 4)

    def test_a_playlist_without_segments_stands_at_the_next_number(self) -> None:
        session = purging(generated(a_session(), 1), 0)
        playlist = media_playlist(session, "v")
        assert (playlist.segments, playlist.media_sequence, playlist.bandwidth) == ((), 2, 1)

    def test_the_media_sequence_number_goes_on_from_session_to_session(self) -> None:
        session = a_session(naming=Naming(pattern="{rendition}%d", wrap=6, offset=7))
        assert media_playlist(generated(session, 1), "v").media_sequence == 7

    def test_the_target_duration_is_that_of_the_longest_segment_but_not_less_than_planned(self) -> None:
        session = started(a_session())
        shorter = completed(session, files_of(session, duration_ms=1500))
        longer = completed(session, with_one_changed(files_of(session), duration_ms=2400))
        assert media_playlist(shorter, "v").target_duration_ms == 2000
        assert media_playlist(longer, "v").target_duration_ms == 2400

    def test_the_bandwidth_is_that_of_the_fattest_segment_rounded_up(self) -> None:
        session = started(a_session())
        files = with_one_changed(files_of(session, size=1000, duration_ms=2000), size=3001, duration_ms=3000)
        assert media_playlist(completed(session, files), "v").bandwidth == 8003


class TestTimes:
    def test_segments_follow_each_other_on_the_clock_from_the_start_of_their_batch(self) -> None:
        session = started(a_session(), at=NOW + 5 * SECOND)
        session = completed(session, with_one_changed(files_of(session), duration_ms=1500), at=NOW + 6 * SECOND)
        segments = media_playlist(session, "v").segments
        assert [one.program_at for one in segments] == [NOW + 5 * SECOND, NOW + 7 * SECOND]
        assert [one.duration_ms for one in segments] == [2000, 1500]

    def test_a_batch_that_was_early_follows_the_one_before(self) -> None:
        """Made faster than it plays: its time is the end of what is there."""
        session = generated(started_at_once := a_session(), 2)
        segments = media_playlist(session, "v").segments
        first = started_at_once.opened_at + SECOND
        assert [one.program_at for one in segments] == [first + number * 2 * SECOND for number in range(4)]

    def test_a_batch_that_was_late_leaves_a_gap(self) -> None:
        session = generated(a_session(), 1)
        session = completed(started(session, at=NOW + 60 * SECOND))
        assert media_playlist(session, "v").segments[2].program_at == NOW + 60 * SECOND


class TestDiscontinuities:
    """RFC 8216 sections 4.3.2.3 and 4.3.3.3."""

    def test_there_is_one_where_the_source_changes(self) -> None:
        session = completed(started(completed(started(a_session(), CAMERA)), FILM))
        marked = [segment.discontinuity for segment in media_playlist(session, "v").segments]
        assert marked == [False, False, True, False]

    def test_a_failed_attempt_with_another_source_leaves_none(self) -> None:
        session = failed(started(generated(a_session(), 1), FILM))
        session = completed(started(session, CAMERA))
        assert not any(segment.discontinuity for segment in media_playlist(session, "v").segments)

    @pytest.mark.parametrize(("window", "gone"), [(4, [0, 0, 0, 1, 2]), (3, [0, 0, 1, 2, 3])])
    def test_those_that_left_the_playlist_are_counted(self, window: int, gone: list[int]) -> None:
        """Every batch but the first begins with one; a window of three cuts a batch behind its mark."""
        session, counted = a_session(playlist_window=window), []
        for number in range(5):
            session = completed(started(session, CAMERA if number % 2 else FILM))
            counted.append(media_playlist(session, "v").discontinuity_sequence)
        assert counted == gone

    def test_all_count_when_nothing_is_listed(self) -> None:
        session = generated(a_session(), 1)
        session = completed(started(session, FILM))
        assert media_playlist(purging(session, 1), "v").discontinuity_sequence == 1

    def test_a_session_after_another_begins_with_one_and_goes_on_counting(self) -> None:
        """Nothing made it follow from what the channel showed before, even if the source bears the same name."""
        naming = Naming(pattern="{rendition}%d", wrap=0, offset=6)
        session = generated(a_session(ordinal=2, naming=naming, discontinuities=3), 1)
        playlist = media_playlist(session, "v")
        assert [segment.discontinuity for segment in playlist.segments] == [True, False]
        assert playlist.discontinuity_sequence == 3
        later = media_playlist(generated(session, 2), "v")
        assert later.discontinuity_sequence == 4
        assert not any(segment.discontinuity for segment in later.segments)

    def test_the_count_is_handed_on_from_session_to_session(self, channel: Channel) -> None:
        counts = []
        for _ in range(3):
            counts.append(channel.open().terms.discontinuities)
            for source in (CAMERA, FILM):
                channel.start(source)
                channel.complete()
            channel.app.generation.close(channel.id, "next", Disposition.KEEP, TESTER)
        assert counts == [0, 1, 3]
        assert channel.playlist().count("#EXT-X-DISCONTINUITY\n") == 2


class TestPublishing:
    @pytest.mark.rule("R8")
    def test_nothing_is_written_before_there_is_something_to_show(self, channel: Channel) -> None:
        """R8."""
        channel.open()
        assert channel.app.publisher.publish(channel.id) == ()
        assert not list(channel.root.glob("**/*.m3u8"))

    def test_a_channel_without_a_window_has_no_playlist(self, channel: Channel) -> None:
        channel.open(playlist_window=0)
        channel.generate(2)
        assert not list(channel.root.glob("**/*.m3u8"))

    @pytest.mark.rule("R13")
    def test_what_is_shown_is_recorded_while_somebody_will_wait_for_it(self, channel: Channel) -> None:
        """R13: once for each change, caused by the batch that changed it."""
        channel.open(policy=RFC8216)
        channel.generate(2)
        assert channel.app.publisher.publish(channel.id) == ()
        shown = [one for one in channel.app.log.read() if isinstance(one.event, PlaylistPublished)]
        assert [one.event for one in shown] == [
            PlaylistPublished(first_segment=0, last_segment=1, duration_ms=4000, uptime=AT_START),
            PlaylistPublished(first_segment=0, last_segment=3, duration_ms=8000, uptime=AT_START),
        ]
        completion = channel.session.last_completed
        assert completion is not None
        assert shown[-1].envelope.causation_id == completion.event_id
        assert shown[-1].envelope.correlation_id == completion.correlation_id

    @pytest.mark.rule("R13")
    def test_the_longest_rendition_counts(self, channel: Channel) -> None:
        """R13."""
        channel.open(policy=RFC8216, renditions=("v", "a"))
        channel.start()
        channel.write()
        channel.app.generation.complete(channel.id, nominal(2000, {("a", 1): 2700}), "ann")
        assert channel.events()[-1] == PlaylistPublished(
            first_segment=0, last_segment=1, duration_ms=4700, uptime=AT_START
        )

    def test_with_availability_off_only_the_first_playlist_of_a_later_session_is_recorded(
        self, channel: Channel
    ) -> None:
        """The session before may wait for it."""
        channel.open()
        channel.generate(2)
        assert "PlaylistPublished" not in channel.kinds()
        channel.app.generation.close(channel.id, "next", Disposition.PURGE, TESTER)
        channel.open()
        channel.generate(3)
        assert channel.kinds().count("PlaylistPublished") == 1

    def test_a_lost_playlist_is_written_again(self, channel: Channel) -> None:
        channel.open()
        channel.generate(2)
        before = channel.playlist()
        (channel.directory / "v" / "v.m3u8").unlink()
        channel.app.publisher.publish(channel.id)
        assert channel.playlist() == before


class TestAcrossSessions:
    """R8: no playlist is left behind that lists what an earlier session loses."""

    @pytest.fixture
    def closed(self, channel: Channel) -> Channel:
        """A session with two batches in two renditions was closed, and its batches are given up."""
        channel.open(renditions=("v", "a"))
        channel.generate(2)
        channel.app.generation.close(channel.id, "next", Disposition.PURGE, TESTER)
        return channel

    def test_the_old_playlist_stays_until_the_new_session_has_a_batch(self, closed: Channel) -> None:
        before = closed.playlist()
        closed.open()
        closed.app.publisher.publish(closed.id)
        assert closed.playlist() == before
        closed.generate()
        assert closed.listed() == ["v_segment_004.ts", "v_segment_005.ts"]

    @pytest.mark.rule("R8")
    def test_a_rendition_that_the_channel_no_longer_has_lists_nothing(self, closed: Channel) -> None:
        """R8: its playlist stays, its number does not go back, and the master playlist does not name it."""
        closed.open(renditions=("v",))
        closed.generate()
        assert closed.listed("a") == []
        assert "#EXT-X-MEDIA-SEQUENCE:4\n" in closed.playlist("a")
        assert "a/a.m3u8" not in (closed.directory / "master.m3u8").read_text(encoding="utf-8")
        before = closed.playlist("a")
        closed.generate(2)
        closed.app.project()
        assert closed.playlist("a") == before

    @pytest.mark.rule("R8")
    def test_what_an_operator_removed_of_an_old_rendition_is_not_missed(self, closed: Channel) -> None:
        """R8, R7."""
        closed.open(renditions=("v",))
        for path in (closed.directory / "a").iterdir():
            path.unlink()
        (closed.directory / "a").rmdir()
        closed.generate(2)
        assert not (closed.directory / "a").exists()

    @pytest.mark.rule("R8")
    @pytest.mark.invariant(4)
    def test_the_playlist_of_a_session_whose_successor_has_none_loses_what_is_purged(self, closed: Channel) -> None:
        """R8."""
        closed.open(renditions=("v", "a"), playlist_window=0)
        closed.generate()
        closed.app.project()
        assert closed.listed() == ["v_segment_002.ts", "v_segment_003.ts"]
        closed.generate()
        closed.app.project()
        assert closed.listed() == closed.listed("a") == []

    @pytest.mark.rule("R8")
    @pytest.mark.invariant(4)
    def test_the_playlist_on_the_old_disk_loses_what_is_purged_there(self, closed: Channel, tmp_path: Path) -> None:
        """R8: the channel moved to another root."""
        moved = Channel(closed.app, tmp_path / "another")
        moved.open(renditions=("v", "a"))
        moved.generate(2)
        closed.app.project()
        assert closed.listed() == closed.listed("a") == []
        assert len(moved.listed()) == 4
        assert not closed.segments()

    @pytest.mark.rule("R8")
    @pytest.mark.invariant(4)
    def test_a_purge_writes_the_new_playlist_if_its_session_died_before_it_could(self, closed: Channel) -> None:
        """R8: completed twice, and never published."""
        closed.open(renditions=("v", "a"))
        points = Points()
        dying = Channel(App(closed.app.store, playlists=FailingPlaylists(points)), closed.root)
        for _ in range(2):
            dying.start()
            points.armed = Points.PUBLISH
            with pytest.raises(Killed):
                dying.complete()
        assert "v_segment_000.ts" in closed.listed()
        closed.app.project()
        assert closed.listed() == [f"v_segment_00{number}.ts" for number in (4, 5, 6, 7)]
