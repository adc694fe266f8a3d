"""Full and read-only disks, of the media and of the database: what has to pause says so, and goes on by itself."""

import itertools
import json
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import structlog

from application.generation import Terms
from application.handlers import Cause
from application.ports import BatchPlan, ChannelFiles, Deletion, EncodedSegment
from application.producer import ProducerSettings
from application.purger import Place
from application.verify import Level
from domain.errors import EncoderFailed, Refused, RootSuspect, RootUnavailable, StoreUnavailable
from domain.events import (
    BatchCompleted,
    BatchFailed,
    BatchStarted,
    Event,
    MediaRoot,
    PurgeFailed,
    PurgeIssued,
    Recorded,
    SegmentsPurged,
)
from domain.segments import DEFAULT_PATTERN
from entrypoints.bootstrap import App, opened
from entrypoints.worker import Production, Worker
from media.space import PROBE_FILE, try_writing
from tests import memory_app
from tests.acceptance.command_line import Store, names_of, of_type
from tests.builders import OFF
from tests.integration.media_tree import mounted_disk, mounted_tmpfs
from tests.memory_app import FileEncoder
from tests.torture.disks import Filesystem

BALLAST = "ballast"
PATIENCE_S = 60
"""How long a test waits for what must happen, before it fails."""


def fill(disk: Path) -> None:
    """Take every byte that is free: of a large disk most of it at once."""
    with (disk / BALLAST).open("ab", buffering=0) as ballast:
        free = os.statvfs(disk)
        with suppress(OSError):
            os.posix_fallocate(ballast.fileno(), ballast.tell(), free.f_bavail * free.f_frsize * 15 // 16)
        with suppress(OSError):
            while True:
                ballast.write(bytes(4096))


def fill_inodes(disk: Path) -> None:
    """Take every file that the disk can still hold."""
    with suppress(OSError):
        for number in itertools.count():
            (disk / f"{BALLAST}{number}").touch()


def make_room(disk: Path) -> None:
    for ballast in disk.glob(f"{BALLAST}*"):
        ballast.unlink()


def write_protect(disk: Path) -> None:
    """Remount it; as long as somebody has a file open for writing the kernel refuses."""
    while subprocess.run(["mount", "-o", "remount,ro", str(disk)], capture_output=True, check=False).returncode:
        pass


def make_writable(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


OUTAGES = {
    "no bytes": (fill, make_room, "ENOSPC"),
    "no inodes": (fill_inodes, make_room, "ENOSPC"),
    "read-only": (write_protect, make_writable, "EROFS"),
}


class Encoder(FileEncoder):
    """Writes small files, or fails as a process would whose disk is full; ``before`` a batch something may happen."""

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[int, Callable[[], object]] = {}

    def encode(
        self, plan: BatchPlan, stopped: Callable[[], bool], on_segment: Callable[[EncodedSegment], None]
    ) -> tuple[EncodedSegment, ...]:
        if happens := self.before.pop(plan.batch, None):
            happens()
        try:
            return super().encode(plan, stopped, on_segment)
        except OSError as error:
            raise EncoderFailed(str(error), exit_code=1, stderr_tail=str(error)) from error


class Station:
    """`run` in this process: one channel, the encoder above, and what an operator reads while it runs."""

    def __init__(self, app: App, root: Path) -> None:
        self.app, self.root, self.encoder = app, root, Encoder()
        self.lines: list[tuple[str, str]] = []
        self.reactions: dict[str, Callable[[], object]] = {}
        self._purged: dict[int, threading.Event] = {}
        terms = Terms(
            channel="news",
            root=str(root),
            batch_size=2,
            renditions=("v",),
            pattern=DEFAULT_PATTERN,
            wrap=0,
            segment_ms=2000,
            playlist_window=4,
            policy=OFF,
        )
        self.session_id = app.generation.open(terms, Cause("tester")).envelope.session_id

    def run(self, batches: int, failures: int = 0) -> None:
        """To its end; more failures that count, in a row, would end it before."""
        settings = ProducerSettings(max_failures=failures + 1, first_wait_s=0)
        production = Production(self.session_id, "news", settings, self.encoder)
        with self._reading():
            assert Worker(self.app).run([production], batches, self._told) == {}

    def purged(self, batch: int) -> None:
        """Wait until the outcome is recorded."""
        assert self._purged.setdefault(batch, threading.Event()).wait(PATIENCE_S)

    def said(self, event: str) -> list[str]:
        """The reasons that were given with this line."""
        return [reason for line, reason in self.lines if line == event]

    def events(self, *kinds: type[Event]) -> list[Any]:
        return [one.event for one in self.app.log.read() if isinstance(one.event, kinds)]

    def names(self) -> list[str]:
        return sorted(path.name for path in (self.root / "news" / "v").glob("*.ts"))

    def is_whole(self, *kept: int) -> bool:
        """Log and disk agree, and the files of these batches are there, and no others."""
        wanted = [f"v_segment_{number:03d}.ts" for batch in kept for number in (2 * batch, 2 * batch + 1)]
        return self.app.verifier.verify(Level.IDENTITY).ok and self.names() == wanted

    def _told(self, recorded: Recorded) -> None:
        if isinstance(recorded.event, SegmentsPurged):
            self._purged.setdefault(recorded.event.batch, threading.Event()).set()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        before = structlog.get_config()
        structlog.configure(processors=[self._read], wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
        try:
            yield
        finally:
            structlog.configure(**before)

    def _read(self, _: Any, __: str, line: Any) -> Any:
        self.lines.append((line["event"], line.get("reason", "")))
        if reaction := self.reactions.pop(line["event"], None):
            reaction()
        raise structlog.DropEvent


REAL = {"ext4": ("-m", "0", "-N", "64"), "xfs": ()}
"""Real filesystems, small ones as far as that goes; XFS makes inodes as long as it has room for them."""

on_every_disk = pytest.mark.parametrize("media", ["tmpfs", *REAL], indirect=True)
OUTAGES_OF_DISKS = [("tmpfs", outage) for outage in OUTAGES] + [
    (kind, outage) for kind in REAL for outage in OUTAGES if (kind, outage) != ("xfs", "no inodes")
]


@contextmanager
def a_disk(kind: str, directory: Path, tmpfs: str) -> Iterator[Path]:
    """A small one, mounted at the directory; what a tmpfs is mounted with is said by who asks."""
    if kind == "tmpfs":
        with mounted_tmpfs(directory, tmpfs) as disk:
            yield disk
        return
    with mounted_disk(kind, directory, *REAL[kind]) as real:
        yield real.mounted


@pytest.fixture
def media(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    with a_disk(getattr(request, "param", "tmpfs"), tmp_path / "media", "size=256k,nr_inodes=100") as disk:
        yield disk


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Path]:
    with mounted_tmpfs(tmp_path / "database", "size=2m") as disk:
        yield disk


@pytest.fixture
def station(media: Path, database: Path) -> Iterator[Station]:
    with opened(f"sqlite:///{database / 'log.db'}") as app:
        yield Station(app, media)


@pytest.mark.rule("R4")
@pytest.mark.parametrize(("media", "outage"), OUTAGES_OF_DISKS, indirect=["media"])
def test_generation_pauses_for_a_media_disk_that_takes_nothing_and_goes_on(station: Station, outage: str) -> None:
    """R4: no failure is counted, nothing is deleted early, and the batch is made under its number."""
    strike, mend, error = OUTAGES[outage]

    def happens() -> None:
        station.purged(0)
        strike(station.root)

    def mended() -> None:
        assert {f"v_segment_00{number}.ts" for number in (2, 3, 4, 5)} <= set(station.names())
        mend(station.root)

    station.encoder.before[3] = happens
    station.reactions["generation pauses"] = mended
    station.run(5)
    (failed,) = station.events(BatchFailed)
    assert failed.batch == 3
    assert f"news takes no new file: {error}" in failed.reason
    assert station.lines == [
        ("generation pauses", f"media root: '{station.root}' cannot be worked with now: {failed.reason}"),
        ("generation goes on", ""),
    ]
    assert [event.batch for event in station.events(BatchCompleted)] == [0, 1, 2, 3, 4]
    assert station.is_whole(3, 4)


@pytest.mark.rule("R7", "R10")
@on_every_disk
def test_purging_pauses_for_a_read_only_disk_and_goes_on(
    station: Station, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R7, R10: that nothing can be deleted is no outcome of the batch; it is purged when something can."""
    delete_each, protected, said = station.app.files.delete_each, threading.Event(), threading.Barrier(2)

    def delete_from_a_read_only_disk(root: str, batches: Sequence[ChannelFiles]) -> list[Deletion]:
        if not protected.is_set():
            write_protect(media)
            protected.set()
        return delete_each(root, batches)

    def both_said() -> None:
        """Who comes second mends the disk; generation and purging pause in threads of their own."""
        if said.wait(PATIENCE_S) == 0:
            assert len(station.names()) == 6
            make_writable(media)

    monkeypatch.setattr(station.app.files, "delete_each", delete_from_a_read_only_disk)
    station.encoder.before[3] = lambda: protected.wait(PATIENCE_S)
    station.reactions["generation pauses"] = both_said
    station.reactions["purging pauses for this media root (R17)"] = both_said
    station.run(4)
    (reason,) = station.said("purging pauses for this media root (R17)")
    assert reason.startswith("news/v/v_segment_000.ts cannot be deleted: EROFS")
    assert station.said("purging goes on for this media root")
    assert station.events(PurgeFailed) == []
    assert [(event.batch, event.deleted) for event in station.events(SegmentsPurged)] == [(0, 2), (1, 2)]
    assert station.is_whole(2, 3)


class TestFullDatabase:
    """The disk of the database is full; that of the media is not."""

    FULL = "database or disk is full"

    def test_a_batch_that_was_made_is_recorded_when_there_is_space(self, station: Station, database: Path) -> None:
        """It is not made again."""

        def mended() -> None:
            assert [event.batch for event in station.events(BatchCompleted)] == [0, 1, 2]
            make_room(database)

        def happens() -> None:
            station.purged(0)
            fill(database)

        station.encoder.before[3] = happens
        station.reactions["generation pauses"] = mended
        station.run(5)
        (reason,) = station.said("generation pauses")
        assert self.FULL in reason
        assert station.said("generation goes on")
        assert [plan.batch for plan in station.encoder.plans] == [0, 1, 2, 3, 4]
        assert station.events(BatchFailed) == []
        assert station.is_whole(3, 4)

    @pytest.mark.rule("R10")
    def test_without_a_durable_authorisation_nothing_goes(
        self, station: Station, database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """R10."""
        issue = station.app.purger.issue_each
        begun = threading.Event()

        def issue_on_a_full_disk(root: MediaRoot, places: Sequence[Place]) -> list[Recorded | Refused]:
            if not begun.is_set():
                fill(database)
                begun.set()
            return issue(root, places)

        def mended() -> None:
            assert station.events(PurgeIssued) == []
            assert {f"v_segment_00{number}.ts" for number in range(6)} <= set(station.names())
            make_room(database)

        monkeypatch.setattr(station.app.purger, "issue_each", issue_on_a_full_disk)
        station.encoder.before[3] = lambda: begun.wait(PATIENCE_S)
        station.reactions["the projectors pause"] = mended
        station.run(4)
        assert self.FULL in station.said("the projectors pause")[0]
        assert station.said("the projectors go on")
        assert [event.batch for event in station.events(SegmentsPurged)] == [0, 1]
        assert station.is_whole(2, 3)

    @pytest.mark.rule("R6", "R10")
    def test_a_purge_whose_outcome_could_not_be_recorded_is_finished_later(
        self, station: Station, database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """R6, R10: one authorisation, one outcome."""
        delete_each, deleted = station.app.files.delete_each, threading.Event()

        def delete_and_fill(root: str, batches: Sequence[ChannelFiles]) -> list[Deletion]:
            done = delete_each(root, batches)
            if not deleted.is_set():
                fill(database)
                deleted.set()
            return done

        def mended() -> None:
            assert [event.batch for event in station.events(PurgeIssued)] == [0]
            assert station.events(SegmentsPurged) == []
            make_room(database)

        monkeypatch.setattr(station.app.files, "delete_each", delete_and_fill)
        station.encoder.before[3] = lambda: deleted.wait(PATIENCE_S)
        station.reactions["the projectors pause"] = mended
        station.run(4)
        assert [event.batch for event in station.events(PurgeIssued)] == [0, 1]
        first, second = station.events(SegmentsPurged)
        assert (first.batch, first.deleted, len(first.already_absent)) == (0, 0, 2)
        assert (second.batch, second.deleted) == (1, 2)
        assert station.is_whole(2, 3)


class TestDatabaseWithoutInodes:
    """The disk of the database holds no further file; that of the media does."""

    WHY = "unable to open database file"

    @pytest.fixture(params=["tmpfs", "ext4"])
    def database(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
        with a_disk(request.param, tmp_path / "database", "size=2m,nr_inodes=20") as disk:
            yield disk

    def test_a_run_that_is_at_work_goes_on_undisturbed_and_commands_beside_it(
        self, station: Station, tmp_path: Path, database: Path
    ) -> None:
        """What SQLite needs beside the database is there, and stays for as long as somebody has it open."""

        def happens() -> None:
            station.purged(0)
            fill_inodes(database)
            with pytest.raises(OSError, match="No space left"):
                (database / "another").touch()
            assert Store(tmp_path, station.app.url).answer("plan") == []

        station.encoder.before[3] = happens
        station.run(5)
        assert station.lines == []
        assert station.events(BatchFailed) == []
        assert station.is_whole(3, 4)

    @pytest.mark.rule("R10", "R20")
    def test_what_begins_there_says_so_and_does_nothing(self, tmp_path: Path, database: Path) -> None:
        """R10, R20: nobody has the database open any more, so that SQLite would have to make its files anew."""
        store = Store(tmp_path, f"sqlite:///{database / 'log.db'}")
        store.open()
        store.produce(3)
        before = store.events()
        assert sorted(path.name for path in database.glob("log*")) == ["log.db"]
        fill_inodes(database)
        there = {*store.root.rglob("*")}
        commands = [("project",), ("batch", "start", "news"), ("plan",), ("verify",), ("recover",), ("root", "list")]
        for words in (*commands, ("run", str(store.config(2)))):
            ended = store.invoke(*words)
            assert ended.exit_code == 1, ended.output
            assert ended.stderr == f"Error: database: {store.database!r} is not available: {self.WHY}\n"
        doctor = store.invoke("doctor")
        assert doctor.exit_code == 1
        assert f"BAD  database: database: {store.database!r} is not available: {self.WHY}" in doctor.stdout
        assert {*store.root.rglob("*")} == there
        make_room(database)
        assert store.events() == before
        assert store.invoke("project").exit_code == 0
        assert store.names() == names_of(1, 2, batch_size=2)
        store.produce()
        assert store.answer("verify", "--level", "identity")["ok"]


class TestReadOnlyDatabase:
    """The disk of the database gives up: ext4 has aborted its journal, and takes nothing until it is mounted anew.

    A plain remount is refused while files are open for writing, so this is what a worker really meets.
    """

    @pytest.fixture
    def disk(self, tmp_path: Path) -> Iterator[Filesystem]:
        with mounted_disk("ext4", tmp_path / "database") as disk:
            yield disk

    @pytest.mark.rule("R4", "R10", "R14", "R20")
    def test_a_run_says_why_it_pauses_and_goes_on_after_the_disk_was_mounted_anew(
        self, tmp_path: Path, disk: Filesystem
    ) -> None:
        """R4, R10, R14, R20: nothing acknowledged is lost, and the exit code says that something was left open."""
        store = Store(tmp_path, f"sqlite:///{disk.mounted / 'log.db'}")
        config = str(store.config(5))
        command = store.command("run", config)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert any("SegmentsPurged" in line for line in process.stdout)
            assert any("BatchStarted" in line for line in process.stdout)
            abort(disk)
            why = f"database: '{store.database}' is not available"
            assert any("generation pauses" in line and why in line for line in process.stderr)
            there = store.names()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 1, "what it was at could not be ended in order"
        assert f"Error: {why}" in said or f"Error: channel news: {why}" in said
        assert store.names() == there, "without an authorisation nothing goes"

        disk.unmount()
        disk.mount()
        events = store.events()
        authorised = {event["data"]["batch"] for event in of_type(events, "PurgeIssued")}
        kept = [one["data"] for one in of_type(events, "BatchCompleted") if one["data"]["batch"] not in authorised]
        assert {file["name"] for batch in kept for file in batch["files"]} <= there

        recovered = store.process("recover")
        assert recovered.returncode == 0, recovered.stderr
        assert store.answer("recover") == {"recorded": [], "left": []}
        assert store.answer("verify", "--level", "identity")["ok"]
        went_on = store.process("run", config, "--batches", "2")
        assert went_on.returncode == 0, went_on.stderr
        completed = [event["data"]["batch"] for event in of_type(store.events(), "BatchCompleted")]
        assert completed == list(range(len(of_type(events, "BatchCompleted")) + 2))
        assert store.answer("verify", "--level", "identity")["ok"]

    @pytest.mark.rule("R10", "R20")
    def test_without_a_durable_authorisation_nothing_goes(
        self, tmp_path: Path, disk: Filesystem, media: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """R10, R20: the projectors say why they pause, and a stop says that it was not in order."""
        with opened(f"sqlite:///{disk.mounted / 'log.db'}") as app:
            station = Station(app, media)
            issue, begun, pauses = app.purger.issue_each, threading.Event(), threading.Barrier(2, stop_this_process)

            def issue_on_a_disk_that_gave_up(root: MediaRoot, places: Sequence[Place]) -> list[Recorded | Refused]:
                if not begun.is_set():
                    abort(disk)
                    begun.set()
                return issue(root, places)

            def both_said() -> None:
                pauses.wait(PATIENCE_S)

            monkeypatch.setattr(app.purger, "issue_each", issue_on_a_disk_that_gave_up)
            station.encoder.before[3] = lambda: begun.wait(PATIENCE_S)
            station.reactions["the projectors pause"] = both_said
            station.reactions["generation pauses"] = both_said
            with pytest.raises(StoreUnavailable, match="is not available"):
                station.run(4)
            assert station.events(PurgeIssued) == []
            assert {f"v_segment_00{number}.ts" for number in range(6)} <= set(station.names())
        disk.unmount()
        disk.mount()
        with opened(f"sqlite:///{disk.mounted / 'log.db'}") as app:
            recovered = app.recoverer.recover()
            kinds = [type(one.event) for one in recovered.recorded]
            assert kinds.index(PurgeIssued) < kinds.index(SegmentsPurged)
            assert app.verifier.verify(Level.IDENTITY).ok


def abort(disk: Filesystem) -> None:
    """As a failing disk does it: the kernel gives the journal up, whatever is open."""
    subprocess.run(["mount", "-o", "remount,abort", str(disk.mounted)], check=True)


def stop_this_process() -> None:
    """As an operator does."""
    os.kill(os.getpid(), signal.SIGINT)


def test_one_full_disk_for_both_is_gone_on_with_when_there_is_space(media: Path) -> None:
    """Neither the failure nor the purges can be recorded meanwhile; both are, afterwards."""
    subprocess.run(["mount", "-o", "remount,size=2m", str(media)], check=True)
    with opened(f"sqlite:///{media / 'log.db'}") as app:
        station = Station(app, media)

        def happens() -> None:
            station.purged(0)
            fill(media)

        station.encoder.before[3] = happens
        station.reactions["generation pauses"] = lambda: make_room(media)
        station.run(5)
        (failed,) = station.events(BatchFailed)
        assert "No space left on device" in failed.stderr_tail
        assert [event.attempt for event in station.events(BatchStarted)] == [1, 1, 1, 1, 2, 1]
        assert station.said("generation goes on")
        assert station.is_whole(3, 4)


class TestPlaylists:
    """A batch completes with the last blocks of the disk, so that its playlist cannot be written."""

    @pytest.fixture
    def channel(self, media: Path) -> memory_app.Channel:
        return memory_app.Channel(memory_app.App(memory_app.Store()), media)

    def fill_with_the_third_batch(self, channel: memory_app.Channel, **terms: Any) -> None:
        channel.open(**terms)
        channel.generate(2)
        channel.start()
        channel.write()
        fill(channel.root)
        with pytest.raises(RootUnavailable, match=r"news/v/v\.m3u8 cannot be written: ENOSPC"):
            channel.app.generation.complete(channel.id, lambda *_: 2000, "tester")
        assert channel.session.completed == 3

    @pytest.mark.rule("R8")
    @pytest.mark.parametrize("media", ["tmpfs", "ext4"], indirect=True)
    def test_the_purge_that_makes_room_does_not_wait_for_it(self, channel: memory_app.Channel) -> None:
        """R8: the playlist on disk lists none of what goes. A full XFS gives the first of what is freed to nobody."""
        self.fill_with_the_third_batch(channel, playlist_window=2)
        assert channel.listed() == ["v_segment_002.ts", "v_segment_003.ts"]
        channel.app.project()
        assert not any(path.exists() for path in channel.paths(0))
        assert channel.app.recoverer.recover().left == ()
        assert channel.listed() == ["v_segment_004.ts", "v_segment_005.ts"]

    @pytest.mark.rule("R8")
    @pytest.mark.parametrize("names", [("news", "sport"), ("sport", "news")])
    def test_a_purge_that_has_to_wait_for_it_keeps_no_other_channel_of_the_disk_from_making_room(
        self, channel: memory_app.Channel, names: tuple[str, str]
    ) -> None:
        """R8: whichever comes first; and then the other can be written, and its purge goes on."""
        waiting, going = (memory_app.Channel(channel.app, channel.root, name) for name in names)
        waiting.open(playlist_window=4)
        going.open(playlist_window=2)
        for one in (waiting, going):
            one.generate(2)
        for one in (waiting, going):
            one.start()
            one.write()
        fill(channel.root)
        for one in (waiting, going):
            with pytest.raises(RootUnavailable):
                one.app.generation.complete(one.id, lambda *_: 2000, "tester")
        channel.app.project()
        assert not any(path.exists() for path in going.paths(0))
        channel.app.project()
        assert not any(path.exists() for path in waiting.paths(0))

    @pytest.mark.rule("R8")
    def test_what_it_still_lists_stays_until_it_can_be_written(self, channel: memory_app.Channel) -> None:
        """R8: even if that would make room."""
        self.fill_with_the_third_batch(channel, playlist_window=4)
        paused = channel.app.retention.run_once().paused
        assert "v.m3u8 cannot be written: ENOSPC" in paused[str(channel.root)]
        assert all(path.exists() for path in channel.paths(0))
        make_room(channel.root)
        assert channel.app.retention.run_once().paused == {}
        assert not any(path.exists() for path in channel.paths(0))
        assert channel.listed() == [path.name for path in channel.paths(1) + channel.paths(2)]


@pytest.mark.rule("R20")
def test_a_session_on_a_full_disk_is_refused_in_plain_words(tmp_path: Path, media: Path) -> None:
    """R20: and is opened when there is space."""
    fill(media)
    store = Store(tmp_path)
    words = ("session", "open", "news", "--root", str(media), "--batch-size", "2")
    refused = store.invoke(*words)
    assert refused.exit_code == 4
    assert "cannot be made: ENOSPC (No space left on device)" in refused.stderr
    assert "suspect" not in refused.stderr
    make_room(media)
    assert store.invoke(*words).exit_code == 0
    assert store.invoke("verify").exit_code == 0


def test_what_a_crash_leaves_of_a_probe_is_no_orphan_and_goes_with_the_next(station: Station) -> None:
    left = station.root / "news" / PROBE_FILE
    left.write_bytes(b"half")
    assert station.is_whole()
    try_writing(str(station.root), "news")
    assert not left.exists()


def test_a_probe_on_a_disk_that_takes_nothing_leaves_nothing(station: Station) -> None:
    fill(station.root)
    with pytest.raises(RootUnavailable, match="ENOSPC") as full:
        try_writing(str(station.root), "news")
    assert not isinstance(full.value, RootSuspect)
    assert not (station.root / "news" / PROBE_FILE).exists()


def test_a_run_with_a_real_encoder_goes_on_when_its_full_disk_has_space(tmp_path: Path) -> None:
    """ffmpeg itself meets the full disk, in the middle of a batch."""
    with mounted_tmpfs(tmp_path / "media", "size=4m") as media:
        store = Store(tmp_path)
        config = str(store.config(2))
        assert store.process("run", config, "--batches", "3").returncode == 0
        fill(media)
        with (media / BALLAST).open("r+b") as ballast:
            ballast.truncate(ballast.seek(0, 2) - 24 * 1024)
        command = store.command("run", config, "--batches", "2")
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert any("generation pauses" in line for line in process.stderr)
            make_room(media)
            _, rest = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
        assert "generation goes on" in rest
        (failed,) = of_type(store.events(), "BatchFailed")
        assert "news takes no new file: ENOSPC (No space left on device)" in failed["data"]["reason"]
        assert "No space left on device" in failed["data"]["stderr_tail"]
        assert [event["data"]["batch"] for event in of_type(store.events(), "BatchCompleted")] == [0, 1, 2, 3, 4]
        verified = store.process("verify", "--json")
        assert json.loads(verified.stdout)["ok"], verified.stdout
