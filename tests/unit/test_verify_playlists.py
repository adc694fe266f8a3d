"""The verifier and playlists: what publishing would change is told, and what is being published right now is not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from application.verify import SETTLED_US, Level, Report, Verifier
from domain.events import Availability, Disposition, Policy
from tests.builders import SECOND
from tests.memory_app import TESTER, App, Channel, Store
from tests.property.faults import FailingPlaylists, Killed, Points


def verifier(app: App, pause: Callable[[float], object] = lambda _: None) -> Verifier:
    return Verifier(
        app.log,
        app.seals,
        app.sessions,
        app.files,
        app.playlists,
        app.journal,
        app.roots,
        app.read_models,
        app.agenda,
        app.clock,
        pause,
    )


def verified(channel: Channel) -> Report:
    return verifier(App(channel.app.store)).verify(Level.IDENTITY)


@pytest.fixture
def dying(store: Store, tmp_path: Path) -> Channel:
    """Three batches made; the process dies when it publishes the fourth."""
    points = Points()
    channel = Channel(App(store, playlists=FailingPlaylists(points)), tmp_path / "root")
    channel.open()
    channel.generate(3)
    channel.start()
    points.armed = Points.PUBLISH
    return channel


class TestWhatIsUnderWay:
    """A batch is completed before its playlist is written: that takes a moment."""

    def test_it_is_waited_for_and_is_no_fault(self, dying: Channel) -> None:
        waited: list[float] = []

        def publish(seconds: float) -> None:
            waited.append(seconds)
            dying.app.publisher.publish(dying.id)

        with pytest.raises(Killed):
            dying.complete()
        assert verifier(dying.app, publish).verify(Level.IDENTITY).ok
        assert waited == [SETTLED_US / SECOND]

    def test_it_is_a_fault_when_nobody_finished_it(self, dying: Channel) -> None:
        with pytest.raises(Killed):
            dying.complete()
        clock, waited = dying.app.clock, list[float]()

        def wait(seconds: float) -> None:
            waited.append(seconds)
            clock.advance(seconds)

        clock.advance(0.5)
        report = verifier(dying.app, wait).verify(Level.IDENTITY)
        media, master = report.playlists
        assert "it lists v_segment_002.ts, v_segment_003.ts, which the log does not want listed" in media
        assert "it does not list v_segment_006.ts, v_segment_007.ts" in media
        assert master.endswith("master.m3u8: its text is not what the log wants")
        assert waited == [1.5]
        assert not verifier(dying.app, wait).verify(Level.IDENTITY).ok
        assert waited == [1.5], "what is older than that is not waited for"

    def test_a_clock_that_was_set_back_holds_nobody_up(self, dying: Channel) -> None:
        with pytest.raises(Killed):
            dying.complete()
        dying.app.clock.advance(-3600)
        waited: list[float] = []
        assert not verifier(dying.app, waited.append).verify(Level.IDENTITY).ok
        assert waited == []

    def test_recovery_puts_it_right(self, dying: Channel) -> None:
        with pytest.raises(Killed):
            dying.complete()
        App(dying.app.store).recoverer.recover()
        assert verified(dying).ok

    @pytest.mark.rule("R13")
    def test_playlists_that_were_written_but_not_recorded_are_told(self, store: Store, tmp_path: Path) -> None:
        """R13: the wait of what left them has not begun."""
        points = Points()
        channel = Channel(App(store, playlists=FailingPlaylists(points)), tmp_path / "root")
        channel.open(policy=Policy(availability=Availability.RFC8216))
        channel.generate(2)
        channel.start()
        points.armed = Points.PUBLISHED
        with pytest.raises(Killed):
            channel.complete()
        (text,) = verified(channel).playlists
        assert text == f"{channel.directory}: its playlists list segments 2 to 5, which was not recorded"
        App(store).recoverer.recover()
        assert verified(channel).ok


@pytest.mark.rule("R8")
def test_a_purge_that_died_before_it_unlisted_its_files_is_told(channel: Channel) -> None:
    """R8: what a playlist lists is authorised to go."""
    channel.open()
    channel.generate(2)
    channel.app.generation.close(channel.id, "next", Disposition.PURGE, TESTER)
    channel.open(playlist_window=0)
    channel.generate(2)
    assert verified(channel).playlists == ()
    channel.app.purger.issue(channel.app.sessions.id_of("news", 1), 0)
    (text,) = verified(channel).playlists
    names = "v_segment_000.ts, v_segment_001.ts"
    assert text == f"{channel.directory}/v/v.m3u8: it lists {names}, whose purge is authorised"
    channel.app.project()
    assert verified(channel).ok


def test_a_channel_without_a_window_has_no_playlist_and_needs_none(channel: Channel) -> None:
    channel.open(playlist_window=0)
    channel.generate(2)
    assert not (channel.directory / "master.m3u8").exists()
    assert verified(channel).ok


@pytest.mark.rule("R8")
def test_the_playlist_of_a_rendition_that_the_channel_lost_is_to_list_nothing(channel: Channel) -> None:
    """R8."""
    channel.open(renditions=("v", "a"))
    channel.generate(2)
    channel.app.generation.close(channel.id, "sound goes along", Disposition.PURGE, TESTER)
    channel.open()
    channel.generate(1)
    assert channel.listed("a") == []
    assert verified(channel).ok
    retired = channel.directory / "a" / "a.m3u8"
    retired.write_text(channel.playlist("a") + "#EXTINF:2.000,\na_segment_003.ts\n")
    (text,) = verified(channel).playlists
    assert text == f"{retired}: it lists a_segment_003.ts, which the log does not want listed"
    retired.unlink()
    assert verified(channel).ok, "what the channel no longer has, an operator may remove"


def test_a_directory_that_is_gone_takes_its_playlist_along(channel: Channel) -> None:
    channel.open()
    channel.generate(1)
    for path in channel.directory.rglob("*.*"):
        path.unlink()
    (channel.directory / "v").rmdir()
    report = verified(channel)
    assert len(report.lost) == 2
    assert [text.partition(": ")[0] for text in report.playlists] == [
        str(channel.directory / "v" / "v.m3u8"),
        str(channel.directory / "master.m3u8"),
    ]


@pytest.mark.parametrize("text", ["", "no playlist at all", "#EXTM3U\n" + "../../etc/passwd\n" * 9, "#EXTM3U\n\0\n"])
def test_whatever_stands_in_a_playlist_is_told_and_followed_nowhere(channel: Channel, text: str) -> None:
    channel.open()
    channel.generate(1)
    path = channel.directory / "v" / "v.m3u8"
    path.write_text(text)
    (told,) = verified(channel).playlists
    assert told.startswith(f"{path}: ")
    assert len(told) < 300


def test_a_playlist_that_is_ahead_of_the_log_is_told(channel: Channel) -> None:
    """As when the database was put back."""
    channel.open()
    channel.generate(2)
    path = channel.directory / "v" / "v.m3u8"
    path.write_text(path.read_text().replace("MEDIA-SEQUENCE:0", "MEDIA-SEQUENCE:50"))
    (told,) = verified(channel).playlists
    assert "was the database put back?" in told
