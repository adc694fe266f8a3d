"""R17, on real disks: one that is unmounted, mounted again or mounted over, and another one in its place."""

import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from application.ports import ChannelFiles, Comparison, Deletion, FoundFile, MediaPlaylist
from application.purger import Place
from application.verify import Level
from domain.errors import Refused, RootSuspect
from domain.events import (
    FileIdentity,
    MediaRoot,
    PurgeIssued,
    PurgeRefused,
    Recorded,
    RootSuspected,
    RootTrusted,
    SegmentsPurged,
    Suspicion,
)
from entrypoints.bootstrap import opened
from media.playlist import PlaylistFiles
from media.segment_root import SegmentRoots
from tests import memory_app
from tests.acceptance.command_line import Store, names_of, of_type
from tests.integration.media_tree import mounted_disk
from tests.integration.test_full_disks import PATIENCE_S, Station
from tests.torture.disks import KINDS, Filesystem

Strike = Callable[[Filesystem, Filesystem], None]
"""What becomes of our disk, with another one at hand that is mounted elsewhere."""


def no_disk(ours: Filesystem, other: Filesystem) -> None:
    ours.unmount()


def an_empty_disk(ours: Filesystem, other: Filesystem) -> None:
    ours.unmount()
    mount_at(ours.mounted, other)


def an_empty_disk_over_ours(ours: Filesystem, other: Filesystem) -> None:
    mount_at(ours.mounted, other)


def a_disk_of_another_store(ours: Filesystem, other: Filesystem) -> None:
    directory = ours.mounted.parent / "elsewhere"
    directory.mkdir()
    elsewhere = Store(directory)
    elsewhere.answer("session", "open", "news", "--root", str(other.mounted), "--batch-size", "2")
    an_empty_disk(ours, other)


def a_copy(ours: Filesystem, other: Filesystem) -> None:
    shutil.copytree(ours.mounted, other.mounted, dirs_exist_ok=True)
    an_empty_disk(ours, other)


def mount_at(place: Path, other: Filesystem) -> None:
    other.unmount()
    other.mounted = place
    other.mount()


STRIKES: dict[Strike, tuple[str, str]] = {
    no_disk: ("absent", "its marker file is missing; is the disk mounted?"),
    an_empty_disk: ("absent", "its marker file is missing; is the disk mounted?"),
    an_empty_disk_over_ours: ("absent", "its marker file is missing; is the disk mounted?"),
    a_disk_of_another_store: ("foreign", "its marker is of store"),
    a_copy: ("device", "it is on another filesystem than before"),
}


@pytest.fixture(params=KINDS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Filesystem]:
    with mounted_disk(request.param, tmp_path / "media") as disk:
        yield disk


@pytest.fixture
def other(disk: Filesystem, tmp_path: Path) -> Iterator[Filesystem]:
    with mounted_disk("ext4", tmp_path / "other") as other:
        yield other


def everything(directory: Path) -> set[Path]:
    return set(directory.rglob("*"))


class TestBetweenCommands:
    @pytest.fixture
    def store(self, tmp_path: Path, disk: Filesystem) -> Store:
        """Batch 0 is due, the files of batch 3 are written, and another channel is about to begin."""
        store = Store(tmp_path)
        store.open()
        store.answer("session", "open", "sport", "--root", str(store.root), "--batch-size", "2")
        store.produce(3)
        for file in store.answer("batch", "start", "news")["files"]:
            Path(file).write_text(file)
        return store

    @pytest.mark.rule("R16", "R17")
    @pytest.mark.invariant(6)
    @pytest.mark.parametrize("strike", STRIKES, ids=lambda strike: strike.__name__)
    def test_nothing_is_purged_made_or_recorded_below_the_path_until_our_disk_is_back(
        self, store: Store, disk: Filesystem, other: Filesystem, strike: Strike
    ) -> None:
        """R16, R17: each command says why; when the disk is back nobody has to say a word."""
        suspicion, reason = STRIKES[strike]
        strike(disk, other)
        there, events = everything(store.root), store.events()
        for words in (("project",), ("batch", "complete", "news"), ("batch", "start", "sport")):
            refused = store.invoke(*words)
            assert (refused.exit_code, reason in refused.stderr) == (4, True), refused.output
        doctor, verified = store.invoke("doctor"), store.invoke("verify")
        assert "BAD  media root" in doctor.stdout
        assert reason in doctor.stdout
        assert verified.exit_code == 3
        assert reason in " ".join(verified.output.split())
        assert everything(store.root) == there, "not even a directory is made"
        [suspected] = store.events()[len(events) :]
        assert (suspected["type"], suspected["data"]["suspicion"]) == ("RootSuspected", suspicion)

        if other.mounted == store.root:
            other.unmount()
        if not disk.mounted.is_mount():
            disk.mount()
        assert store.invoke("batch", "complete", "news").exit_code == 0
        assert store.invoke("project").exit_code == 0
        assert store.names() == names_of(2, 3, batch_size=2)
        [trusted] = of_type(store.events(), "RootTrusted")
        assert trusted["actor"] == "guard"
        assert [event["data"]["already_absent"] for event in of_type(store.events(), "SegmentsPurged")] == [[], []]
        assert store.answer("verify", "--level", "identity")["ok"]

    @pytest.mark.rule("R17")
    def test_a_copy_on_another_disk_is_the_root_when_an_operator_says_so(
        self, store: Store, disk: Filesystem, other: Filesystem
    ) -> None:
        a_copy(disk, other)
        assert store.invoke("batch", "start", "sport").exit_code == 4
        assert store.invoke("root", "trust", str(store.root), "--reason", "the disk was replaced").exit_code == 0
        assert store.invoke("batch", "start", "sport").exit_code == 0
        assert store.answer("root", "list")[0]["suspect"] is None

    @pytest.mark.rule("R17")
    def test_the_same_disk_at_another_device_number_is_known_by_the_id_of_its_filesystem(
        self, store: Store, disk: Filesystem
    ) -> None:
        """R17: XFS makes its id of that number, so that it has to be trusted by an operator's word."""
        number = store.root.stat().st_dev
        disk.unmount()
        disk.plug_in_elsewhere()
        disk.mount()
        assert store.root.stat().st_dev != number
        if disk.kind == "xfs":
            refused = store.invoke("project")
            assert refused.exit_code == 4
            assert "it is on another filesystem than before" in refused.stderr
            assert store.names() == names_of(0, 1, 2, 3, batch_size=2)
            assert store.invoke("root", "trust", str(store.root), "--reason", "a new cable").exit_code == 0
        assert store.invoke("project").exit_code == 0
        assert store.names() == names_of(1, 2, 3, batch_size=2)
        assert len(of_type(store.events(), "RootSuspected")) == (disk.kind == "xfs")


class TestWhileARunIsAtWork:
    @pytest.fixture
    def station(self, tmp_path: Path, disk: Filesystem) -> Iterator[Station]:
        with opened(f"sqlite:///{tmp_path / 'log.db'}") as app:
            yield Station(app, disk.mounted)

    @pytest.mark.rule("R4", "R17")
    def test_it_pauses_says_why_and_goes_on_when_the_disk_is_mounted_again(
        self, station: Station, disk: Filesystem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """R4, R17: generation and purging alike, each in a thread of its own."""
        issue, gone, said = station.app.purger.issue_each, threading.Event(), threading.Barrier(2)

        def issue_without_a_disk(root: MediaRoot, places: Sequence[Place]) -> list[Recorded | Refused]:
            if not gone.is_set():
                disk.unmount(lazily=True)
                gone.set()
            return issue(root, places)

        def both_said() -> None:
            """Who comes second mounts it."""
            if said.wait(PATIENCE_S) == 0:
                assert everything(disk.mounted) == set()
                assert station.events(PurgeIssued, PurgeRefused) == []
                disk.mount()

        monkeypatch.setattr(station.app.purger, "issue_each", issue_without_a_disk)
        station.encoder.before[3] = lambda: gone.wait(PATIENCE_S)
        station.reactions["generation pauses"] = both_said
        station.reactions["purging pauses for this media root (R17)"] = both_said
        station.run(4, failures=1)  # what the encoder wrote into was gone
        absent = "its marker file is missing; is the disk mounted?"
        assert station.said("purging pauses for this media root (R17)") == [absent]
        assert absent in station.said("generation pauses")[0]
        assert station.said("generation goes on")
        assert station.said("purging goes on for this media root")
        (suspected,) = station.events(RootSuspected)
        assert suspected.suspicion is Suspicion.ABSENT
        assert len(station.events(RootTrusted)) == 1
        assert [(event.batch, event.deleted) for event in station.events(SegmentsPurged)] == [(0, 2), (1, 2)]
        assert station.is_whole(2, 3)

    @pytest.mark.rule("R17")
    def test_one_that_begins_without_the_disk_makes_nothing_in_its_place(
        self, station: Station, disk: Filesystem
    ) -> None:
        def mended() -> None:
            assert everything(disk.mounted) == set()
            disk.mount()

        disk.unmount()
        station.reactions["generation pauses"] = mended
        station.run(3)
        assert station.said("generation goes on")
        assert station.is_whole(1, 2)


class TestBetweenTheLookAndTheAct:
    """The disk proves to be ours, and is unmounted before what follows from that is done."""

    @pytest.fixture
    def gone_before(self) -> set[str]:
        """The acts before which the disk is unmounted."""
        return set()

    @pytest.fixture
    def channel(self, disk: Filesystem, gone_before: set[str]) -> memory_app.Channel:
        def act(name: str) -> None:
            if name in gone_before:
                gone_before.remove(name)
                disk.unmount(lazily=True)

        class Roots(SegmentRoots):
            def prepare(self, root: str, channel: str, renditions: Sequence[str]) -> None:
                act("prepare")
                super().prepare(root, channel, renditions)

            def find(self, root: str, channel: str, files: Sequence[str]) -> dict[str, FoundFile]:
                act("find")
                return super().find(root, channel, files)

            def sync(self, root: str, channel: str, files: Sequence[str]) -> Any:
                act("sync")
                return super().sync(root, channel, files)

            def compare(self, root: str, channel: str, files: Sequence[FileIdentity]) -> Comparison:
                act("compare")
                return super().compare(root, channel, files)

            def delete_each(self, root: str, batches: Sequence[ChannelFiles]) -> list[Deletion]:
                act("delete")
                return super().delete_each(root, batches)

        class Playlists(PlaylistFiles):
            def publish(
                self, root: str, channel: str, playlists: Sequence[MediaPlaylist], retired: Sequence[MediaPlaylist] = ()
            ) -> None:
                act("publish")
                super().publish(root, channel, playlists, retired)

        return memory_app.Channel(memory_app.App(memory_app.Store(), Roots(), Playlists()), disk.mounted)

    @pytest.mark.rule("R10", "R17")
    @pytest.mark.invariant(6)
    @pytest.mark.parametrize("act", ["compare", "publish", "delete"])
    def test_a_purge_goes_by_the_disk_that_proved_itself(
        self, channel: memory_app.Channel, disk: Filesystem, gone_before: set[str], act: str
    ) -> None:
        """R10, R17: where it was mounted there is nothing, and none of that is taken for absent."""
        channel.open(playlist_window=4)
        channel.generate(3)
        gone_before.add(act)
        channel.app.retention.run_once()
        assert gone_before == set()
        assert everything(disk.mounted) == set()
        disk.mount()
        channel.app.retention.run_once()
        events = [one.event for one in channel.app.log.read()]
        assert not any(isinstance(event, PurgeRefused) for event in events)
        (purged,) = (event for event in events if isinstance(event, SegmentsPurged))
        assert (purged.deleted, purged.already_absent) == (2, ())
        assert not any(path.exists() for path in channel.paths(0))
        assert all(path.exists() for path in channel.paths(1) + channel.paths(2))

    @pytest.mark.rule("R17")
    @pytest.mark.invariant(6)
    @pytest.mark.parametrize("act", ["prepare", "find"])
    def test_a_start_makes_nothing_in_the_mount_point_and_misses_nothing(
        self, channel: memory_app.Channel, disk: Filesystem, gone_before: set[str], act: str
    ) -> None:
        channel.open()
        left = channel.root / "news" / "v" / "v_segment_000.ts"
        left.write_bytes(b"left by somebody")
        gone_before.add(act)
        channel.start()
        assert gone_before == set()
        assert everything(disk.mounted) == set()
        assert channel.session.running is not None
        assert [file.file for file in channel.session.running.present] == ["v/v_segment_000.ts"]
        disk.mount()

    @pytest.mark.rule("R9", "R17")
    @pytest.mark.invariant(6)
    def test_a_completion_is_of_the_disk_that_proved_itself(
        self, channel: memory_app.Channel, disk: Filesystem, gone_before: set[str]
    ) -> None:
        """R9, R17: it would make N-2 go, so its files have to be on the disk where N-2 is."""
        channel.open()
        channel.generate(2)
        channel.start()
        channel.write()
        gone_before.add("sync")
        with pytest.raises(RootSuspect):  # for the playlist
            channel.app.generation.complete(channel.id, lambda *_: 2000, "tester")
        assert channel.session.completed == 3
        assert everything(disk.mounted) == set()
        disk.mount()
        channel.app.project()
        assert not any(path.exists() for path in channel.paths(0))
        assert channel.app.verifier.verify(Level.IDENTITY).ok
