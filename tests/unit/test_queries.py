"""What operators ask: the plan, the history, and why a file is there or gone."""

from pathlib import Path

import pytest

from domain.events import Availability, Because, Disposition, Policy
from tests.builders import NOW, SECOND
from tests.memory_app import TESTER, App, Channel, Store
from tests.property.faults import FailingRoots, Killed, Points

MARKER = ".trailkeep-root"
RFC8216 = Policy(availability=Availability.RFC8216)


class TestPlan:
    @pytest.mark.rule("R18")
    def test_what_is_due_is_listed_with_its_reason_and_size(self, channel: Channel) -> None:
        """R18: oldest first; and it touches nothing."""
        channel.open(renditions=("v", "a"))
        channel.generate(4)
        head, there = channel.app.log.head(), channel.segments()
        rows = channel.app.queries.plan([channel.id])
        assert [(row.batch, row.files, row.due_at, row.blocked_by) for row in rows] == [
            (0, 4, NOW, None),
            (1, 4, NOW, None),
        ]
        completion = channel.app.sessions.load(channel.id).batches[2].completed
        assert completion is not None
        assert rows[0].because == Because(rule="R3", completed_batch=2, completed_position=completion.position)
        assert rows[0].bytes == sum(path.stat().st_size for path in channel.paths(0))
        assert (rows[0].session_id, rows[0].channel) == (channel.id, "news")
        assert (channel.app.log.head(), channel.segments()) == (head, there)

    @pytest.mark.rule("R18")
    def test_the_run_does_what_the_plan_lists(self, channel: Channel) -> None:
        """R18."""
        channel.open()
        channel.generate(5)
        planned = [row.batch for row in channel.app.queries.plan([channel.id])]
        done = channel.app.retention.run_once().recorded
        assert planned == [0, 1, 2] == sorted({one.event.batch for one in done})  # type: ignore[union-attr]
        assert channel.app.queries.plan([channel.id]) == []

    @pytest.mark.rule("R13", "R18")
    def test_what_will_be_due_has_its_time_or_what_it_waits_for(self, channel: Channel) -> None:
        """R13, R18."""
        channel.open(policy=RFC8216, playlist_window=5)
        channel.generate(4)
        rows = channel.app.queries.plan([channel.id])
        assert [(row.batch, row.due_at, row.blocked_by) for row in rows] == [
            (0, NOW + 12 * SECOND, None),
            (1, None, "availability: still listed in a playlist"),
        ]

    @pytest.mark.rule("R17", "R18")
    def test_a_suspect_root_blocks_all_of_it(self, channel: Channel) -> None:
        """R17, R18."""
        channel.open()
        channel.generate(3)
        (channel.root / MARKER).unlink()
        (row,) = channel.app.queries.plan([channel.id])
        assert row.blocked_by is not None
        assert row.blocked_by.startswith("R17: its marker file is missing")
        assert channel.app.retention.run_once().recorded == ()

    @pytest.mark.rule("R18", "R19")
    def test_what_waits_for_newer_batches_says_so(self, channel: Channel) -> None:
        """R18, R19."""
        channel.open()
        channel.generate(2)
        channel.app.generation.close(channel.id, "the end", Disposition.PURGE, TESTER)
        rows = channel.app.queries.plan([channel.id])
        assert [(row.batch, row.due_at, row.because) for row in rows] == [(0, None, None), (1, None, None)]
        assert all(row.blocked_by and "newest two" in row.blocked_by for row in rows)

    @pytest.mark.rule("R7", "R18")
    def test_a_purge_that_is_not_finished_is_listed_with_what_is_left(self, store: Store, tmp_path: Path) -> None:
        """R7, R18: at the time of its next attempt."""
        denied: set[str] = set()
        channel = Channel(App(store, FailingRoots(Points(), denied)), tmp_path / "root")
        channel.open()
        channel.generate(3)
        stuck = channel.paths(0)[1]
        denied.add(str(stuck))
        channel.app.project()
        (row,) = channel.app.queries.plan([channel.id])
        assert (row.batch, row.files, row.bytes) == (0, 1, stuck.stat().st_size)
        assert (row.due_at, row.blocked_by) == (NOW + SECOND, None)
        assert row.because is not None
        assert row.because.rule == "R3"

    @pytest.mark.rule("R14", "R18")
    def test_a_purge_that_died_is_due_since_it_was_authorised(self, store: Store, tmp_path: Path) -> None:
        """R14, R18: a run does it at once."""
        points = Points()
        channel = Channel(App(store, FailingRoots(points, set())), tmp_path / "root")
        channel.open()
        channel.generate(3)
        points.armed = Points.DELETE
        with pytest.raises(Killed):
            channel.app.retention.run_once()
        store.clock.advance(9)
        (row,) = App(store).queries.plan([channel.id])
        assert (row.batch, row.due_at, row.files) == (0, NOW, 2)

    def test_only_sessions_with_something_due_are_planned(self, channel: Channel) -> None:
        channel.open()
        channel.generate(2)
        channel.app.read_model_projector.catch_up()
        channel.app.retention.catch_up()
        assert channel.app.queries.planned_sessions() == []
        channel.generate(1)
        channel.app.read_model_projector.catch_up()
        assert channel.app.queries.planned_sessions() == [channel.id], "by the log: the agenda is behind"
        channel.app.retention.catch_up()
        assert channel.app.queries.planned_sessions() == [channel.id], "by the agenda"
        channel.app.project()
        assert channel.app.queries.plan(channel.app.queries.planned_sessions()) == []


class TestHistory:
    def test_every_batch_is_told_also_when_it_is_gone(self, channel: Channel) -> None:
        channel.open()
        channel.generate(3)
        channel.app.project()
        rows = channel.app.queries.history(channel.id)
        assert [(row.batch, row.state, row.attempt, row.files) for row in rows] == [
            (0, "purged", 1, 2),
            (1, "completed", 1, 2),
            (2, "completed", 1, 2),
        ]
        assert rows[0].because is not None
        assert (rows[0].because.rule, rows[0].because.completed_batch) == ("R3", 2)
        assert (rows[0].purged_at, rows[0].outcome, rows[0].held_by) == (NOW, "2 deleted", ())
        assert (rows[1].because, rows[1].purged_at) == (None, None)

    def test_the_disk_as_it_was_is_told_by_the_log(self, channel: Channel) -> None:
        """Batch N completes at 10 N + 5 s, and what it makes due goes 2 s later."""
        channel.open()
        clock = channel.app.clock
        for number in range(4):
            clock.time = NOW + (10 * number + 1) * SECOND
            channel.start()
            clock.time = NOW + (10 * number + 5) * SECOND
            channel.complete()
            clock.advance(2)
            channel.app.project()
        states = {
            second: [
                (row.batch, row.state) for row in channel.app.queries.history_at(channel.id, NOW + second * SECOND)
            ]
            for second in (0, 1, 24, 25, 26, 27, 60)
        }
        assert states == {
            0: [],
            1: [(0, "generating")],
            24: [(0, "completed"), (1, "completed"), (2, "generating")],
            25: [(0, "completed"), (1, "completed"), (2, "completed")],
            26: [(0, "completed"), (1, "completed"), (2, "completed")],
            27: [(1, "completed"), (2, "completed")],
            60: [(2, "completed"), (3, "completed")],
        }

    def test_a_clock_that_was_set_back_hides_nothing_that_happened_after(self, channel: Channel) -> None:
        """The order is that of the log: a moment that came twice means the later time."""
        channel.open()
        clock = channel.app.clock
        for second in (10, 20, 12, 14):
            clock.time = NOW + second * SECOND
            channel.generate(1)
        clock.time = NOW + 15 * SECOND
        channel.app.project()

        def batches(second: int) -> list[int]:
            return [row.batch for row in channel.app.queries.history_at(channel.id, NOW + second * SECOND)]

        assert batches(9) == []
        assert batches(10) == batches(11) == [0], "the clock had not been set back yet"
        assert batches(12) == batches(13) == [0, 1, 2], "batch 1 is there, though its time is later"
        assert batches(14) == [0, 1, 2, 3]
        assert batches(15) == batches(20) == [2, 3]
