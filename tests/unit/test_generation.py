"""The verbs of a producer: open, start, complete, fail, close, on real files."""

from pathlib import Path

import pytest

from application.generation import nominal
from application.ports import Marker
from domain.errors import Invalid, NotFound, Refused, RootSuspect
from domain.events import (
    BatchCompleted,
    BatchFailed,
    BatchStarted,
    Disposition,
    FileIdentity,
    Naming,
    SessionClosed,
    SessionOpened,
)
from domain.segments import DEFAULT_PATTERN, ExpectedFile
from tests.builders import OFF, STORE_ID
from tests.memory_app import TESTER, App, Channel

MARKER = ".trailkeep-root"


def identity_of(path: Path, file: str) -> FileIdentity:
    status = path.stat()
    return FileIdentity(file=file, size=status.st_size, mtime_ns=status.st_mtime_ns, inode=status.st_ino)


class TestOpening:
    @pytest.mark.rule("R17")
    def test_a_new_root_gets_a_marker_that_the_session_remembers(self, channel: Channel) -> None:
        """R17."""
        session = channel.open(renditions=("v", "a"))
        marker = channel.app.files.read_marker(str(channel.root))
        assert marker == Marker(store_id=STORE_ID, root_id=session.terms.media_root.root_id)
        assert session.terms.media_root.path == str(channel.root)
        assert {path.name for path in channel.directory.iterdir()} == {"v", "a"}

    def test_the_session_has_the_terms_that_were_asked_for(self, channel: Channel) -> None:
        terms = channel.open(batch_size=3, wrap=12, playlist_window=6, segment_ms=4000).terms
        assert (terms.channel, terms.ordinal, terms.batch_size, terms.renditions) == ("news", 1, 3, ("v",))
        assert terms.naming == Naming(pattern=DEFAULT_PATTERN, wrap=12, offset=0)
        assert (terms.segment_ms, terms.playlist_window, terms.policy) == (4000, 6, OFF)

    @pytest.mark.rule("R20")
    def test_a_channel_has_one_open_session(self, channel: Channel) -> None:
        """R20."""
        session = channel.open()
        with pytest.raises(Refused) as error:
            channel.open()
        assert (error.value.rule, error.value.field, error.value.value) == ("R20", "channel", "news")
        assert session.session_id in error.value.reason
        assert channel.app.log.head() == 1

    def test_names_go_on_where_the_session_before_ended(self, channel: Channel) -> None:
        channel.open(batch_size=3)
        channel.generate(2)
        channel.app.generation.close(channel.id, "new size", Disposition.KEEP, TESTER)
        session = channel.open(batch_size=2)
        channel.generate(1)
        channel.app.generation.close(channel.id, "again", Disposition.KEEP, TESTER)
        assert (session.terms.ordinal, session.terms.naming.offset) == (2, 6)
        assert channel.open().terms.naming.offset == 8

    @pytest.mark.rule("R20")
    def test_terms_that_can_never_hold_leave_no_trace(self, channel: Channel) -> None:
        """R20: neither in the log nor on the disk."""
        with pytest.raises(Invalid):
            channel.open(batch_size=0)
        with pytest.raises(Refused):
            channel.open(wrap=5)
        assert channel.app.log.head() == 0
        assert not channel.root.exists()

    @pytest.mark.rule("R17")
    @pytest.mark.parametrize("projected", [True, False], ids=["projected", "not projected yet"])
    def test_a_known_root_without_its_marker_is_not_adopted_again(self, channel: Channel, projected: bool) -> None:
        """R17: the disk is not mounted, most likely; also when the read models are behind the log."""
        channel.open()
        channel.app.generation.close(channel.id, "the end", Disposition.KEEP, TESTER)
        if projected:
            channel.app.read_model_projector.catch_up()
        (channel.root / MARKER).unlink()
        with pytest.raises(RootSuspect, match="is the disk mounted"):
            channel.open()
        assert not (channel.root / MARKER).exists()

    @pytest.mark.rule("R17")
    def test_the_root_of_another_channel_is_known_too(self, channel: Channel) -> None:
        """R17."""
        channel.open()
        channel.app.read_model_projector.catch_up()
        (channel.root / MARKER).unlink()
        with pytest.raises(RootSuspect, match="is the disk mounted"):
            Channel(channel.app, channel.root, "sport").open()

    @pytest.mark.rule("R17")
    def test_the_root_of_another_store_is_refused(self, channel: Channel) -> None:
        """R17."""
        channel.app.files.adopt(str(channel.root), Marker(store_id="another", root_id="its"))
        with pytest.raises(RootSuspect, match="another store, another"):
            channel.open()
        assert channel.app.log.head() == 0

    def test_two_channels_share_a_root(self, channel: Channel) -> None:
        other = Channel(channel.app, channel.root, "sport")
        assert channel.open().terms.media_root == other.open().terms.media_root


class TestStarting:
    def test_a_batch_is_started_with_its_range_and_source(self, channel: Channel) -> None:
        channel.open()
        channel.generate()
        event = channel.start().event
        assert isinstance(event, BatchStarted)
        assert (event.batch, event.first_segment, event.last_segment) == (1, 2, 3)
        assert (event.source.label, event.present) == ("picture", ())

    @pytest.mark.rule("R9")
    def test_what_bears_the_names_already_is_recorded(self, channel: Channel) -> None:
        """R9: here what a failed attempt left, and a stranger's file."""
        channel.open()
        channel.start()
        (path,) = channel.write(1)
        channel.fail()
        event = channel.start().event
        assert isinstance(event, BatchStarted)
        assert event.present == (identity_of(path, "v/v_segment_000.ts"),)

    @pytest.mark.rule("R5")
    def test_names_that_a_kept_batch_needs_are_not_used(self, channel: Channel) -> None:
        """R5: with the projector stopped, generation stops, and goes on by itself when the projector does."""
        channel.open(wrap=6)
        channel.generate(3)
        before = {path: path.read_bytes() for path in channel.paths(0)}
        with pytest.raises(Refused) as error:
            channel.start()
        assert (error.value.rule, error.value.value) == ("R5", 3)
        assert {path: path.read_bytes() for path in channel.paths(0)} == before
        channel.app.project()
        channel.generate()

    @pytest.mark.rule("R5")
    def test_names_that_an_earlier_session_keeps_are_not_used(self, channel: Channel) -> None:
        """R5: until what becomes of its batches is settled anew."""
        channel.open(wrap=6)
        channel.generate(2)
        earlier = channel.id
        channel.app.generation.close(earlier, "new picture", Disposition.KEEP, TESTER)
        channel.open(wrap=6)
        channel.generate(1)
        with pytest.raises(Refused) as error:
            channel.start()
        assert error.value.rule == "R5"
        assert f"batch 0 of session {earlier}" in error.value.reason
        channel.app.generation.close(earlier, "no room", Disposition.PURGE, TESTER)
        channel.app.project()
        channel.generate(1)

    @pytest.mark.rule("R5")
    def test_an_earlier_session_on_another_root_holds_no_names(self, channel: Channel, tmp_path: Path) -> None:
        """R5."""
        channel.open(wrap=6)
        channel.generate(2)
        channel.app.generation.close(channel.id, "new disk", Disposition.KEEP, TESTER)
        moved = Channel(channel.app, tmp_path / "another")
        moved.open(wrap=6)
        moved.generate(2)
        assert moved.segments() == {f"v_segment_00{number}.ts" for number in (4, 5, 0, 1)}

    @pytest.mark.rule("R17")
    def test_no_batch_starts_on_a_root_that_does_not_prove_to_be_ours(self, channel: Channel) -> None:
        """R17: its files would go to the wrong disk."""
        channel.open()
        (channel.root / MARKER).unlink()
        with pytest.raises(RootSuspect):
            channel.start()
        assert channel.kinds() == ["SessionOpened"]

    def test_a_directory_that_somebody_removed_is_made_again(self, channel: Channel) -> None:
        channel.open()
        (channel.directory / "v").rmdir()
        channel.generate()
        assert channel.segments() == {"v_segment_000.ts", "v_segment_001.ts"}


class TestCompleting:
    @pytest.mark.rule("R9", "R16")
    def test_a_batch_is_completed_with_what_is_on_the_disk(self, channel: Channel) -> None:
        """R9, R16: and it follows from its start."""
        channel.open(renditions=("v", "a"))
        started = channel.start()
        paths = channel.write()
        recorded = channel.app.generation.complete(channel.id, nominal(2000, {("v", 1): 1500}), "ann")
        event = recorded.event
        assert isinstance(event, BatchCompleted)
        assert [(file.rendition, file.number, file.duration_ms) for file in event.files] == [
            ("v", 0, 2000),
            ("v", 1, 1500),
            ("a", 0, 2000),
            ("a", 1, 2000),
        ]
        assert [(file.size, file.inode) for file in event.files] == [
            (path.stat().st_size, path.stat().st_ino) for path in paths
        ]
        assert recorded.envelope.causation_id == started.envelope.event_id
        assert recorded.envelope.correlation_id == started.envelope.correlation_id
        assert recorded.envelope.actor == "ann"

    def test_the_length_of_each_segment_is_asked_for_with_its_path(self, channel: Channel) -> None:
        channel.open()
        channel.start()
        paths = channel.write()
        asked: list[tuple[int, str]] = []

        def told(expected: ExpectedFile, path: str) -> int:
            asked.append((expected.number, path))
            return 1234

        event = channel.app.generation.complete(channel.id, told, "ann").event
        assert isinstance(event, BatchCompleted)
        assert asked == [(0, str(paths[0])), (1, str(paths[1]))]
        assert {file.duration_ms for file in event.files} == {1234}

    @pytest.mark.rule("R8")
    def test_the_playlist_lists_the_batch_when_it_is_recorded(self, channel: Channel) -> None:
        """R8."""
        channel.open()
        channel.generate()
        assert channel.listed() == ["v_segment_000.ts", "v_segment_001.ts"]

    @pytest.mark.rule("R9")
    @pytest.mark.parametrize("missing", [0, 1])
    def test_a_batch_with_a_missing_file_is_not_complete(self, channel: Channel, missing: int) -> None:
        """R9: and it can be completed when the file is there."""
        channel.open()
        channel.start()
        path = channel.write()[missing]
        path.unlink()
        with pytest.raises(Refused) as error:
            channel.app.generation.complete(channel.id, nominal(2000, {}), "ann")
        assert (error.value.rule, error.value.value) == ("R9", f"v/{path.name}")
        assert channel.kinds() == ["SessionOpened", "BatchStarted"]
        channel.complete()

    @pytest.mark.rule("R9")
    def test_an_empty_file_is_no_segment(self, channel: Channel) -> None:
        """R9."""
        channel.open()
        channel.start()
        channel.write()[1].write_bytes(b"")
        with pytest.raises(Refused, match="it is empty"):
            channel.app.generation.complete(channel.id, nominal(2000, {}), "ann")

    @pytest.mark.rule("R9")
    def test_a_link_is_no_segment(self, channel: Channel, tmp_path: Path) -> None:
        """R9: what it leads to may be anything."""
        channel.open()
        channel.start()
        path = channel.write()[1]
        path.rename(tmp_path / "elsewhere.ts")
        path.symlink_to(tmp_path / "elsewhere.ts")
        with pytest.raises(Refused) as error:
            channel.app.generation.complete(channel.id, nominal(2000, {}), "ann")
        assert (error.value.rule, error.value.reason) == ("R9", "it is not a regular file")

    @pytest.mark.rule("R9")
    def test_a_second_attempt_that_wrote_nothing_is_not_complete(self, channel: Channel) -> None:
        """R9."""
        channel.open()
        channel.start()
        channel.write()
        channel.fail()
        channel.start()
        with pytest.raises(Refused, match="has not changed"):
            channel.app.generation.complete(channel.id, nominal(2000, {}), "ann")

    @pytest.mark.rule("R17")
    def test_no_batch_is_completed_on_a_root_that_does_not_prove_to_be_ours(self, channel: Channel) -> None:
        """R17."""
        channel.open()
        channel.start()
        channel.write()
        (channel.root / MARKER).unlink()
        with pytest.raises(RootSuspect):
            channel.app.generation.complete(channel.id, nominal(2000, {}), "ann")

    @pytest.mark.rule("R20")
    def test_nothing_is_completed_or_failed_when_nothing_runs(self, channel: Channel) -> None:
        """R20."""
        channel.open()
        for end in (lambda: channel.app.generation.complete(channel.id, nominal(1, {}), "ann"), channel.fail):
            with pytest.raises(Refused) as error:
                end()
            assert (error.value.rule, error.value.field, error.value.value) == ("R20", "batch", 0)
            assert "the session is idle" in error.value.reason


class TestFailing:
    @pytest.mark.rule("R4", "R16")
    def test_a_failure_names_what_the_attempt_left(self, channel: Channel) -> None:
        """R4, R16: but not what was there before it."""
        channel.open(batch_size=3)
        channel.start()
        channel.write(1)
        channel.fail()
        started = channel.start()
        (channel.directory / "v" / "v_segment_002.ts").write_bytes(b"partial")
        recorded = channel.app.generation.fail(channel.id, "no signal", "ann", exit_code=1, stderr_tail="oops")
        event = recorded.event
        assert isinstance(event, BatchFailed)
        assert event.files_left == ("v/v_segment_002.ts",)
        assert (event.attempt, event.reason, event.exit_code, event.stderr_tail) == (2, "no signal", 1, "oops")
        assert recorded.envelope.causation_id == started.envelope.event_id
        assert recorded.envelope.correlation_id == started.envelope.correlation_id

    @pytest.mark.rule("R4", "R17")
    def test_a_batch_fails_also_when_its_disk_is_gone(self, channel: Channel) -> None:
        """R4, R17: what it left is not known then."""
        channel.open()
        channel.start()
        channel.write()
        channel.root.rename(channel.root.with_name("unmounted"))
        event = channel.fail().event
        assert isinstance(event, BatchFailed)
        assert event.files_left == ()

    @pytest.mark.rule("R4", "R8")
    def test_partial_files_reach_no_playlist(self, channel: Channel) -> None:
        """R4, R8."""
        channel.open()
        channel.generate()
        before = channel.playlist()
        channel.start()
        channel.write(1)
        channel.fail()
        channel.app.publisher.publish(channel.id)
        assert channel.playlist() == before


class TestClosing:
    def test_a_session_is_closed_for_a_reason(self, channel: Channel) -> None:
        channel.open()
        event = channel.app.generation.close(channel.id, "the end", Disposition.KEEP, TESTER).event
        assert event == SessionClosed(reason="the end", disposition=Disposition.KEEP)

    def test_a_session_that_nobody_opened_is_not_closed(self, channel: Channel) -> None:
        with pytest.raises(NotFound):
            _ = channel.session
        opened = channel.open()
        assert isinstance(opened.opened, SessionOpened)


def test_a_length_that_the_encoder_did_not_tell_is_the_nominal_one() -> None:
    durations = nominal(2000, {("v", 7): 1980})
    assert durations(ExpectedFile("v", 7, "x"), "/x") == 1980
    assert durations(ExpectedFile("a", 7, "x"), "/x") == 2000


def test_a_process_that_comes_later_goes_on_with_the_session(channel: Channel) -> None:
    channel.open()
    channel.generate(2)
    later = Channel(App(channel.app.store), channel.root)
    later.generate(1)
    assert later.session.next_batch == 3
