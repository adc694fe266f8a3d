"""R13: the wait is measured by the machine's uptime; what the wall clock is set to changes nothing (ADR 0013)."""

from pathlib import Path

import pytest

from domain import retention
from domain.batch import Moment
from domain.commands import IssuePurge
from domain.decisions import decide
from domain.errors import Refused
from domain.events import Availability, Disposition, Policy, PurgeFailed, Uptime
from entrypoints.world import SystemClock
from tests.builders import NOW, SECOND, an_id
from tests.memory_app import TESTER, App, Channel, Store
from tests.property.faults import FailingRoots, Points

RFC8216 = Policy(availability=Availability.RFC8216)
YEARS = 10 * 365 * 24 * 3600
JUMPS = (-YEARS, -3, 3, YEARS)


def up(seconds: float, boot: str = "this", host: str = "here", at: int = NOW) -> Moment:
    return Moment(at, Uptime(boot=boot, us=round(seconds * SECOND), host=host))


def purged(channel: Channel) -> int:
    channel.app.project()
    return channel.kinds().count("SegmentsPurged")


@pytest.fixture
def waiting(channel: Channel) -> Channel:
    """Batch 0 has left the playlist now, and waits for 2 s of its own and 8 s of playlist."""
    channel.open(policy=RFC8216)
    channel.generate(3)
    assert purged(channel) == 0
    return channel


class TestMoments:
    """How much time has passed, at least."""

    def test_within_one_run_of_the_machine_it_is_the_difference_of_the_uptimes(self) -> None:
        assert up(75).since(up(70)) == 5 * SECOND

    def test_after_a_restart_it_is_what_passed_since_the_restart(self) -> None:
        """Also where the uptime is larger than it was then."""
        assert up(5, "next").since(up(70)) == 5 * SECOND
        assert up(75, "next").since(up(70)) == 75 * SECOND

    @pytest.mark.rule("R13")
    def test_on_another_machine_it_is_what_its_wall_clock_says_and_no_more_than_it_has_been_running(self) -> None:
        """R13: a machine that has been up for a year has not seen a year pass since somebody else's playlist."""
        assert up(365 * 86400, "that", "there", NOW + 3 * SECOND).since(up(70)) == 3 * SECOND
        assert up(2, "that", "there", NOW + 3 * SECOND).since(up(70)) == 2 * SECOND

    def test_where_an_uptime_is_not_known_it_is_the_difference_of_the_wall_clocks(self) -> None:
        assert Moment(NOW + 7).since(up(70)) == 7
        assert up(70).since(Moment(NOW - 7)) == 7

    def test_the_uptime_of_this_machine_goes_on_and_is_that_of_its_kernel(self) -> None:
        first, second = SystemClock().uptime(), SystemClock().uptime()
        assert first.boot == second.boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        assert 0 < first.us <= second.us
        kernel_s = float(Path("/proc/uptime").read_text().split()[0])
        assert second.us <= (kernel_s + 0.01) * SECOND + SystemClock().uptime().us - first.us


@pytest.mark.rule("R13")
@pytest.mark.parametrize("seconds", JUMPS)
def test_a_clock_that_is_set_neither_ends_a_wait_nor_prolongs_it(waiting: Channel, seconds: float) -> None:
    """R13: to the microsecond, by the time that really passed."""
    clock = waiting.app.clock
    clock.advance(4)
    clock.set_by(seconds)
    assert purged(waiting) == 0
    clock.advance(6 - 1e-6)
    assert purged(waiting) == 0
    clock.advance(1e-6)
    assert purged(waiting) == 1


@pytest.mark.rule("R13")
@pytest.mark.parametrize("seconds", JUMPS)
def test_another_process_measures_the_same_wait(waiting: Channel, seconds: float) -> None:
    """R13: one that was started after the clock was set, for a single round."""
    clock = waiting.app.clock
    clock.set_by(seconds)
    for passed, expected in ((10 - 1e-6, 0), (1e-6, 1)):
        clock.advance(passed)
        assert purged(Channel(App(waiting.app.store), waiting.root)) == expected


@pytest.mark.rule("R13")
def test_after_a_restart_of_the_machine_the_wait_begins_again_with_it(waiting: Channel) -> None:
    """R13: how long it was off, no clock of ours has measured."""
    waiting.app.clock.advance(9)
    waiting.app.clock.reboot(seconds_down=3600)
    again = Channel(App(waiting.app.store), waiting.root)
    assert purged(again) == 0
    again.app.clock.advance(10 - 1e-6)
    assert purged(again) == 0
    again.app.clock.advance(1e-6)
    assert purged(again) == 1


@pytest.mark.rule("R13", "R18")
@pytest.mark.parametrize("seconds", JUMPS)
def test_the_plan_has_the_time_by_the_clock_as_it_is_set_now(waiting: Channel, seconds: float) -> None:
    """R13, R18."""
    clock = waiting.app.clock
    clock.advance(4)
    clock.set_by(seconds)
    (row,) = waiting.app.queries.plan([waiting.id])
    assert row.due_at == clock.time + 6 * SECOND
    assert waiting.app.retention.run_once().recorded == ()
    assert waiting.app.retention.next_due_at() == row.due_at, "the agenda was made again"


@pytest.mark.rule("R13")
def test_a_purge_too_early_is_refused_by_the_measured_time_whatever_the_agenda_says(waiting: Channel) -> None:
    """R13: the projector looked before the clock was set."""
    session, clock = waiting.session, waiting.app.clock
    early = IssuePurge(batch=0, purge_id=an_id(1), now=NOW + YEARS * SECOND, uptime=clock.uptime())
    with pytest.raises(Refused) as error:
        decide(session, early)
    assert (error.value.rule, error.value.reason) == ("R13", "it is due in 10.000 s")
    clock.advance(10)
    late = IssuePurge(batch=0, purge_id=an_id(1), now=NOW - YEARS * SECOND, uptime=clock.uptime())
    assert len(decide(session, late)) == 1


@pytest.mark.rule("R13")
@pytest.mark.parametrize("seconds", JUMPS)
def test_without_a_wait_no_clock_is_asked(channel: Channel, seconds: float) -> None:
    """R13: with availability off a batch goes when it is due."""
    channel.open()
    channel.generate(3)
    channel.app.clock.set_by(seconds)
    (due,) = retention.due(channel.session)
    assert due.by(Moment(channel.app.clock.time)) == min(NOW, channel.app.clock.time)
    (row,) = channel.app.queries.plan([channel.id])
    assert row.due_at is not None
    assert row.due_at <= channel.app.clock.time
    assert purged(channel) == 1


@pytest.mark.rule("R13", "R19")
@pytest.mark.parametrize("seconds", JUMPS)
def test_the_last_batches_of_a_session_are_measured_from_the_playlist_that_replaced_theirs(
    waiting: Channel, seconds: float
) -> None:
    """R13, R19: the one of the session after it."""
    first, clock = waiting.id, waiting.app.clock
    clock.advance(1)
    waiting.app.generation.close(first, "next", Disposition.PURGE, TESTER)
    waiting.open(policy=RFC8216)
    waiting.generate(1)
    clock.set_by(seconds)
    waiting.generate(1)
    clock.advance(10 - 1e-6)
    waiting.app.project()
    assert sorted(waiting.app.sessions.load(first).batches) == [1, 2]
    clock.advance(1e-6)
    waiting.app.project()
    assert sorted(waiting.app.sessions.load(first).batches) == []


@pytest.mark.rule("R7")
def test_a_clock_that_is_set_back_does_not_keep_a_purge_from_being_tried_again(store: Store, tmp_path: Path) -> None:
    """R7: no back-off is longer than five minutes."""
    denied: set[str] = set()
    channel = Channel(App(store, FailingRoots(Points(), denied)), tmp_path / "root")
    channel.open()
    channel.generate(3)
    denied.add(str(channel.paths(0)[0]))
    channel.app.project()
    assert isinstance(channel.events()[-1], PurgeFailed)
    denied.clear()
    store.clock.set_by(-YEARS)
    (row,) = channel.app.queries.plan([channel.id])
    assert row.due_at == store.clock.time
    assert purged(channel) == 1


@pytest.mark.rule("R13")
def test_a_playlist_that_was_perhaps_written_before_a_loss_was_noted_counts(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R13: what is published after the loss is shorter; viewers may have the longer one."""
    channel.open(policy=RFC8216, batch_size=2, playlist_window=5)
    channel.generate(2)
    assert channel.session.batches[0].longest_ms == 4 * 2000
    with monkeypatch.context() as patch:
        patch.setattr(channel.app.publisher, "publish", lambda *_: ())
        channel.generate()
    channel.paths(2)[0].unlink()
    channel.app.losses.note("news", "a bad disk", TESTER)
    assert channel.listed() == ["v_segment_005.ts"]
    left = channel.session.batches[0]
    assert (left.listed, left.longest_ms) == (False, 5 * 2000)
