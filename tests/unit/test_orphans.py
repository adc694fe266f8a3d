"""The repair of orphans: what nobody explains goes by authorisation, identity and outcome, and nothing else goes."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from application import orphans
from application.orphans import LISTED, NO_FILE, Orphans
from application.ports import Deletion
from application.verify import Level
from domain.errors import FlushFailed, LogDamaged, NotFound, Refused, RootSuspect
from domain.events import Disposition, FileIdentity, OrphansCondemned, OrphansRemoved
from media.segment_root import SegmentRoots
from tests.memory_app import TESTER, App, Channel, Store
from tests.property.faults import Killed

WHY = "left over from a test"


class Meddled(SegmentRoots):
    """Real media roots in which something happens when orphans are looked at, or when they are deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.after_look: Callable[[], object] = lambda: None
        self.before_removal: Callable[[], object] = lambda: None
        self.after_removal: Callable[[], object] = lambda: None

    def removable(self, root: str, channel: str, files: Sequence[FileIdentity]) -> tuple[FileIdentity, ...]:
        found = super().removable(root, channel, files)
        self.after_look()
        return found

    def remove(self, root: str, channel: str, files: Sequence[FileIdentity]) -> Deletion:
        self.before_removal()
        deletion = super().remove(root, channel, files)
        self.after_removal()
        return deletion


@pytest.fixture
def files() -> Meddled:
    return Meddled()


@pytest.fixture
def channel(store: Store, files: Meddled, tmp_path: Path) -> Channel:
    """Three batches in a ring of ten names, the first of them purged."""
    made = Channel(App(store, files), tmp_path / "root")
    made.open(wrap=10)
    made.generate(3)
    made.app.project()
    return made


def stray(channel: Channel, *places: str, content: bytes = b"nobody knows") -> Path:
    path = channel.directory.joinpath(*places)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def found(channel: Channel) -> Orphans:
    head = channel.app.log.head()
    (only,) = channel.app.orphans.find(channel.name)
    assert channel.app.log.head() == head, "a look records nothing"
    return only


def removed(channel: Channel) -> list[str]:
    """The kinds of the events that the repair recorded."""
    recorded = channel.app.orphans.remove(channel.name, WHY, TESTER)
    return [type(one.event).__name__ for one in recorded]


def outcome(channel: Channel) -> OrphansRemoved:
    event = channel.events()[-1]
    assert isinstance(event, OrphansRemoved)
    return event


class TestWhatGoes:
    @pytest.mark.rule("R10", "R16")
    def test_orphans_anywhere_below_the_channel_are_authorised_and_deleted(self, channel: Channel) -> None:
        """R10, R16."""
        strays = [stray(channel, "v", "old.ts"), stray(channel, "loose.ts"), stray(channel, "some", "where", "x.ts")]
        kept = channel.segments() - {"old.ts"}
        assert {one.file for one in found(channel).files} == {"v/old.ts", "loose.ts", "some/where/x.ts"}
        assert removed(channel) == ["OrphansCondemned", "OrphansRemoved"]
        assert [path for path in strays if path.exists()] == []
        assert channel.segments() == kept
        condemned = channel.events()[-2]
        assert isinstance(condemned, OrphansCondemned)
        assert (condemned.reason, len(condemned.files)) == (WHY, 3)
        assert (outcome(channel).deleted, outcome(channel).bytes_freed) == (3, 36)
        assert removed(channel) == []

    @pytest.mark.rule("R2")
    def test_what_a_batch_keeps_makes_or_left_is_no_orphan(self, channel: Channel) -> None:
        """R2."""
        channel.start()
        channel.write(1)
        assert found(channel).files == ()
        channel.fail()
        assert found(channel).files == ()
        assert removed(channel) == []

    @pytest.mark.rule("R11")
    def test_what_a_purge_left_alone_is_no_orphan(self, channel: Channel) -> None:
        """R11: an event speaks of it."""
        path = channel.paths(1)[0]
        path.unlink()
        path.write_bytes(b"another")
        channel.generate(1)
        channel.app.project()
        assert path.exists()
        assert found(channel).files == ()

    @pytest.mark.rule("R8")
    def test_what_a_playlist_lists_is_left(self, channel: Channel) -> None:
        """R8: also if it is a playlist that the log does not want, as when the database was put back."""
        path = stray(channel, "v", "live.ts")
        with (channel.directory / "v" / "v.m3u8").open("a") as playlist:
            playlist.write("#EXTINF:2.000,\nlive.ts\n")
        assert (found(channel).files, found(channel).left) == ((), (("v/live.ts", LISTED),))
        assert removed(channel) == []
        assert path.exists()

    @pytest.mark.rule("R8")
    def test_playlists_and_hidden_files_are_not_looked_at(self, channel: Channel) -> None:
        """R8."""
        paths = [stray(channel, "other.m3u8"), stray(channel, "v", ".hidden.ts"), stray(channel, ".d", "x.ts")]
        assert (found(channel).files, found(channel).left) == ((), ())
        assert removed(channel) == []
        assert all(path.exists() for path in paths)

    def test_what_is_no_regular_file_or_cannot_be_called_by_its_name_is_left_and_said(
        self, channel: Channel, tmp_path: Path
    ) -> None:
        canary = tmp_path / "canary.ts"
        canary.touch()
        (channel.directory / "link.ts").symlink_to(canary)
        (channel.directory / "folder").symlink_to(tmp_path)
        os.mkfifo(channel.directory / "v" / "fifo")
        (channel.directory / "v" / os.fsdecode(b"\xff.ts")).touch()
        names = ["folder", "link.ts", "v/fifo", "v/\\xff.ts"]
        assert found(channel).left == tuple((name, NO_FILE) for name in names)
        assert removed(channel) == []
        assert canary.exists()
        assert len(list((channel.directory / "v").iterdir())) == 4 + 2 + 1

    def test_many_are_authorised_in_several_lines(self, channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(orphans, "AT_ONCE", 2)
        for number in range(5):
            stray(channel, f"{number}.ts")
        assert removed(channel) == ["OrphansCondemned", "OrphansRemoved"] * 3
        assert found(channel).files == ()

    def test_they_are_looked_for_on_every_root_of_the_channel(self, channel: Channel, tmp_path: Path) -> None:
        path = stray(channel, "old.ts")
        channel.app.generation.close(channel.id, "a new disk", Disposition.KEEP, TESTER)
        channel.root = tmp_path / "other"
        channel.open(root=str(channel.root))
        other = stray(channel, "new.ts")
        assert removed(channel) == ["OrphansCondemned", "OrphansRemoved"] * 2
        assert not path.exists()
        assert not other.exists()

    def test_an_unknown_channel_is_said_to_be_unknown(self, channel: Channel) -> None:
        with pytest.raises(NotFound, match="channel: 'sport'"):
            channel.app.orphans.find("sport")


class TestWhileOthersWork:
    @pytest.mark.rule("R2")
    def test_a_batch_that_starts_after_the_look_keeps_its_names(self, channel: Channel, files: Meddled) -> None:
        """R2: what it is about to overwrite is not condemned any more; the rest is."""
        stray(channel, "v", "v_segment_006.ts")
        stray(channel, "loose.ts")
        files.after_look = channel.start
        assert removed(channel) == ["OrphansCondemned", "OrphansRemoved"]
        condemned = channel.events()[-2]
        assert isinstance(condemned, OrphansCondemned)
        assert [file.file for file in condemned.files] == ["loose.ts"]
        assert "v_segment_006.ts" in channel.segments()

    @pytest.mark.rule("R5")
    @pytest.mark.invariant(12)
    def test_no_batch_starts_under_a_condemned_name(self, channel: Channel, files: Meddled) -> None:
        """R5: until the outcome is recorded; in this session or the next."""
        stray(channel, "v", "v_segment_006.ts")
        refusals: list[Refused] = []

        def try_to_start() -> None:
            with pytest.raises(Refused, match="a removal of orphans") as refused:
                channel.start()
            refusals.append(refused.value)

        files.before_removal = try_to_start
        removed(channel)
        assert [one.rule for one in refusals] == ["R5"]
        channel.start()

    @pytest.mark.rule("R5")
    def test_nor_does_one_of_the_next_session(self, channel: Channel, files: Meddled) -> None:
        """R5."""
        channel.app.generation.close(channel.id, "the end", Disposition.KEEP, TESTER)
        stray(channel, "v", "v_segment_006.ts")

        def open_and_start() -> None:
            channel.open(wrap=10)
            with pytest.raises(Refused, match="a removal of orphans"):
                channel.start()

        files.before_removal = open_and_start
        removed(channel)
        assert "v_segment_006.ts" not in channel.segments()
        channel.start()

    @pytest.mark.rule("R11")
    def test_what_was_written_anew_after_the_authorisation_stays(self, channel: Channel, files: Meddled) -> None:
        """R11."""
        path = stray(channel, "loose.ts")
        files.before_removal = lambda: path.write_bytes(b"it is used again, it seems")
        removed(channel)
        assert path.exists()
        assert [file.file for file in outcome(channel).superseded] == ["loose.ts"]

    @pytest.mark.rule("R7")
    def test_what_is_gone_meanwhile_is_recorded_as_absent(self, channel: Channel, files: Meddled) -> None:
        """R7."""
        path = stray(channel, "deep", "er", "loose.ts")

        def take_away() -> None:
            path.unlink()
            path.parent.rmdir()

        files.before_removal = take_away
        removed(channel)
        assert outcome(channel).already_absent == ("deep/er/loose.ts",)


class TestCrashes:
    """R10, R6: after a crash the authorisation is carried out by whoever comes next."""

    def killed(self, channel: Channel) -> None:
        def die() -> None:
            raise Killed("here")

        files = channel.app.files
        assert isinstance(files, Meddled)
        files.before_removal = die
        with pytest.raises(Killed):
            channel.app.orphans.remove(channel.name, WHY, TESTER)
        assert channel.kinds()[-1] == "OrphansCondemned"
        files.before_removal = lambda: None

    @pytest.mark.rule("R6", "R10", "R14")
    @pytest.mark.invariant(8)
    def test_recovery_finishes_it_once(self, channel: Channel) -> None:
        """R6, R10, R14."""
        path = stray(channel, "loose.ts")
        self.killed(channel)
        again = App(channel.app.store)
        assert [type(one.event).__name__ for one in again.recoverer.recover().recorded] == ["OrphansRemoved"]
        assert not path.exists()
        assert again.recoverer.recover().recorded == ()

    @pytest.mark.rule("R6")
    def test_so_does_the_next_repair_before_it_looks_for_more(self, channel: Channel) -> None:
        """R6."""
        stray(channel, "loose.ts")
        self.killed(channel)
        stray(channel, "later.ts")
        assert removed(channel) == ["OrphansRemoved", "OrphansCondemned", "OrphansRemoved"]

    @pytest.mark.rule("R6")
    def test_it_is_finished_in_a_closed_session_too(self, channel: Channel) -> None:
        """R6: though the channel has another one by then."""
        stray(channel, "v", "v_segment_006.ts")
        channel.app.generation.close(channel.id, "the end", Disposition.KEEP, TESTER)
        self.killed(channel)
        channel.open(wrap=10)
        App(channel.app.store).recoverer.recover()
        channel.start()

    @pytest.mark.rule("R10")
    def test_after_the_unlinks_the_outcome_tells_what_this_attempt_saw(self, channel: Channel, files: Meddled) -> None:
        """R10: nothing was freed by it."""
        stray(channel, "loose.ts")

        def die() -> None:
            raise Killed("here")

        files.after_removal = die
        with pytest.raises(Killed):
            channel.app.orphans.remove(channel.name, WHY, TESTER)
        files.after_removal = lambda: None
        assert removed(channel) == ["OrphansRemoved"]
        assert (outcome(channel).deleted, outcome(channel).already_absent) == (0, ("loose.ts",))

    def test_verify_tells_of_a_removal_without_an_outcome(self, channel: Channel) -> None:
        stray(channel, "loose.ts")
        self.killed(channel)
        (note,) = channel.app.verifier.verify(Level.PRESENCE).notes
        assert "channel news: a removal of orphans" in note


class TestGuards:
    @pytest.mark.rule("R17")
    @pytest.mark.invariant(6)
    def test_below_a_root_that_does_not_prove_to_be_ours_nothing_is_condemned(self, channel: Channel) -> None:
        """R17."""
        path = stray(channel, "loose.ts")
        (channel.root / ".trailkeep-root").unlink()
        with pytest.raises(RootSuspect):
            channel.app.orphans.find(channel.name)
        with pytest.raises(RootSuspect):
            channel.app.orphans.remove(channel.name, WHY, TESTER)
        assert path.exists()
        assert "OrphansCondemned" not in channel.kinds()

    @pytest.mark.rule("R10")
    def test_a_flush_that_failed_leaves_no_outcome(self, channel: Channel, files: Meddled) -> None:
        """R10: what was unlinked may come back."""
        stray(channel, "loose.ts")

        def fail() -> None:
            raise FlushFailed(str(channel.root), "EIO")

        files.after_removal = fail
        with pytest.raises(FlushFailed):
            channel.app.orphans.remove(channel.name, WHY, TESTER)
        assert channel.kinds()[-1] == "OrphansCondemned"

    @pytest.mark.rule("R15")
    @pytest.mark.invariant(11)
    def test_nothing_is_condemned_on_the_word_of_a_damaged_log(self, channel: Channel) -> None:
        """R15."""
        path = stray(channel, "loose.ts")
        lines = channel.app.store.log._lines
        lines[1] = lines[2]
        with pytest.raises(LogDamaged):
            App(channel.app.store).orphans.remove(channel.name, WHY, TESTER)
        assert path.exists()
