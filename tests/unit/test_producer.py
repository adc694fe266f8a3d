"""The producer: batch after batch at a pace, failures with back-off, and what makes it wait or give up."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from application.pauses import LONGEST_PAUSE_S
from application.ports import BatchPlan, EncodedSegment, Encoder, FoundFile, MediaPlaylist
from application.producer import Pace, Producer, ProducerSettings
from application.recovery import CRASH
from domain.errors import EncoderFailed, FlushFailed, Refused, RootUnavailable, StoreUnavailable
from domain.events import (
    Availability,
    BatchCompleted,
    BatchFailed,
    BatchStarted,
    Envelope,
    Event,
    PlaylistPublished,
    Policy,
    Recorded,
)
from media.playlist import PlaylistFiles
from media.segment_root import SegmentRoots
from tests.builders import CAMERA, NOW, SECOND, FakeClock
from tests.memory_app import TESTER, App, Channel, FileEncoder, Store, TestLog

MARKER = ".trailkeep-root"


class PatientStop:
    """A stop that is asked for when it was waited for so often; waiting moves the clock."""

    def __init__(self, clock: FakeClock, after: int | None = None) -> None:
        self.clock, self.after, self.waits = clock, after, list[float]()
        self.asked = False

    def is_set(self) -> bool:
        return self.asked

    def wait(self, timeout: float) -> bool:
        assert timeout > 0
        self.waits.append(timeout)
        self.clock.advance(timeout)
        self.asked = self.asked or len(self.waits) == self.after
        return self.asked


class CalledSignal:
    """A signal whose waits are noted, and used: ``then`` is what happens meanwhile, one thing a wait."""

    def __init__(self, *then: Callable[[], object]) -> None:
        self.then, self.waits = list(then), list[float]()

    def notify(self) -> None:
        raise AssertionError("a producer only waits")

    def wait(self, timeout: float) -> None:
        self.waits.append(timeout)
        assert self.then, "nobody would end this pause"
        self.then.pop(0)()


class Studio:
    """A producer with all that it needs."""

    def __init__(
        self, channel: Channel, encoder: Encoder | None = None, app: App | None = None, **settings: Any
    ) -> None:
        app = app or channel.app
        self.channel, self.encoder = channel, encoder or FileEncoder()
        self.stop, self.signal = PatientStop(app.clock), CalledSignal()
        self.segments: list[tuple[int, str, int]] = []
        self.stop_at: int | None = None
        self.producer = Producer(
            channel.id,
            ProducerSettings(**settings),
            self.encoder,
            app.generation,
            app.publisher,
            app.sessions,
            app.files,
            app.clock,
            self.stop,
            self.signal,
            self.heard,
        )

    def heard(self, batch: int, segment: EncodedSegment) -> None:
        self.segments.append((batch, segment.rendition, segment.number))
        self.stop.asked = self.stop.asked or segment.number == self.stop_at

    def run(self, batches: int | None = None) -> int:
        return self.producer.run(batches)


@contextmanager
def said() -> Iterator[list[tuple[str, str]]]:
    """What an operator reads meanwhile: each line, and the reason that it gives."""
    before, lines = structlog.get_config(), list[tuple[str, str]]()

    def note(_: Any, __: str, line: Any) -> Any:
        lines.append((line["event"], line.get("reason", "")))
        raise structlog.DropEvent

    structlog.configure(processors=[note], wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    try:
        yield lines
    finally:
        structlog.configure(**before)


def failures(channel: Channel) -> list[str]:
    return [event.reason for event in channel.events() if isinstance(event, BatchFailed)]


class TestBatches:
    def test_it_makes_as_many_as_it_is_told(self, channel: Channel) -> None:
        channel.open(renditions=("v", "a"))
        studio = Studio(channel)
        assert studio.run(3) == 3
        assert channel.session.completed == 3
        assert studio.segments[:5] == [(0, "v", 0), (0, "v", 1), (0, "a", 0), (0, "a", 1), (1, "v", 2)]
        assert studio.stop.waits == studio.signal.waits == []

    def test_the_encoder_is_told_what_to_make_and_where(self, channel: Channel) -> None:
        channel.open(batch_size=2, wrap=9, renditions=("v",))
        encoder = FileEncoder()
        Studio(channel, encoder).run(4)
        plan = encoder.plans[-1]
        assert isinstance(plan, BatchPlan)
        assert (plan.directory, plan.batch, plan.numbers) == (str(channel.directory), 3, range(6, 8))
        assert [one.file for one in plan.files] == ["v/v_segment_006.ts", "v/v_segment_007.ts"]
        assert (plan.first_file_number, plan.wrap, plan.segment_ms, plan.renditions) == (6, 9, 2000, ("v",))

    def test_the_source_tells_where_in_the_material_the_batch_begins(self, channel: Channel) -> None:
        channel.open()
        Studio(channel).run(2)
        starts = [event for event in channel.events() if isinstance(event, BatchStarted)]
        assert [(one.source.label, one.source.producer, one.source.position) for one in starts] == [
            ("picture", "trailkeep", "0 ms"),
            ("picture", "trailkeep", "4000 ms"),
        ]

    def test_true_lengths_are_recorded(self, channel: Channel) -> None:
        channel.open()
        Studio(channel, FileEncoder(seconds=1.96)).run(1)
        (event,) = (event for event in channel.events() if isinstance(event, BatchCompleted))
        assert {file.duration_ms for file in event.files} == {1960}

    @pytest.mark.rule("R9")
    def test_exit_code_0_is_no_proof(self, channel: Channel) -> None:
        """R9: an encoder that ends well and leaves a file out has failed."""

        class Forgetful(FileEncoder):
            def encode(
                self, plan: BatchPlan, stopped: Callable[[], bool], on_segment: Callable[[EncodedSegment], None]
            ) -> tuple[EncodedSegment, ...]:
                made = super().encode(plan, stopped, on_segment)
                if len(self.plans) == 1:
                    Path(plan.directory, plan.files[-1].file).unlink()
                return made

        channel.open()
        assert Studio(channel, Forgetful()).run(1) == 1
        (reason,) = failures(channel)
        assert "v/v_segment_001.ts" in reason
        assert "R9" in reason
        assert channel.session.batches[0].attempt == 2

    def test_a_channel_has_one_producer(self, channel: Channel) -> None:
        channel.open()
        studio = Studio(channel)
        with (
            SegmentRoots().producing(str(channel.root), "news"),
            pytest.raises(Refused, match="another process produces it"),
        ):
            studio.run(1)
        assert studio.run(1) == 1

    @pytest.mark.rule("R4")
    def test_what_a_crash_of_its_own_left_running_has_failed(self, channel: Channel) -> None:
        """R4: it holds the channel, so nobody else can be at it."""
        channel.open()
        channel.start()
        channel.write(1)
        Studio(channel).run(1)
        assert failures(channel) == [CRASH]
        assert channel.session.completed == 1

    def test_a_batch_that_a_script_generates_is_waited_for_and_counted(self, channel: Channel) -> None:
        channel.open()
        channel.start(CAMERA)
        studio = Studio(channel)
        studio.signal.then = [lambda: None, channel.complete]
        assert studio.run(2) == 2
        assert failures(channel) == []
        assert channel.session.completed == 2


class TestFailures:
    @pytest.mark.rule("R4")
    def test_a_failed_batch_is_tried_again_later_each_time(self, channel: Channel) -> None:
        """R4: under its number; its partial files reach no playlist."""
        channel.open()
        studio = Studio(channel, FileEncoder(1, 0, 1, None), first_wait_s=0.5)
        assert studio.run(1) == 1
        assert studio.stop.waits == [0.5, 1.0, 2.0]
        assert failures(channel) == ["the camera went away"] * 3
        assert (channel.session.next_batch, channel.session.batches[0].attempt) == (1, 4)
        event = next(event for event in channel.events() if isinstance(event, BatchFailed))
        assert (event.exit_code, event.stderr_tail, event.files_left) == (1, "no signal", ("v/v_segment_000.ts",))

    def test_it_gives_up_after_so_many_in_a_row(self, channel: Channel) -> None:
        channel.open()
        studio = Studio(channel, FileEncoder(0), max_failures=3)
        with pytest.raises(Refused) as error:
            studio.run()
        assert (error.value.rule, error.value.field, error.value.value) == ("max_failures", "batch", 0)
        assert "failed 3 times in a row, the last time because: the camera went away" in error.value.reason
        assert channel.session.state == "failed"
        assert studio.stop.waits == [1.0, 2.0]

    def test_a_success_in_between_starts_the_count_anew(self, channel: Channel) -> None:
        channel.open()
        studio = Studio(channel, FileEncoder(0, 0, None, 0, 0, None), max_failures=3)
        assert studio.run(2) == 2
        assert studio.stop.waits == [1.0, 2.0, 1.0, 2.0]

    def test_no_wait_is_longer_than_a_minute(self, channel: Channel) -> None:
        channel.open()
        studio = Studio(channel, FileEncoder(0), max_failures=9)
        with pytest.raises(Refused):
            studio.run()
        assert studio.stop.waits == [1, 2, 4, 8, 16, 32, 60, 60]

    def test_somebody_may_start_it_again_after_it_gave_up(self, channel: Channel) -> None:
        channel.open()
        with pytest.raises(Refused):
            Studio(channel, FileEncoder(0), max_failures=1).run()
        assert Studio(channel, max_failures=1).run(1) == 1


class TestStopping:
    def test_it_stops_between_two_batches(self, channel: Channel) -> None:
        channel.open()
        studio = Studio(channel)
        studio.stop.asked = True
        assert studio.run() == 0
        assert channel.kinds() == ["SessionOpened"]

    @pytest.mark.rule("R4")
    def test_a_batch_that_was_stopped_is_recorded_as_failed(self, channel: Channel) -> None:
        """R4: and no failure is counted, nor waited for."""
        channel.open()
        studio = Studio(channel, max_failures=1)
        studio.stop_at = 2
        assert studio.run() == 1
        assert failures(channel) == ["stopped"]
        assert studio.stop.waits == []

    def test_it_stops_while_it_waits_to_try_again(self, channel: Channel) -> None:
        channel.open()
        studio = Studio(channel, FileEncoder(0))
        studio.stop.after = 2
        assert studio.run() == 0
        assert studio.stop.waits == [1.0, 2.0]

    def test_it_stops_while_it_waits_for_the_clock(self, channel: Channel) -> None:
        channel.open()
        studio = Studio(channel, pace=Pace.WALLCLOCK)
        studio.stop.after = 3
        assert studio.run() == 2
        assert failures(channel) == []
        assert channel.session.state == "ready"


class TestPace:
    """Batches of two segments of 2 s, made in no time."""

    def started(self, channel: Channel, batches: int, **settings: Any) -> list[float]:
        channel.open()
        Studio(channel, pace=Pace.WALLCLOCK, **settings).run(batches)
        return [
            (one.envelope.recorded_at - NOW) / SECOND
            for one in channel.app.log.read_session(channel.id)
            if isinstance(one.event, BatchStarted)
        ]

    @pytest.mark.parametrize(("threshold", "starts"), [(1, [0, 2, 6, 10, 14]), (2, [0, 0, 4, 8, 12])])
    def test_a_batch_starts_when_too_few_segments_are_left_ahead(
        self, channel: Channel, threshold: int, starts: list[float]
    ) -> None:
        assert self.started(channel, 5, trigger_threshold=threshold) == starts

    def test_as_soon_as_possible_waits_for_nothing(self, channel: Channel) -> None:
        channel.open()
        studio = Studio(channel, pace=Pace.ASAP)
        studio.run(5)
        assert studio.stop.waits == []

    def test_it_never_sleeps_longer_than_a_second(self, channel: Channel) -> None:
        """So that a clock that was set is noticed."""
        channel.open(segment_ms=2500)
        studio = Studio(channel, FileEncoder(seconds=2.5), pace=Pace.WALLCLOCK)
        studio.run(2)
        assert studio.stop.waits == [1.0, 1.0, 0.5]

    def test_what_plays_longer_than_planned_gives_time(self, channel: Channel) -> None:
        channel.open()
        studio = Studio(channel, FileEncoder(seconds=3.0), pace=Pace.WALLCLOCK)
        studio.run(2)
        assert sum(studio.stop.waits) == 4.0

    def test_a_session_that_is_behind_does_not_wait(self, channel: Channel) -> None:
        channel.open()
        studio = Studio(channel, pace=Pace.WALLCLOCK)
        studio.run(1)
        channel.app.clock.advance(60)
        studio.run(1)
        assert studio.stop.waits == []


class CrampedRoots(SegmentRoots):
    """A disk whose free space is what the test says."""

    def __init__(self, free: int) -> None:
        super().__init__()
        self.free = free

    def free_bytes(self, root: str) -> int:
        return self.free


class TestFreeSpace:
    @pytest.fixture
    def disk(self) -> CrampedRoots:
        return CrampedRoots(1000)

    @pytest.fixture
    def app(self, store: Store, disk: CrampedRoots) -> App:
        return App(store, disk)

    def test_just_enough_is_enough(self, channel: Channel) -> None:
        channel.open()
        assert Studio(channel, min_free_bytes=1000).run(1) == 1

    @pytest.mark.rule("R20", "R4")
    def test_a_lack_of_space_is_recorded_once_and_waited_for(self, channel: Channel, disk: CrampedRoots) -> None:
        """R20: names the field, the value and the root; R4: nothing is deleted early for it."""
        channel.open()
        channel.generate(2)
        studio = Studio(channel, min_free_bytes=1001, max_failures=1)
        studio.signal.then = [lambda: None, lambda: None, lambda: None, lambda: setattr(disk, "free", 1001)]
        assert studio.run(1) == 1
        (reason,) = failures(channel)
        assert reason == f"less than min_free_bytes, 1001, is free on {channel.root}"
        assert isinstance(studio.encoder, FileEncoder)
        assert len(studio.encoder.plans) == 1
        assert studio.stop.waits == [], "it is no failure of the encoder"
        assert "PurgeIssued" not in channel.kinds()

    def test_it_is_recorded_again_when_it_comes_back(self, channel: Channel, disk: CrampedRoots) -> None:
        channel.open()
        studio = Studio(channel, FileEncoder(0, None), min_free_bytes=1001)
        studio.stop.after = None
        disk.free = 2000
        studio.run(1)
        disk.free = 0
        studio.signal.then = [lambda: setattr(disk, "free", 2000)]
        studio.run(1)
        assert [reason.partition(",")[0] for reason in failures(channel)] == [
            "the camera went away",
            "less than min_free_bytes",
        ]


class TestPauses:
    @pytest.mark.rule("R5")
    def test_names_in_use_make_it_wait_until_a_purge_frees_them(self, channel: Channel) -> None:
        """R5: it goes on by itself, and says why it waited."""
        channel.open(wrap=6)
        studio = Studio(channel)
        studio.signal.then = [lambda: None, lambda: None, channel.app.project]
        with said() as lines:
            assert studio.run(4) == 4
        assert studio.signal.waits == [0.1, 0.2, 0.4]
        assert failures(channel) == []
        assert [line for line, _ in lines] == ["generation pauses", "generation goes on"]
        assert "still in use by batch 0" in lines[0][1]

    def test_pauses_get_longer_up_to_a_bound_and_begin_anew(self, channel: Channel) -> None:
        channel.open(wrap=6)
        studio = Studio(channel)
        studio.signal.then = [lambda: None] * 14 + [channel.app.project, lambda: None, channel.app.project]
        studio.run(5)
        assert studio.signal.waits[:7] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, LONGEST_PAUSE_S]
        assert set(studio.signal.waits[7:15]) == {LONGEST_PAUSE_S}
        assert studio.signal.waits[15:] == [0.1, 0.2]

    @pytest.mark.rule("R17")
    def test_a_root_that_does_not_prove_to_be_ours_is_waited_for(self, channel: Channel) -> None:
        """R17."""
        channel.open()
        marker = channel.root / MARKER
        line = marker.read_bytes()
        marker.unlink()
        studio = Studio(channel)
        studio.signal.then = [lambda: None, lambda: marker.write_bytes(line)]
        assert studio.run(1) == 1
        assert failures(channel) == []

    @pytest.mark.rule("R17")
    def test_a_disk_that_is_not_mounted_is_waited_for_and_nothing_is_made_in_its_place(self, channel: Channel) -> None:
        """R17: neither where the root is missing nor below the empty directory that a disk is mounted on."""
        channel.open()
        elsewhere = channel.root.with_name("unmounted")
        channel.root.rename(elsewhere)

        def mount() -> None:
            assert list(channel.root.iterdir()) == []
            channel.root.rmdir()
            elsewhere.rename(channel.root)

        studio = Studio(channel)
        studio.signal.then = [lambda: None, lambda: None, channel.root.mkdir, lambda: None, mount]
        with said() as lines:
            assert studio.run(1) == 1
        assert failures(channel) == []
        assert [line for line, _ in lines] == ["generation pauses", "generation pauses", "generation goes on"]
        assert "it is missing" in lines[0][1]
        assert "its marker file is missing" in lines[1][1]

    def test_it_stops_while_it_waits_for_the_disk(self, channel: Channel) -> None:
        channel.open()
        (channel.root / MARKER).unlink()
        studio = Studio(channel)
        studio.signal.then = [lambda: setattr(studio.stop, "asked", True)]
        assert studio.run() == 0
        assert "BatchStarted" not in channel.kinds()

    @pytest.mark.rule("R4")
    def test_a_store_that_failed_in_the_middle_of_a_batch_is_waited_for(self, channel: Channel) -> None:
        """R4: the batch whose end could not be recorded has failed, and is made again."""

        class Unlucky(FileEncoder):
            def encode(
                self, plan: BatchPlan, stopped: Callable[[], bool], on_segment: Callable[[EncodedSegment], None]
            ) -> tuple[EncodedSegment, ...]:
                made = super().encode(plan, stopped, on_segment)
                if len(self.plans) == 1:
                    raise StoreUnavailable("sqlite:///x.db", "disk I/O error")
                return made

        channel.open()
        studio = Studio(channel, Unlucky())
        studio.signal.then = [lambda: None]
        assert studio.run(1) == 1
        assert failures(channel) == [CRASH]


FULL = "news takes no new file: ENOSPC"


class MoodyRoots(SegmentRoots):
    """A disk that takes nothing while ``lack`` says so, or loses what was written, once, while ``unflushed`` is set."""

    lack = ""
    unflushed = False

    def try_writing(self, root: str, channel: str) -> None:
        if self.lack:
            raise RootUnavailable(root, self.lack)

    def sync(self, root: str, channel: str, files: Sequence[str]) -> dict[str, FoundFile]:
        if self.unflushed:
            self.unflushed = False
            raise FlushFailed(root, "v cannot be flushed to disk: EIO")
        return super().sync(root, channel, files)


class MoodyPlaylists(PlaylistFiles):
    """Playlists on a disk that takes none while ``full``."""

    full = False

    def publish(
        self, root: str, channel: str, playlists: Sequence[MediaPlaylist], retired: Sequence[MediaPlaylist] = ()
    ) -> None:
        if self.full:
            raise RootUnavailable(root, FULL)
        super().publish(root, channel, playlists, retired)


class MoodyLog(TestLog):
    """A log that takes no event of type ``refused``; while ``unsure`` it takes it and says that it did not."""

    refused: type[Event] | None = None
    unsure = False

    def append(self, envelopes: Sequence[Envelope], **terms: Any) -> tuple[Recorded, ...]:
        if any(type(one.event) is self.refused for one in envelopes):
            if self.unsure:
                self.refused = None
                super().append(envelopes, **terms)
            raise StoreUnavailable("sqlite:///x.db", "database or disk is full")
        return super().append(envelopes, **terms)


class TestOutages:
    @pytest.fixture
    def disk(self) -> MoodyRoots:
        return MoodyRoots()

    @pytest.fixture
    def playlists(self) -> MoodyPlaylists:
        return MoodyPlaylists()

    @pytest.fixture
    def log(self) -> MoodyLog:
        return MoodyLog()

    @pytest.fixture
    def app(self, store: Store, disk: MoodyRoots, playlists: MoodyPlaylists, log: MoodyLog) -> App:
        store.log = log
        return App(store, disk, playlists)

    @pytest.mark.rule("R20")
    @pytest.mark.parametrize("event", [BatchCompleted, BatchFailed])
    def test_a_stop_before_the_end_of_a_batch_could_be_recorded_is_not_one_in_order(
        self, channel: Channel, log: MoodyLog, event: type[Event]
    ) -> None:
        """R20: it says why, and recovery ends the batch."""
        channel.open()
        studio = Studio(channel, FileEncoder(1 if event is BatchFailed else None))
        log.refused = event
        studio.signal.then = [lambda: None, lambda: setattr(studio.stop, "asked", True)]
        with pytest.raises(StoreUnavailable, match="database or disk is full"):
            studio.run()
        log.refused = None
        channel.app.recoverer.recover()
        assert failures(channel) == [CRASH]

    def test_a_full_disk_is_recorded_once_waited_for_and_no_failure_to_count(
        self, channel: Channel, disk: MoodyRoots
    ) -> None:
        channel.open()
        channel.generate(2)
        disk.lack = FULL
        studio = Studio(channel, max_failures=1)
        studio.signal.then = [lambda: None] * 9 + [lambda: setattr(disk, "lack", "")]
        assert studio.run(1) == 1
        assert failures(channel) == [FULL]
        assert isinstance(studio.encoder, FileEncoder)
        assert len(studio.encoder.plans) == 1
        assert studio.stop.waits == []
        assert "PurgeIssued" not in channel.kinds()

    @pytest.mark.rule("R4")
    def test_what_an_encoder_says_of_a_full_disk_is_kept_with_the_reason(
        self, channel: Channel, disk: MoodyRoots
    ) -> None:
        """R4: the batch failed since the disk was full, not five times but once."""

        class Filling(FileEncoder):
            def encode(
                self, plan: BatchPlan, stopped: Callable[[], bool], on_segment: Callable[[EncodedSegment], None]
            ) -> tuple[EncodedSegment, ...]:
                try:
                    return super().encode(plan, stopped, on_segment)
                except EncoderFailed:
                    disk.lack = FULL
                    raise

        channel.open()
        studio = Studio(channel, Filling(1, None), max_failures=1)
        studio.signal.then = [lambda: None, lambda: setattr(disk, "lack", "")]
        assert studio.run(1) == 1
        (failed,) = (event for event in channel.events() if isinstance(event, BatchFailed))
        assert (failed.reason, failed.exit_code, failed.stderr_tail) == (FULL, 1, "no signal")
        assert failed.files_left == ("v/v_segment_000.ts",)

    def test_another_reason_is_another_record(self, channel: Channel, disk: MoodyRoots) -> None:
        channel.open()
        disk.lack = FULL
        studio = Studio(channel)
        read_only = FULL.replace("ENOSPC", "EROFS")
        studio.signal.then = [
            lambda: None,
            lambda: setattr(disk, "lack", read_only),
            lambda: None,
            lambda: setattr(disk, "lack", ""),
        ]
        assert studio.run(1) == 1
        assert failures(channel) == [FULL, read_only]

    def test_it_says_why_it_pauses_and_that_it_goes_on(self, channel: Channel, disk: MoodyRoots) -> None:
        channel.open()
        disk.lack = FULL
        studio = Studio(channel)
        studio.signal.then = [lambda: None] * 5 + [lambda: setattr(disk, "lack", "")]
        with said() as lines:
            assert studio.run(2) == 2
        assert lines == [
            (
                "generation pauses",
                f"media root: '{channel.root}' cannot be worked with now: {FULL}",
            ),
            ("generation goes on", ""),
        ]

    @pytest.mark.rule("R8")
    def test_a_playlist_that_could_not_be_written_is_written_before_the_next_batch(
        self, channel: Channel, playlists: MoodyPlaylists
    ) -> None:
        """R8: and the batch, which is recorded, is neither made again nor counted twice."""
        channel.open()
        channel.generate(1)
        playlists.full = True
        studio = Studio(channel)
        studio.signal.then = [lambda: None, lambda: setattr(playlists, "full", False)]
        assert studio.run(1) == 1
        assert channel.session.completed == 2
        assert channel.listed() == [f"v_segment_00{number}.ts" for number in range(4)]

    @pytest.mark.parametrize("unsure", [False, True])
    @pytest.mark.parametrize("refused", [BatchCompleted, PlaylistPublished])
    def test_a_batch_that_could_not_be_recorded_is_recorded_when_that_is_possible(
        self, channel: Channel, log: MoodyLog, refused: type[Event], unsure: bool
    ) -> None:
        """And not made again, whatever came of the attempt to record it."""
        channel.open(policy=Policy(availability=Availability.RFC8216))
        log.refused, log.unsure = refused, unsure
        studio = Studio(channel)
        studio.signal.then = [lambda: None] * 3 + [lambda: setattr(log, "refused", None)]
        if unsure:
            studio.signal.then = [lambda: None]
        assert studio.run(1) == 1
        assert channel.kinds() == ["SessionOpened", "BatchStarted", "BatchCompleted", "PlaylistPublished"]
        assert channel.session.batches[0].attempt == 1

    @pytest.mark.rule("R4")
    @pytest.mark.parametrize("unsure", [False, True])
    def test_a_failure_that_could_not_be_recorded_keeps_its_reason(
        self, channel: Channel, log: MoodyLog, unsure: bool
    ) -> None:
        """R4."""
        channel.open()
        log.refused, log.unsure = BatchFailed, unsure
        studio = Studio(channel, FileEncoder(1, None))
        studio.signal.then = [lambda: setattr(log, "refused", None)]
        assert studio.run(1) == 1
        assert failures(channel) == ["the camera went away"]

    @pytest.mark.rule("R9")
    def test_a_flush_that_failed_is_not_tried_again_into_success(self, channel: Channel, disk: MoodyRoots) -> None:
        """R9: what the files hold is not certain; the batch is made again, once somebody has looked at the disk."""
        root = channel.open().terms.media_root
        disk.unflushed = True
        studio = Studio(channel)
        studio.signal.then = [lambda: channel.app.roots.trust(root, "looked at the disk", TESTER)]
        assert studio.run(1) == 1
        (reason,) = failures(channel)
        assert "v cannot be flushed to disk: EIO" in reason
        assert isinstance(studio.encoder, FileEncoder)
        assert len(studio.encoder.plans) == 2

    @pytest.mark.rule("R17")
    def test_a_root_that_was_lost_while_a_batch_was_made_is_waited_for(self, channel: Channel) -> None:
        """R17: the batch is recorded when the root is back."""
        channel.open()
        marker, aside = channel.root / MARKER, channel.root / "aside"

        class Unmounting(FileEncoder):
            def encode(
                self, plan: BatchPlan, stopped: Callable[[], bool], on_segment: Callable[[EncodedSegment], None]
            ) -> tuple[EncodedSegment, ...]:
                made = super().encode(plan, stopped, on_segment)
                marker.rename(aside)
                return made

        studio = Studio(channel, Unmounting())
        studio.signal.then = [lambda: None, lambda: aside.rename(marker)]
        assert studio.run(1) == 1
        assert channel.kinds() == ["SessionOpened", "BatchStarted", "BatchCompleted"]
