"""The verifier: each kind of difference between log, seal and disk is found, and nothing else is called one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from application import disk_check, verify, whole_log
from application.log_reader import Part
from application.ports import LogLine
from application.verify import Level, Report, Verifier
from domain import merkle
from domain.events import Disposition, FileIdentity
from media.segment_root import SegmentRoots
from tests.memory_app import TESTER, App, Channel, InTurn, Store, TestLog
from tests.property.faults import FailingRoots, Killed, Points

MARKER = ".trailkeep-root"


@pytest.fixture
def sound(channel: Channel) -> Channel:
    """Four batches in two renditions, two of them purged, all sealed."""
    channel.open(renditions=("v", "a"))
    channel.generate(4)
    channel.app.project()
    return channel


def verified(channel: Channel, level: Level = Level.IDENTITY) -> Report:
    head = channel.app.log.head()
    report = App(channel.app.store).verifier.verify(level)
    assert App(channel.app.store).verifier.verify(level, processes=2) == report, "however many read the log"
    assert channel.app.log.head() == head, "it only reads"
    return report


def test_a_sound_store_is_sound(sound: Channel) -> None:
    report = verified(sound)
    assert report.ok
    assert report.checked == 8
    assert (report.lost, report.orphans, report.superseded, report.changed, report.suspect_roots) == ((),) * 5
    assert (report.log.ok, report.log.events, report.log.faults) == (True, sound.app.log.head(), ())
    lines = [merkle.leaf_hash(line.line) for line in sound.app.log.read_lines(limit=10**6)]
    assert report.log.root == merkle.root(merkle.extend(0, (), lines)[1]).hex()


def test_an_empty_store_is_sound(app: App) -> None:
    report = app.verifier.verify(Level.IDENTITY)
    assert (report.ok, report.checked, report.log.root) == (True, 0, merkle.EMPTY_ROOT.hex())


def test_a_snapshot_that_is_not_what_the_events_tell_is_found(sound: Channel) -> None:
    """However well it hides: `rebuild` drops it."""
    snapshots = sound.app.store.snapshots
    kept = snapshots.load(sound.id)
    assert kept is not None
    snapshots.save(replace(kept, completed=kept.completed + 1))
    report = verified(sound)
    assert not report.ok
    assert report.read_models == (
        f"the snapshot of session {sound.id} is not what its events tell: run `trailkeep rebuild`",
    )
    snapshots.clear()
    assert verified(sound).ok


def test_it_tells_how_far_it_is(sound: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    """In events, and then in files, while they are listed: of a large channel that is what takes long."""
    monkeypatch.setattr(whole_log, "PAGE", 5)
    monkeypatch.setattr(disk_check, "STEP", 3)
    heard: list[tuple[str, int, int]] = []
    sound.app.verifier.verify(Level.PRESENCE, lambda *told: heard.append(told))
    head = sound.app.log.head()
    events = [("events", 5, head), ("events", 10, head), ("events", head, head)]
    assert heard == [*events, ("files", 3, 8), ("files", 6, 8), ("files", 8, 8)]


def test_it_tells_of_files_before_all_are_listed(sound: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_check, "STEP", 2)
    listed, told = 0, list[int]()
    list_files = SegmentRoots.list_files

    def listing(files: SegmentRoots, root: str, channel: str) -> Iterator[FileIdentity]:
        nonlocal listed
        for file in list_files(files, root, channel):
            listed += 1
            yield file

    monkeypatch.setattr(SegmentRoots, "list_files", listing)
    sound.app.verifier.verify(Level.PRESENCE, lambda what, *_: told.append(listed) if what == "files" else None)
    assert told == [2, 4, 6, 8, 8]


def test_who_reads_along_reads_to_where_the_log_ended_when_they_began(store: Store, tmp_path: Path) -> None:
    """What is recorded meanwhile is folded by one, whose session it ever is; the sessions keep their order."""
    channels = [Channel(App(store), tmp_path / "media", name) for name in ("news", "arts", "film", "kids", "jazz")]
    for channel in channels:
        channel.open()
        channel.generate(3)
    channels[0].app.project()

    class Meanwhile(InTurn):
        def parts(self) -> Iterator[Part]:
            for channel in channels:
                channel.generate(1)
            channels[0].app.project()
            return super().parts()

    app = App(store, readers=Meanwhile(store))
    shared = app.verifier.verify(Level.IDENTITY, processes=3)
    assert shared == App(store).verifier.verify(Level.IDENTITY)
    assert (shared.ok, shared.log.events) == (True, store.log.head())


class TestFiles:
    @pytest.mark.rule("R10")
    @pytest.mark.parametrize("level", Level)
    def test_a_kept_file_that_is_gone_is_lost(self, sound: Channel, level: Level) -> None:
        """R10: no authorisation, so it should be there."""
        path = sound.paths(3)[2]
        path.unlink()
        report = verified(sound, level)
        assert (report.ok, report.lost) == (False, (str(path),))

    @pytest.mark.rule("R11")
    @pytest.mark.parametrize(("level", "found"), [("presence", False), ("size", False), ("identity", True)])
    def test_a_file_of_the_same_size_is_seen_by_its_identity(self, sound: Channel, level: str, found: bool) -> None:
        """R11."""
        path = sound.paths(3)[0]
        content = path.read_bytes()
        path.rename(path.with_name("aside"))
        path.write_bytes(content)
        path.with_name("aside").unlink()
        assert verified(sound, Level(level)).changed == ((str(path),) if found else ())

    @pytest.mark.parametrize(("level", "found"), [("presence", False), ("size", True), ("identity", True)])
    def test_a_file_of_another_size_is_changed(self, sound: Channel, level: str, found: bool) -> None:
        path = sound.paths(3)[0]
        path.write_bytes(b"something else")
        report = verified(sound, Level(level))
        assert (report.ok, report.changed) == ((False, (str(path),)) if found else (True, ()))

    def test_a_file_that_no_event_explains_is_an_orphan(self, sound: Channel) -> None:
        paths = [sound.directory / "notes.txt", sound.directory / "v" / "v_segment_000.ts"]
        for path in paths:
            path.write_bytes(b"?")
        report = verified(sound)
        assert (report.ok, set(report.orphans)) == (False, set(map(str, paths)))

    def test_playlists_and_hidden_files_are_not_looked_at(self, sound: Channel) -> None:
        (sound.directory / ".notes").write_bytes(b"?")
        assert verified(sound).ok

    @pytest.mark.rule("R11")
    def test_a_file_that_a_purge_left_alone_is_told_and_is_no_fault(self, sound: Channel) -> None:
        """R11."""
        path = sound.paths(2)[0]
        path.unlink()
        path.write_bytes(b"another")
        assert verified(sound).changed == (str(path),)
        sound.generate(1)
        sound.app.project()
        report = verified(sound)
        assert (report.ok, report.superseded) == (True, (str(path),))

    @pytest.mark.rule("R7", "R11")
    def test_so_is_one_that_an_attempt_left_alone_which_left_others_too(self, store: Store, tmp_path: Path) -> None:
        """R7, R11: before and after the purge is finished."""
        denied: set[str] = set()
        channel = Channel(App(store, FailingRoots(Points(), denied)), tmp_path / "root")
        channel.open()
        channel.generate(3)
        path, stuck = channel.paths(0)
        path.unlink()
        path.write_bytes(b"another")
        denied.add(str(stuck))
        channel.app.project()
        assert verified(channel).superseded == (str(path),)
        denied.clear()
        store.clock.advance(60)
        channel.app.project()
        report = verified(channel)
        assert (report.ok, report.superseded, report.orphans) == (True, (str(path),), ())

    @pytest.mark.parametrize("ending", ["running", "failed", "closed"])
    def test_what_an_unfinished_batch_left_is_explained(self, sound: Channel, ending: str) -> None:
        sound.start()
        sound.write(3)
        if ending != "running":
            sound.fail()
        if ending == "closed":
            sound.app.generation.close(sound.id, "the end", Disposition.KEEP, TESTER)
        assert verified(sound).ok

    @pytest.mark.rule("R9")
    def test_what_was_there_before_a_batch_that_failed_is_explained(self, sound: Channel) -> None:
        """R9: it was told at its start, and is not the batch's work."""
        for _ in range(2):
            sound.start()
            if not sound.segments() & {"v_segment_008.ts"}:
                sound.write(1)
            sound.fail()
        assert sound.session.batches[4].files_left == ()
        assert verified(sound).ok

    @pytest.mark.rule("R6")
    def test_a_purge_in_the_middle_explains_what_is_gone(self, store: Store, tmp_path: Path) -> None:
        """R6."""
        points = Points()
        channel = Channel(App(store, FailingRoots(points, set())), tmp_path / "root")
        channel.open()
        channel.generate(3)
        points.armed = Points.UNLINKED
        with pytest.raises(Killed):
            channel.app.retention.run_once()
        channel.app.sealer.catch_up()
        report = verified(channel)
        assert (report.ok, report.checked) == (True, 6)

    @pytest.mark.rule("R17")
    def test_a_root_that_does_not_prove_to_be_ours_is_a_fault_of_its_own(self, sound: Channel, tmp_path: Path) -> None:
        """R17: its files are not called lost; and the other channels are looked at."""
        other = Channel(sound.app, tmp_path / "other", "sport")
        other.open()
        other.generate(1)
        (sound.root / MARKER).unlink()
        report = verified(sound)
        assert (report.ok, report.lost, report.checked) == (False, (), 2)
        assert str(sound.root) in report.suspect_roots[0]

    def test_the_sessions_of_a_channel_explain_its_files_together(self, sound: Channel) -> None:
        sound.app.generation.close(sound.id, "next", Disposition.KEEP, TESTER)
        sound.open()
        sound.generate(1)
        report = verified(sound)
        assert (report.ok, report.checked) == (True, 10)


class TestNotes:
    """What is no fault, but an operator will want to know."""

    @pytest.mark.rule("R6")
    def test_a_purge_that_is_late_is_told(self, store: Store, tmp_path: Path) -> None:
        """R6: nobody has finished it, though it is time."""
        denied: set[str] = set()
        channel = Channel(App(store, FailingRoots(Points(), denied)), tmp_path / "root")
        channel.open()
        channel.generate(3)
        denied.update(map(str, channel.paths(0)))
        channel.app.project()
        report = verified(channel)
        assert (report.ok, report.notes) == (True, ())
        store.clock.advance(3)
        report = verified(channel)
        assert report.ok
        (note,) = report.notes
        assert "channel news: the purge of batch 0 is authorised and has no outcome, after 1 attempts" in note
        denied.clear()
        channel.app.project()
        assert verified(channel).notes == ()

    def test_a_batch_that_is_generated_is_not_worth_a_note(self, sound: Channel) -> None:
        sound.start()
        sound.app.clock.advance(86_400)
        report = verified(sound)
        assert (report.ok, report.notes) == (True, ())

    @pytest.mark.rule("R15")
    @pytest.mark.parametrize("position", [2, 15])
    def test_what_a_damaged_session_keeps_is_not_judged(self, sound: Channel, position: int) -> None:
        """R15: nor what the channel's other sessions keep, for its files lie among theirs."""
        sound.app.generation.close(sound.id, "next", Disposition.KEEP, TESTER)
        sound.open()
        sound.generate(1)
        assert type(sound.app.log.read(after=14, limit=1)[0].event).__name__ == "SessionOpened"
        lines: list[LogLine] = sound.app.log._lines
        lines[position - 1] = replace(lines[position - 1], leaf_hash=bytes(32))
        sound.paths(0)[0].unlink()
        (sound.directory / "stray.ts").touch()
        report = verified(sound)
        assert (report.log.ok, report.checked, report.lost, report.orphans, report.playlists) == (False, 0, (), (), ())
        assert report.read_models == ()
        assert [note for note in report.notes if lines[position - 1].session_id in note]


class TestWhileOthersWork:
    """A difference counts only if it is there when the log has not moved."""

    def test_what_changes_between_the_log_and_the_disk_is_read_again(self, sound: Channel) -> None:
        passes: list[str] = []

        def progress(what: str, done: int, total: int) -> None:
            passes.append(what)
            if passes == ["events", "files"]:
                sound.generate(1)
                sound.app.project()
                sound.paths(2)[0].write_bytes(b"a foreign file")

        sound.paths(3)[0].unlink()
        report = sound.app.verifier.verify(Level.IDENTITY, progress)
        assert (report.checked, report.lost) == (8, (str(sound.paths(3)[0]),))
        assert report.orphans == (str(sound.paths(2)[0]),)

    def test_what_changes_all_the_time_is_told_as_it_was_last_seen(self, sound: Channel) -> None:
        passes = 0

        def progress(what: str, done: int, total: int) -> None:
            nonlocal passes
            if what == "files" and done == total:
                passes += 1
                sound.generate(1)
                sound.app.project()
                sound.paths(sound.session.next_batch - 1)[0].unlink()

        sound.paths(3)[0].unlink()
        report = sound.app.verifier.verify(Level.IDENTITY, progress)
        assert not report.ok
        assert passes == verify.PASSES


class TestLogs:
    """The log is compared with itself and with its seal."""

    def tampered(self, channel: Channel, position: int, **fields: object) -> Report:
        lines: list[LogLine] = channel.app.log._lines
        lines[position - 1] = replace(lines[position - 1], **fields)
        return verified(channel)

    @pytest.mark.rule("R15")
    def test_an_altered_line_does_not_have_its_hash(self, sound: Channel) -> None:
        """R15: and the root of the whole is not the sealed one."""
        line = sound.app.log.read_lines(after=4, limit=1)[0].line
        report = self.tampered(sound, 5, line=line.replace(b'"batch":1', b'"batch":7'))
        assert not report.ok
        assert not report.log.ok
        assert [fault for fault in report.log.faults if fault.startswith("log position 5:")]
        assert [fault for fault in report.log.faults if fault.startswith("seal:")]

    @pytest.mark.rule("R15")
    def test_an_altered_line_with_a_hash_to_match_is_seen_by_the_seal(self, sound: Channel) -> None:
        """R15."""
        line = sound.app.log.read_lines(after=4, limit=1)[0].line.replace(b'"actor":"tester"', b'"actor":"nobody"')
        report = self.tampered(sound, 5, line=line, leaf_hash=merkle.leaf_hash(line))
        assert report.log.faults == (
            f"seal: the root over the first {sound.app.log.head()} events is not the one that was sealed",
        )

    @pytest.mark.rule("R15")
    def test_columns_that_disagree_with_their_line_are_a_fault(self, sound: Channel) -> None:
        """R15."""
        report = self.tampered(sound, 5, version=99)
        assert "columns" in report.log.faults[0]

    @pytest.mark.rule("R15")
    def test_an_event_that_is_missing_in_the_middle_is_a_fault(self, sound: Channel) -> None:
        """R15."""

        class Torn(TestLog):
            def read_lines(self, *, after: int = 0, limit: int = 1000) -> list[LogLine]:
                return [line for line in super().read_lines(after=after, limit=limit) if line.position != 3]

        sound.app.store.log.__class__ = Torn
        report = verified(sound)
        assert "log position 3: missing; the next event is at 4" in report.log.faults[0]
        assert [fault for fault in report.log.faults if "follows version" in fault]

    @pytest.mark.rule("R15")
    def test_events_that_are_missing_at_the_end_are_a_fault(self, sound: Channel) -> None:
        """R15: the head knows of them, and so does the seal."""

        class Cut(TestLog):
            def read_lines(self, *, after: int = 0, limit: int = 1000) -> list[LogLine]:
                return [line for line in super().read_lines(after=after, limit=limit) if line.position <= 10]

        head = sound.app.log.head()
        sound.app.store.log.__class__ = Cut
        report = verified(sound)
        assert f"log position {head}: missing; the newest event is at 10" in report.log.faults[0]
        assert f"seal: it is over {head} events, but the log has 10" in report.log.faults

    @pytest.mark.rule("R15")
    def test_an_event_that_does_not_follow_is_a_fault(self, sound: Channel) -> None:
        """R15: well-formed, hashed and in its place, but of a batch that never started."""
        line = sound.app.log.read_lines(after=4, limit=1)[0].line.replace(b'"batch":1', b'"batch":7')
        report = self.tampered(sound, 5, line=line, leaf_hash=merkle.leaf_hash(line))
        assert "BatchCompleted does not follow" in report.log.faults[0]

    def test_a_log_that_was_never_sealed_is_no_fault(self, channel: Channel) -> None:
        channel.open()
        channel.generate(1)
        assert verified(channel).log.ok

    def test_nothing_is_concluded_twice_from_a_damaged_log(self, sound: Channel) -> None:
        """One look at the disk is enough: more would not make it sound."""
        other = Channel(sound.app, sound.root, "sport")
        other.open()
        other.generate(1)
        other.paths(0)[0].unlink()
        looks: list[str] = []
        self.tampered(sound, 5, version=99)
        verifier: Verifier = App(sound.app.store).verifier
        report = verifier.verify(Level.PRESENCE, lambda what, *_: looks.append(what))
        assert report.lost == (str(other.paths(0)[0]),)
        assert looks.count("files") == 1
