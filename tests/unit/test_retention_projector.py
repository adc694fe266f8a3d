"""The retention projector: what is on its agenda, what it does about it, and what it survives."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
import structlog

from application.ports import AgendaItem, ChannelFiles, Comparison, Deletion
from domain.errors import RootUnavailable
from domain.events import Availability, Disposition, FileIdentity, Policy, PurgeIssued, Recorded, SegmentsPurged
from media.journal_file import JournalFiles
from media.segment_root import SegmentRoots
from persistence.memory import MemoryAgenda
from tests.builders import SECOND
from tests.memory_app import TESTER, App, Channel, Store
from tests.property.faults import FailingRoots, Killed, Points

MARKER = ".trailkeep-root"
RFC8216 = Policy(availability=Availability.RFC8216)


def agenda(channel: Channel) -> list[AgendaItem]:
    channel.app.retention.catch_up()
    return channel.app.agenda.due(2**62)


@pytest.mark.rule("R3")
def test_nothing_is_on_the_agenda_before_the_third_batch(channel: Channel) -> None:
    """R3."""
    channel.open()
    channel.generate(2)
    assert agenda(channel) == []
    assert channel.app.retention.next_due_at() is None
    channel.generate(1)
    assert agenda(channel) == [AgendaItem(channel.id, 0, channel.app.clock.time)]
    assert channel.app.retention.next_due_at() == channel.app.clock.time


@pytest.mark.rule("R3", "R6")
def test_a_round_purges_all_that_is_due_and_says_what_it_recorded(channel: Channel) -> None:
    """R3, R6."""
    channel.open()
    channel.generate(5)
    done = channel.app.retention.run_once()
    assert [(type(one.event).__name__, one.event.batch) for one in done.recorded] == [  # type: ignore[union-attr]
        (kind, batch) for batch in (0, 1, 2) for kind in ("PurgeIssued", "SegmentsPurged")
    ]
    assert done.paused == {}
    assert agenda(channel) == []
    assert channel.app.retention.run_once().recorded == ()
    assert len(channel.segments()) == 4


def test_a_part_of_what_is_due_is_purged_and_the_rest_comes_first_next_time(channel: Channel, app: App) -> None:
    """Where batches become due all the time, read models and seal still have their turn."""
    other = Channel(app, channel.root, "sports")
    for one in (channel, other):
        one.open()
        one.generate(4)
    first, second = sorted((channel, other), key=lambda one: one.id)
    done = [app.retention.run_part(1) for _ in range(5)]
    assert [{one.envelope.session_id for one in part.recorded} for part in done] == [
        {first.id},
        {second.id},
        {first.id},
        {second.id},
        set(),
    ]
    assert all(len(part.recorded) == 2 for part in done[:4])


def test_of_a_long_backlog_a_part_is_longer(channel: Channel, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agenda is read as a whole for each part: with parts of one length a backlog would make itself longer."""
    monkeypatch.setattr("application.retention_projector.PARTS", 2)
    channel.open()
    channel.generate(8)
    done = [len(app.retention.run_part(1).recorded) // 2 for _ in range(5)]
    assert done == [3, 1, 1, 1, 0], "half of what is due, but one at least"
    monkeypatch.setattr("application.retention_projector.LONGEST_PART", 2)
    channel.generate(6)
    assert len(app.retention.run_part(1).recorded) // 2 == 2


def test_a_part_of_a_backlog_ends_when_it_takes_long(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The read models wait meanwhile. No part is shorter than what was asked for."""

    class Slow(SegmentRoots):
        def delete_each(self, root: str, batches: Sequence[ChannelFiles]) -> list[Deletion]:
            store.clock.advance(0.2 * len(batches))
            return super().delete_each(root, batches)

    monkeypatch.setattr("application.retention_projector.PARTS", 1)
    channel = Channel(App(store, Slow()), tmp_path / "root")
    channel.open()
    channel.generate(22)
    done = [len(channel.app.retention.run_part(most).recorded) // 2 for most in (1, 1, 8, 1, 100)]
    assert done == [3, 3, 8, 3, 3]


def test_so_it_does_between_media_roots_and_what_was_left_comes_first(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("application.retention_projector.PARTS", 1)
    purged: list[str] = []

    class Slow(SegmentRoots):
        def delete_each(self, root: str, batches: Sequence[ChannelFiles]) -> list[Deletion]:
            purged.append(Path(root).name)
            store.clock.advance(0.6)
            return super().delete_each(root, batches)

    app = App(store, Slow())
    for name in "abc":
        channel = Channel(app, tmp_path / name, name)
        channel.open()
        channel.generate(3)
    done = [len(app.retention.run_part(1).recorded) // 2 for _ in range(4)]
    assert done == [1, 1, 1, 0]
    assert sorted(purged) == ["a", "b", "c"]


def test_no_root_waits_for_the_backlog_of_another(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though that one takes all the time, and nothing can be deleted there."""
    monkeypatch.setattr("application.retention_projector.PARTS", 1)
    monkeypatch.setattr("application.purge_round.TOGETHER", 2)
    monkeypatch.setattr("application.retention_projector.TOGETHER", 2)

    class Slow(SegmentRoots):
        def delete_each(self, root: str, batches: Sequence[ChannelFiles]) -> list[Deletion]:
            if Path(root).name == "slow":
                store.clock.advance(0.6)
                raise RootUnavailable(root, "it is read-only")
            return super().delete_each(root, batches)

    app = App(store, Slow())
    for root, names in (("slow", "abcdefgh"), ("quick", "xyz")):
        for name in names:
            channel = Channel(app, tmp_path / root, name)
            channel.open()
            channel.generate(3)
    done = [outcomes_of(app.retention.run_part(1).recorded) for _ in range(4)]
    assert sum(done) == 3, done


def outcomes_of(recorded: Sequence[Recorded]) -> int:
    return sum(isinstance(one.event, SegmentsPurged) for one in recorded)


def together(app: App, root: Path, batches: int) -> list[Channel]:
    """Three channels below one root, of so many batches each."""
    channels = [Channel(app, root, name) for name in ("news", "radio", "sports")]
    for one in channels:
        one.open()
        one.generate(batches)
    return channels


@pytest.mark.rule("R3", "R6", "R10")
def test_batches_of_several_sessions_are_purged_together_each_with_its_own_events(app: App, tmp_path: Path) -> None:
    """R3, R6, R10: all are authorised, in the log and in the root's journal, before the first file goes."""
    channels = together(app, tmp_path / "root", 4)
    before = app.log.head()
    kinds = [type(one.event).__name__ for one in app.retention.run_once().recorded]
    assert kinds == (["PurgeIssued"] * 3 + ["SegmentsPurged"] * 3) * 2
    purges = [one for one in app.log.read(after=before) if isinstance(one.event, PurgeIssued | SegmentsPurged)]
    for one in channels:
        mine = [(type(p.event), p.event.batch) for p in purges if p.envelope.session_id == one.id]
        assert mine == [(PurgeIssued, 0), (SegmentsPurged, 0), (PurgeIssued, 1), (SegmentsPurged, 1)]
        assert len(one.segments()) == 4
    lines, _ = JournalFiles().read(str(tmp_path / "root"))
    assert [line.type for line in lines if line.type == "PurgeIssued"] == ["PurgeIssued"] * 6


@pytest.mark.rule("R7")
def test_what_remains_of_one_batch_is_no_matter_of_those_that_go_with_it(store: Store, tmp_path: Path) -> None:
    """R7."""
    channels = together(App(store), tmp_path / "root", 3)
    denied = {str(path) for path in channels[1].paths(0)}
    app = App(store, FailingRoots(Points(), denied))
    app.retention.run_once()
    assert [one.kinds()[-1] for one in channels] == ["SegmentsPurged", "PurgeFailed", "SegmentsPurged"]
    assert all(path.exists() for path in channels[1].paths(0))


@pytest.mark.rule("R19")
def test_a_refused_purge_is_no_matter_of_those_that_would_go_with_it(app: App, tmp_path: Path) -> None:
    """R19."""
    channels = together(app, tmp_path / "root", 3)
    for path in channels[1].paths(0):
        path.unlink()
    app.retention.run_once()
    assert [one.kinds()[-1] for one in channels] == ["SegmentsPurged", "PurgeRefused", "SegmentsPurged"]


@pytest.mark.rule("R6")
def test_of_batches_that_would_go_together_one_may_have_been_purged_meanwhile(store: Store, tmp_path: Path) -> None:
    """R6: the agenda was stale for one of them, and is made right again; the others go."""
    channels = together(App(store), tmp_path / "root", 3)

    class Overtaken(SegmentRoots):
        done = False

        def compare(self, root: str, channel: str, files: Sequence[FileIdentity]) -> Comparison:
            if not self.done:
                self.done = True
                other = App(store)
                other.purger.issue(channels[2].id, 0)
                other.purger.carry_out(channels[2].id, 0)
            return super().compare(root, channel, files)

    app = App(store, Overtaken())
    app.retention.run_once()
    for one in channels:
        assert one.kinds().count("PurgeIssued") == one.kinds().count("SegmentsPurged") == 1
    assert app.agenda.due(2**62) == []


@pytest.mark.rule("R17")
def test_a_disk_that_stops_in_the_middle_leaves_authorisations_that_are_finished_later(
    store: Store, tmp_path: Path
) -> None:
    """R17: what went before is absent at the next attempt, and told so; each has one outcome in the end."""
    channels = together(App(store), tmp_path / "root", 3)

    class Stopping(SegmentRoots):
        def delete_each(self, root: str, batches: Sequence[ChannelFiles]) -> list[Deletion]:
            channels = [channel for channel, _ in batches]
            if "radio" in channels:
                super().delete_each(root, batches[: channels.index("radio")])
                raise RootUnavailable(root, "it is read-only")
            return super().delete_each(root, batches)

    done = App(store, Stopping()).retention.run_once()
    assert done.paused == {str(tmp_path / "root"): "it is read-only"}
    assert [one.kinds()[-1] for one in channels] == ["SegmentsPurged", "PurgeIssued", "SegmentsPurged"]
    App(store).retention.run_once()
    for one in channels:
        assert one.kinds().count("PurgeIssued") == one.kinds().count("SegmentsPurged") == 1
        assert one.paths(0) == [] or not any(path.exists() for path in one.paths(0))


@pytest.mark.rule("R4")
def test_failures_put_nothing_on_the_agenda(channel: Channel) -> None:
    """R4."""
    channel.open()
    channel.generate(3)
    channel.app.project()
    for _ in range(3):
        channel.start()
        channel.fail()
        assert channel.app.retention.run_once().recorded == ()


@pytest.mark.rule("R15")
def test_it_goes_on_where_it_was(channel: Channel) -> None:
    """R15: the checkpoint is that of the agenda, in another process too."""
    channel.open()
    channel.generate(3)
    channel.app.retention.catch_up()
    assert channel.app.agenda.checkpoint() == channel.app.log.head()
    later = App(channel.app.store)
    assert len(later.retention.run_once().recorded) == 2


def test_an_agenda_that_was_forgotten_is_told_again_by_the_log(channel: Channel) -> None:
    channel.open(policy=RFC8216)
    channel.generate(4)
    before = agenda(channel)
    channel.app.agenda.clear()
    assert agenda(channel) == before != []


@pytest.mark.rule("R13")
def test_what_waits_for_players_has_its_time(channel: Channel) -> None:
    """R13: due when its wait is over, and not a microsecond earlier."""
    channel.open(policy=RFC8216)
    channel.generate(3)
    assert channel.app.retention.run_once().recorded == ()
    due_at = channel.app.clock.time + 10 * SECOND
    assert channel.app.retention.next_due_at() == due_at
    channel.app.clock.time = due_at - 1
    assert channel.app.retention.run_once().recorded == ()
    channel.app.clock.time = due_at
    assert len(channel.app.retention.run_once().recorded) == 2


@pytest.mark.rule("R19")
def test_the_batches_of_a_closed_session_become_due_by_those_of_the_next(channel: Channel) -> None:
    """R19."""
    channel.open()
    channel.generate(2)
    first = channel.id
    channel.app.generation.close(first, "next", Disposition.PURGE, TESTER)
    channel.app.retention.run_once()
    assert [item.due_at for item in channel.app.agenda.due(2**62)] == []
    channel.open()
    counts = []
    for _ in range(3):
        channel.generate(1)
        channel.app.project()
        counts.append(len(channel.app.sessions.load(first).batches))
    assert counts == [1, 0, 0]


@pytest.mark.rule("R19")
@pytest.mark.invariant(10)
def test_a_refused_purge_stays_on_the_agenda_without_a_time(channel: Channel) -> None:
    """R19: it waits for a person; the purges after it have theirs."""
    channel.open()
    channel.generate(3)
    for path in channel.paths(0):
        path.unlink()
    channel.app.retention.run_once()
    assert channel.kinds()[-1] == "PurgeRefused"
    assert agenda(channel) == []
    assert channel.app.retention.next_due_at() is None
    channel.generate(1)
    assert agenda(channel) == [AgendaItem(channel.id, 1, channel.app.clock.time)]


@pytest.mark.rule("R17")
def test_the_doubts_about_a_root_are_passed_over(channel: Channel) -> None:
    """R17: they are no session's, and the agenda moves past them."""
    channel.open()
    channel.generate(3)
    before = agenda(channel)
    line = (channel.root / MARKER).read_bytes()
    (channel.root / MARKER).unlink()
    channel.app.retention.run_once()
    (channel.root / MARKER).write_bytes(line)
    channel.app.roots.require(channel.session.terms.media_root)
    assert agenda(channel) == before != []
    assert channel.app.agenda.checkpoint() == channel.app.log.head()


class TestPausing:
    """R17: a root that does not prove to be ours pauses, and the others go on."""

    @pytest.mark.rule("R17")
    def test_a_suspect_root_pauses_and_says_so_once(self, channel: Channel, tmp_path: Path) -> None:
        """R17."""
        other = Channel(channel.app, tmp_path / "other", "sport")
        for one in (channel, other):
            one.open()
            one.generate(4)
        marker = channel.root / MARKER
        line = marker.read_bytes()
        marker.unlink()
        with structlog.testing.capture_logs() as logs:
            first, second = channel.app.retention.run_once(), channel.app.retention.run_once()
        assert first.paused.keys() == second.paused.keys() == {str(channel.root)}
        assert "marker" in first.paused[str(channel.root)]
        assert [one.envelope.session_id for one in first.recorded] == [other.id] * 4
        assert [one["event"] for one in logs] == ["purging pauses for this media root (R17)"]
        assert len(channel.segments()) == 8

        marker.write_bytes(line)
        third = channel.app.retention.run_once()
        assert (len(third.recorded), third.paused) == (4, {})
        assert len(channel.segments()) == 4

    @pytest.mark.rule("R17", "R10")
    def test_an_authorisation_is_told_also_if_its_root_fails_right_after_it(self, channel: Channel) -> None:
        """R17, R10: it stands in the log, and the next round carries it out."""
        channel.open()
        channel.generate(3)
        head = channel.app.log.head()
        broken = channel.directory / "v" / "v.m3u8"
        broken.unlink()
        broken.mkdir()
        done = channel.app.retention.run_once()
        assert [type(one.event) for one in done.recorded] == [PurgeIssued]
        assert done.paused.keys() == {str(channel.root)}
        assert channel.app.log.head() == head + 1
        broken.rmdir()
        assert len(channel.app.retention.run_once().recorded) == 1


class TestRaces:
    """Two processes over one log and one agenda."""

    @pytest.mark.rule("R6")
    def test_what_another_process_purged_first_is_taken_off_the_agenda(self, channel: Channel) -> None:
        """R6: refused, and no harm done."""

        class LateAgenda(MemoryAgenda):
            """Its items were read, and then the other process acted."""

            def due(self, now: int) -> list[AgendaItem]:
                found = super().due(now)
                for item in found:
                    other.purger.issue(channel.id, item.batch)
                    other.purger.carry_out(channel.id, item.batch)
                return found

        channel.app.store.agenda = late = LateAgenda()
        app, other = App(channel.app.store), App(channel.app.store)
        channel.open()
        channel.generate(4)
        assert app.retention.run_once().recorded == ()
        assert MemoryAgenda.due(late, 2**62) == []
        assert channel.kinds().count("PurgeIssued") == channel.kinds().count("SegmentsPurged") == 2

    def test_the_repair_of_a_stale_item_does_not_hide_what_became_due_meanwhile(self, channel: Channel) -> None:
        """The repair is made of a state; what comes after that state is read again."""

        class RacedAgenda(MemoryAgenda):
            """Between the repair's look at the log and its writing, the other process catches up with a new batch."""

            rivals: ClassVar[list[Callable[[], object]]] = []

            def replace(self, items: Mapping[str, Sequence[AgendaItem]], *, checkpoint: int) -> None:
                if self.rivals:
                    self.rivals.pop()()
                super().replace(items, checkpoint=checkpoint)

        def rival() -> None:
            channel.generate(1)
            other.retention.catch_up()

        channel.app.store.agenda = agenda = RacedAgenda()
        app, other = App(channel.app.store), App(channel.app.store)
        channel.open()
        channel.generate(3)
        app.retention.run_once()
        agenda.replace({channel.id: [AgendaItem(channel.id, 0, 0)]}, checkpoint=agenda.checkpoint())
        agenda.rivals.append(rival)
        app.retention.run_once()
        app.retention.run_once()
        assert channel.kinds().count("SegmentsPurged") == 2


@pytest.mark.rule("R14")
@pytest.mark.invariant(8)
@pytest.mark.parametrize("point", [Points.DELETE, Points.UNLINKED, Points.DELETED])
def test_a_crash_at_any_moment_costs_a_repetition_and_no_deletion(store: Store, tmp_path: Path, point: str) -> None:
    """R14: the outcome is recorded once."""
    points = Points()
    channel = Channel(App(store, FailingRoots(points, set())), tmp_path / "root")
    channel.open()
    channel.generate(3)
    points.armed = point
    with pytest.raises(Killed):
        channel.app.retention.run_once()
    assert channel.kinds()[-1] == "PurgeIssued"
    assert len(App(store).retention.run_once().recorded) == 1
    assert channel.kinds().count("PurgeIssued") == channel.kinds().count("SegmentsPurged") == 1
    assert len(channel.segments()) == 4


def test_a_round_tells_at_which_of_how_many_batches_it_is(channel: Channel) -> None:
    channel.open()
    channel.generate(5)
    heard: list[tuple[str, int, int]] = []
    channel.app.retention.run_once(lambda *progress: heard.append(progress))
    assert heard == [("batches", 1, 3), ("batches", 2, 3), ("batches", 3, 3)]
