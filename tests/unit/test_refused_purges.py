"""R19: a batch of which most is not as it was recorded is not purged until a person has looked and confirmed it."""

from pathlib import Path

import pytest

from domain import retention
from domain.commands import IssuePurge
from domain.decisions import decide
from domain.errors import Refused, RootSuspect
from domain.events import (
    Availability,
    Disposition,
    Event,
    FileIdentity,
    Policy,
    PurgeFailed,
    PurgeIssued,
    PurgeRefused,
    Recorded,
    SegmentsPurged,
)
from domain.segments import identity_of
from tests.builders import (
    NOW,
    SECOND,
    a_session,
    an_id,
    closed,
    generated,
    published,
    purge_refused,
    purging,
    start_batch,
    successor,
)
from tests.memory_app import App, Channel, Store
from tests.property.faults import FailingRoots, Killed, Points

OPERATOR = "cli: somebody"
LATER = NOW + 3600 * SECOND


@pytest.fixture
def due(channel: Channel) -> Channel:
    """Three batches of four files each: batch 0 is due."""
    channel.open(batch_size=4)
    channel.generate(3)
    return channel


def take_away(channel: Channel, files: int, batch: int = 0) -> list[Path]:
    """Move the first so many files of the batch out of the way."""
    paths = channel.paths(batch)[:files]
    for path in paths:
        path.rename(aside(path))
    return paths


def bring_back(paths: list[Path]) -> None:
    for path in paths:
        aside(path).rename(path)


def aside(path: Path) -> Path:
    return path.parents[3] / path.name


def replaced(path: Path) -> FileIdentity:
    """Put somebody else's file in the place of one of ours."""
    path.unlink(missing_ok=True)
    path.write_bytes(b"somebody else's")
    status = path.stat()
    return FileIdentity(file=f"v/{path.name}", size=status.st_size, mtime_ns=status.st_mtime_ns, inode=status.st_ino)


def run(channel: Channel) -> list[Event]:
    """What one round of the projector records."""
    return [one.event for one in channel.app.retention.run_once().recorded]


def refused(channel: Channel) -> PurgeRefused:
    (event,) = run(channel)
    assert isinstance(event, PurgeRefused)
    return event


def confirm(channel: Channel, plan: str | None, batch: int = 0) -> Recorded:
    return channel.app.purger.issue(channel.id, batch, confirmed=plan, actor=OPERATOR)


def refusal(channel: Channel, plan: str | None) -> Refused:
    """Why an order to purge batch 0 is refused; nothing is recorded and nothing goes."""
    head, there = channel.app.log.head(), channel.segments()
    with pytest.raises(Refused) as error:
        confirm(channel, plan)
    assert (channel.app.log.head(), channel.segments()) == (head, there)
    return error.value


class TestRefusing:
    @pytest.mark.rule("R19")
    @pytest.mark.invariant(10)
    def test_a_batch_that_is_mostly_not_there_is_left_as_it_is(self, due: Channel) -> None:
        """R19: it is recorded how it was found, and nothing of it goes."""
        gone = take_away(due, 2)
        other = replaced(due.paths(0)[2])
        event = refused(due)
        assert (event.batch, event.matching) == (0, 1)
        assert event.absent == tuple(f"v/{path.name}" for path in gone)
        assert event.changed == (other,)
        assert len(due.segments()) == 4 * 3 - 2
        assert due.session.batches[0].state == "completed"

    @pytest.mark.rule("R7", "R19")
    def test_a_batch_of_which_half_is_there_goes(self, due: Channel) -> None:
        """R7, R19: a file or two may be missing."""
        take_away(due, 2)
        issued, purged = run(due)
        assert isinstance(issued, PurgeIssued)
        assert isinstance(purged, SegmentsPurged)
        assert (purged.deleted, len(purged.already_absent)) == (2, 2)

    @pytest.mark.rule("R16")
    def test_the_refusal_is_caused_by_what_made_the_batch_due(self, due: Channel) -> None:
        """R16."""
        take_away(due, 4)
        (recorded,) = due.app.retention.run_once().recorded
        completion = due.session.last_completed
        assert completion is not None
        assert recorded.envelope.actor == "retention projector"
        assert recorded.envelope.causation_id == completion.event_id
        assert recorded.envelope.correlation_id == completion.correlation_id

    @pytest.mark.rule("R14", "R19")
    def test_it_is_refused_once_and_not_asked_again(self, due: Channel) -> None:
        """R19: the agenda has no time for it, in no process; R14: nor does a recovery ask."""
        take_away(due, 3)
        refused(due)
        later = App(due.app.store)
        due.app.clock.advance(24 * 3600)
        for app in (due.app, later):
            assert app.retention.run_once().recorded == ()
            assert app.retention.next_due_at() is None
        assert later.recoverer.recover().recorded == ()
        due.app.agenda.clear()
        assert App(due.app.store).retention.run_once().recorded == ()

    @pytest.mark.rule("R19")
    @pytest.mark.invariant(10)
    def test_files_that_come_back_do_not_make_it_go_by_itself(self, due: Channel) -> None:
        """R19: a disk that comes and goes is a matter for a person."""
        gone = take_away(due, 3)
        refused(due)
        bring_back(gone)
        assert run(due) == []
        assert refusal(due, None).rule == "R19"

    @pytest.mark.rule("R3", "R19")
    def test_the_other_batches_go_on(self, due: Channel) -> None:
        """R3: generation and the purges of the batches after it."""
        take_away(due, 3)
        refused(due)
        due.generate(2)
        assert [type(event) for event in run(due)] == [PurgeIssued, SegmentsPurged] * 2
        assert due.session.batches.keys() == {0, 3, 4}

    @pytest.mark.rule("R7")
    def test_files_that_cannot_be_looked_at_are_not_taken_for_gone(self, channel: Channel) -> None:
        """R7: here a link is in the place of their directory; that is an outcome of the purge, which is tried again."""
        channel.open(batch_size=4, playlist_window=0)
        channel.generate(3)
        directory = channel.directory / "v"
        directory.rename(channel.directory / "moved")
        directory.symlink_to("moved")
        issued, failed = run(channel)
        assert isinstance(issued, PurgeIssued)
        assert isinstance(failed, PurgeFailed)
        assert [file.errno for file in failed.remaining] == ["ENOTDIR"] * 4

    @pytest.mark.rule("R13", "R19")
    def test_nobody_looks_before_it_is_due(self, channel: Channel) -> None:
        """R13: the look is taken when the batch would go, and the wait is not lengthened by it."""
        channel.open(batch_size=4, playlist_window=8, policy=Policy(availability=Availability.RFC8216))
        channel.generate(3)
        take_away(channel, 4)
        assert run(channel) == []
        assert refusal(channel, None).rule == "R13"
        channel.app.clock.advance(8 * 2 + 2)
        refused(channel)


class TestAsking:
    @pytest.mark.rule("R18", "R19")
    def test_the_plan_prints_the_hash_and_what_to_do(self, due: Channel) -> None:
        """R18, R19."""
        take_away(due, 3)
        event = refused(due)
        (row,) = due.app.queries.plan([due.id])
        assert (row.batch, row.plan_hash, row.due_at) == (0, event.plan, NOW)
        assert row.because is not None
        assert row.because.rule == "R3"
        assert row.blocked_by == (
            f"R19: only 1 of its 4 files are what was recorded; look, then: trailkeep purge --confirm {event.plan}"
        )

    @pytest.mark.rule("R18")
    def test_before_it_was_refused_there_is_no_plan_to_confirm(self, due: Channel) -> None:
        """R18: the plan is of what is recorded, and looks at no file."""
        take_away(due, 3)
        (row,) = due.app.queries.plan([due.id])
        assert (row.plan_hash, row.blocked_by) == (None, None)

    @pytest.mark.rule("R17", "R18")
    def test_on_a_suspect_root_the_plan_still_has_its_hash(self, due: Channel) -> None:
        take_away(due, 3)
        event = refused(due)
        (due.root / ".trailkeep-root").unlink()
        (row,) = due.app.queries.plan([due.id])
        assert row.plan_hash == event.plan

    @pytest.mark.rule("R18", "R19")
    def test_a_file_that_is_left_of_it_says_what_it_waits_for(self, due: Channel) -> None:
        """R18, R19."""
        take_away(due, 3)
        event = refused(due)
        due.app.project()
        told = due.app.explainer.explain(str(due.paths(0)[3]))
        assert told.status == "kept"
        assert event.plan in told.because


class TestConfirming:
    @pytest.mark.rule("R11", "R18")
    @pytest.mark.invariant(5, 10)
    def test_what_was_confirmed_goes_and_nothing_else(self, due: Channel) -> None:
        """R11, R18: only what still is what was recorded; the rest is told as it is."""
        take_away(due, 2)
        other = replaced(due.paths(0)[2])
        kept = due.paths(1) + due.paths(2)
        event = refused(due)
        recorded = confirm(due, event.plan)
        issued = recorded.event
        assert isinstance(issued, PurgeIssued)
        assert (issued.batch, issued.files, issued.confirmed) == (0, 4, event.plan)
        assert issued.because.rule == "R3"
        assert recorded.envelope.actor == OPERATOR
        purged = due.app.purger.carry_out(due.id, 0)[0].event
        assert isinstance(purged, SegmentsPurged)
        assert (purged.deleted, purged.already_absent, purged.superseded) == (1, event.absent, (other,))
        assert [path.exists() for path in due.paths(0)] == [False, False, True, False]
        assert due.paths(0)[2].read_bytes() == b"somebody else's"
        assert all(path.exists() for path in kept)

    @pytest.mark.rule("R18", "R19")
    @pytest.mark.invariant(10)
    def test_another_plan_is_refused(self, due: Channel) -> None:
        """R18: it names the plan; R19: and without one the batch waits."""
        take_away(due, 3)
        plan = refused(due).plan
        wrong = refusal(due, "0" * 64)
        assert (wrong.rule, wrong.field, wrong.value) == ("R18", "plan", "0" * 64)
        none = refusal(due, None)
        assert none.rule == "R19"
        assert plan in none.reason

    @pytest.mark.rule("R18")
    def test_a_batch_that_needs_no_confirmation_takes_none(self, due: Channel) -> None:
        """R18: what is confirmed was never asked for."""
        assert refusal(due, "0" * 64).rule == "R18"

    @pytest.mark.rule("R6", "R18")
    def test_a_plan_is_used_once(self, due: Channel) -> None:
        """R6, R18: a batch is purged once."""
        take_away(due, 3)
        plan = refused(due).plan
        confirm(due, plan)
        assert refusal(due, plan).rule == "R6"
        due.app.purger.carry_out(due.id, 0)
        assert refusal(due, plan).rule == "R6"

    @pytest.mark.rule("R18")
    @pytest.mark.invariant(10)
    @pytest.mark.parametrize("change", ["one file less", "another file", "one file more", "the same file anew"])
    def test_a_disk_that_changed_since_has_a_new_plan(self, due: Channel, change: str) -> None:
        """R18: what a person has not looked at does not happen."""
        gone = take_away(due, 3)
        old = refused(due).plan
        last = due.paths(0)[3]
        if change == "one file less":
            last.unlink()
        elif change == "another file":
            replaced(last)
        elif change == "one file more":
            replaced(gone[0])
        else:
            content = last.read_bytes()
            last.rename(aside(last))
            last.write_bytes(content)
        there = due.segments()
        again = confirm(due, old).event
        assert isinstance(again, PurgeRefused)
        assert again.plan != old
        assert due.app.purger.carry_out(due.id, 0) == ()
        assert due.segments() == there
        assert refusal(due, old).rule == "R18"
        assert due.app.queries.plan([due.id])[0].plan_hash == again.plan
        assert isinstance(confirm(due, again.plan).event, PurgeIssued)

    @pytest.mark.rule("R18")
    def test_when_the_files_are_back_the_confirmation_holds(self, due: Channel) -> None:
        """R18, R19: then nothing is at stake that would not go by itself; all of them go."""
        gone = take_away(due, 3)
        plan = refused(due).plan
        bring_back(gone)
        issued = confirm(due, plan).event
        assert isinstance(issued, PurgeIssued)
        assert issued.confirmed == plan
        purged = due.app.purger.carry_out(due.id, 0)[0].event
        assert isinstance(purged, SegmentsPurged)
        assert (purged.deleted, purged.already_absent) == (4, ())

    @pytest.mark.rule("R17")
    def test_a_confirmation_is_no_trust_in_the_root(self, due: Channel) -> None:
        """R17: absent is not deleted, whatever was confirmed."""
        take_away(due, 3)
        plan = refused(due).plan
        (due.root / ".trailkeep-root").unlink()
        with pytest.raises(RootSuspect):
            confirm(due, plan)
        assert due.kinds()[-1] == "PurgeRefused"

    @pytest.mark.rule("R6")
    @pytest.mark.invariant(8)
    @pytest.mark.parametrize("point", [Points.DELETE, Points.UNLINKED, Points.DELETED])
    def test_a_confirmed_purge_that_died_is_finished_without_asking_again(
        self, store: Store, tmp_path: Path, point: str
    ) -> None:
        """R6: the authorisation stands in the log."""
        points = Points()
        channel = Channel(App(store, FailingRoots(points, set())), tmp_path / "root")
        channel.open(batch_size=4)
        channel.generate(3)
        take_away(channel, 3)
        confirm(channel, refused(channel).plan)
        points.armed = point
        with pytest.raises(Killed):
            channel.app.purger.carry_out(channel.id, 0)
        (purged,) = App(store).retention.run_once().recorded
        assert isinstance(purged.event, SegmentsPurged)
        assert not any(path.exists() for path in channel.paths(0))


class TestNames:
    """R5: a batch that waits for a confirmation still has its names."""

    @pytest.mark.rule("R5", "R19")
    @pytest.mark.invariant(12)
    def test_generation_stops_where_they_are_needed_and_goes_on_after_the_confirmation(self, channel: Channel) -> None:
        """R5, R19: with a reason that says what to do."""
        channel.open(batch_size=4, wrap=12)
        channel.generate(3)
        take_away(channel, 3)
        plan = refused(channel).plan
        with pytest.raises(Refused) as error:
            channel.start()
        assert (error.value.rule, error.value.field, error.value.value) == ("R5", "batch", 3)
        assert error.value.reason == (
            "v/v_segment_000.ts is still in use by batch 0, which waits for somebody to confirm its purge (R19), "
            f"plan {plan}"
        )
        confirm(channel, plan)
        channel.app.purger.carry_out(channel.id, 0)
        channel.generate(1)
        assert [type(event) for event in run(channel)] == [PurgeIssued, SegmentsPurged]

    @pytest.mark.rule("R5")
    @pytest.mark.invariant(12)
    def test_they_are_in_use_until_the_outcome(self) -> None:
        """R5: refused, authorised, purged."""
        session = generated(a_session(wrap=6), 3)
        for state in (purge_refused(session, 0), purging(purge_refused(session, 0), 0)):
            with pytest.raises(Refused, match="batch 0"):
                decide(state, start_batch())


class TestDeciding:
    """The decision alone: what was found and what is confirmed arrive inside the command."""

    def order(self, **fields: object) -> IssuePurge:
        return IssuePurge(**{"batch": 0, "purge_id": an_id(77), "now": LATER, **fields})  # type: ignore[arg-type]

    @pytest.mark.rule("R18", "R19")
    @pytest.mark.invariant(10)
    @pytest.mark.parametrize("few", [False, True])
    @pytest.mark.parametrize("waiting", [False, True])
    @pytest.mark.parametrize("confirmed", ["nothing", "what it waits for", "something else"])
    def test_every_case(self, few: bool, waiting: bool, confirmed: str) -> None:
        """R18, R19: what is confirmed has to be what it waits for; then most of it must be there, or be the plan."""
        session = generated(a_session(), 3)
        absent = tuple(identity_of(file).file for file in session.batches[0].files)
        (refused,) = decide(session, self.order(absent=absent))
        assert isinstance(refused, PurgeRefused)
        if waiting:
            session = purge_refused(session, 0, plan=refused.plan)
        plan = {"nothing": None, "what it waits for": refused.plan, "something else": "cd" * 32}[confirmed]
        command = self.order(absent=absent if few else (), confirmed=plan)
        fits = confirmed == ("what it waits for" if waiting else "nothing")
        if not fits:
            with pytest.raises(Refused) as error:
                decide(session, command)
            assert error.value.rule == ("R19" if plan is None else "R18")
        elif few and not waiting:
            assert decide(session, command) == (refused,)
        else:
            (issued,) = decide(session, command)
            assert isinstance(issued, PurgeIssued)
            assert issued.confirmed == plan

    @pytest.mark.rule("R3", "R19")
    def test_a_batch_that_is_not_due_is_not_asked_about(self) -> None:
        """R3: whatever is left of it."""
        with pytest.raises(Refused) as error:
            decide(generated(a_session(), 3), self.order(batch=1, absent=("v/v_segment_002.ts",) * 2))
        assert error.value.rule == "R3"

    @pytest.mark.rule("R13", "R19")
    def test_what_else_it_waits_for_is_told_first(self) -> None:
        """R13, R19: a confirmation would be refused before that."""
        policy = Policy(availability=Availability.RFC8216)
        session = purge_refused(generated(a_session(policy=policy), 3), 0)
        (due,) = retention.due(published(session, 0, 5))
        assert (due.waits_for, due.plan, due.due_at) == (retention.LISTED, None, None)

    @pytest.mark.rule("R19")
    def test_a_batch_that_a_later_session_made_due_is_refused_and_confirmed_alike(self) -> None:
        """R19: the reason is kept through the refusal."""
        session = closed(generated(a_session(), 2), Disposition.PURGE)
        absent = ("v/v_segment_000.ts", "v/v_segment_001.ts")
        (refused,) = decide(session, self.order(absent=absent, successor=successor(2)))
        assert isinstance(refused, PurgeRefused)
        session = purge_refused(session, 0, plan=refused.plan)
        due = retention.due(session, successor(2))[0]
        assert (due.plan, due.because and due.because.rule) == (refused.plan, "R19")
        (issued,) = decide(session, self.order(absent=absent, successor=successor(2), confirmed=refused.plan))
        assert isinstance(issued, PurgeIssued)
        assert issued.because.rule == "R19"
