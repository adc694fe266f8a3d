"""Claims: who works on what where several hosts share a log, and whose outcomes count."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from application.claims import Claims, of_root, of_session
from domain.errors import HeldElsewhere, LeaseLost
from entrypoints.heartbeat import BEATS
from entrypoints.world import Lives
from persistence.memory_leases import MemoryLeases
from tests.builders import FakeClock
from tests.memory_app import App, Channel, Store

LEASE_S = 10.0


class Host:
    """A machine with a clock of its own and a process that has claims."""

    def __init__(self, leases: MemoryLeases | None, name: str) -> None:
        self.clock = FakeClock()
        self.claims = Claims(leases, self.clock, f"{name}:1", name, LEASE_S)


@pytest.fixture
def database() -> FakeClock:
    return FakeClock()


@pytest.fixture
def leases(database: FakeClock) -> MemoryLeases:
    return MemoryLeases(database.now)


@pytest.fixture
def here(leases: MemoryLeases) -> Host:
    return Host(leases, "here")


@pytest.fixture
def there(leases: MemoryLeases) -> Host:
    return Host(leases, "there")


def test_what_one_has_another_cannot_claim(here: Host, there: Host) -> None:
    here.claims.claim("root:1")
    with pytest.raises(HeldElsewhere, match="'root:1' is held by worker here:1"):
        there.claims.claim("root:1")
    there.claims.claim("root:2")
    assert (here.claims.holds("root:1"), there.claims.holds("root:1"), there.claims.holds("root:2")) == (
        True,
        False,
        True,
    )


@pytest.mark.parametrize("stops_after_renewals", [0, 1, 7])
@pytest.mark.parametrize("offset", [0.0, 0.1, 0.5, 0.99])
def test_a_standby_takes_over_in_less_than_two_lease_times(
    here: Host, there: Host, database: FakeClock, stops_after_renewals: int, offset: float
) -> None:
    """Both look as often as they do in `Worker`: the holder renews, and the standby asks, `BEATS` times a lease."""
    beat = LEASE_S / BEATS
    here.claims.claim("root:1")
    for _ in range(stops_after_renewals):
        database.advance(beat)
        here.clock.advance(beat)
        here.claims.renew()
    stopped, waited = database.now(), offset * beat
    database.advance(waited)
    while True:
        try:
            there.claims.claim("root:1")
        except HeldElsewhere:
            database.advance(beat)
        else:
            break
    assert LEASE_S * 1e6 <= database.now() - stopped < 2 * LEASE_S * 1e6


def test_what_ran_out_goes_to_who_comes_next_in_another_epoch(
    here: Host, there: Host, leases: MemoryLeases, database: FakeClock
) -> None:
    here.claims.claim("root:1")
    database.advance(LEASE_S)
    there.claims.claim("root:1")
    found = leases.find("root:1")
    assert found
    assert (found.owner, found.host, found.epoch) == ("there:1", "there", 2)


def test_nobody_waits_for_the_lease_of_a_process_that_has_ended(leases: MemoryLeases, there: Host) -> None:
    there.claims.claim("root:1")
    dead = {"there:1"}
    third = Claims(leases, FakeClock(), "there:2", "there", LEASE_S, dead.__contains__)
    third.claim("root:1")
    found = leases.find("root:1")
    assert found
    assert (found.owner, found.epoch) == ("there:2", 2)
    fourth = Claims(leases, FakeClock(), "there:3", "there", LEASE_S, dead.__contains__)
    with pytest.raises(HeldElsewhere):
        fourth.claim("root:1")


class TestLives:
    """Which processes have ended, as far as that can be known here."""

    def test_of_a_process_of_this_machine_it_is_known(self) -> None:
        lives = Lives()
        mine = lives.name("once")
        with subprocess.Popen([sys.executable, "-c", ""]) as process:
            process.wait()
        its = mine.replace(f":{os.getpid()}:", f":{process.pid}:")
        assert (lives.gone(mine), lives.gone(its)) == (False, True)

    def test_of_another_machine_or_container_it_is_not(self) -> None:
        lives = Lives()
        host, _, here, once = lives.name("once").rsplit(":", 3)
        elsewhere = "0" * len(here)
        assert not lives.gone(f"{host}:999999999:{elsewhere}:{once}")
        assert lives.gone(f"{host}:999999999:{here}:{once}")
        assert not lives.gone("nonsense")


def test_what_is_renewed_is_kept(here: Host, there: Host, database: FakeClock) -> None:
    here.claims.claim("root:1")
    for _ in range(5):
        for clock in (database, here.clock):
            clock.advance(LEASE_S / 3)
        here.claims.renew()
    assert here.claims.holds("root:1")
    with pytest.raises(HeldElsewhere):
        there.claims.claim("root:1")


def test_by_its_own_clock_a_process_knows_that_it_may_not_go_on(here: Host) -> None:
    """It need not reach the database for that, which may be what it is cut off from."""
    here.claims.claim("root:1")
    here.clock.advance(LEASE_S - 0.001)
    assert here.claims.holds("root:1")
    here.clock.advance(0.001)
    assert not here.claims.holds("root:1")


def test_a_wall_clock_that_is_set_prolongs_no_claim(here: Host) -> None:
    here.claims.claim("root:1")
    here.clock.set_by(-3600)
    here.clock.advance(LEASE_S)
    assert not here.claims.holds("root:1")


def test_what_was_taken_over_is_not_renewed(here: Host, there: Host, database: FakeClock) -> None:
    here.claims.claim("root:1")
    here.claims.claim("root:2")
    database.advance(LEASE_S)
    there.claims.claim("root:1")
    here.claims.renew()
    assert (here.claims.holds("root:1"), here.claims.holds("root:2")) == (False, True)


def test_what_is_released_can_be_had_at_once(here: Host, there: Host) -> None:
    here.claims.claim("root:1")
    here.claims.claim("root:2")
    here.claims.release("root:1")
    there.claims.claim("root:1")
    assert here.claims.holds("root:2")
    here.claims.release()
    there.claims.claim("root:2")


def test_a_release_that_comes_late_takes_nothing_from_the_next(here: Host, there: Host, database: FakeClock) -> None:
    here.claims.claim("root:1")
    database.advance(LEASE_S)
    there.claims.claim("root:1")
    here.claims.release()
    with pytest.raises(HeldElsewhere):
        Host(there.claims._leases, "third").claims.claim("root:1")  # type: ignore[arg-type]


def test_inside_a_block_it_is_held_and_after_it_only_if_it_was_before(here: Host) -> None:
    with here.claims.holding("root:1"):
        assert here.claims.holds("root:1")
        with here.claims.holding("root:1"):
            pass
        assert here.claims.holds("root:1")
    assert not here.claims.holds("root:1")


def test_only_who_had_it_says_that_it_is_gone(here: Host, there: Host) -> None:
    assert here.claims.ours_to_watch("root:1"), "nobody ever had it"
    there.claims.claim("root:1")
    there.claims.release()
    assert (here.claims.ours_to_watch("root:1"), there.claims.ours_to_watch("root:1")) == (False, True)


def test_where_nothing_is_shared_everything_is_granted_and_nothing_fenced() -> None:
    alone = Host(None, "here")
    alone.claims.claim("root:1")
    alone.claims.renew()
    alone.claims.release()
    assert alone.claims.holds("root:1")
    assert not alone.claims.shared


class TestOutcomes:
    """Two workers, one log, one disk."""

    @pytest.fixture
    def store(self) -> Store:
        return Store()

    @pytest.fixture
    def workers(self, store: Store, tmp_path: Path) -> tuple[Channel, Channel]:
        first, second = (
            Channel(App(store, worker=f"{name}:1", leases=store.leases), tmp_path / "media")
            for name in ("here", "there")
        )
        first.open()
        return first, second

    @pytest.mark.rule("R6")
    def test_the_outcome_of_a_batch_that_was_taken_over_is_refused(
        self, workers: tuple[Channel, Channel], store: Store
    ) -> None:
        """R6: one outcome a batch; the paused worker's comes too late."""
        first, second = workers
        first.app.claims.claim(of_session(first.id))
        first.start()
        first.write()
        store.clock.advance(first.app.claims.seconds)
        second.app.claims.claim(of_session(second.id))
        with pytest.raises(LeaseLost, match=f"session:{first.id}"):
            first.complete()
        second.fail("its producer is gone")
        second.generate()
        with pytest.raises(LeaseLost):
            first.start()
        assert second.kinds() == ["SessionOpened", "BatchStarted", "BatchFailed", "BatchStarted", "BatchCompleted"]

    def test_a_lease_that_ran_out_counts_until_somebody_takes_it(
        self, workers: tuple[Channel, Channel], store: Store
    ) -> None:
        first, _ = workers
        first.app.claims.claim(of_session(first.id))
        first.start()
        store.clock.advance(10 * first.app.claims.seconds)
        first.complete()
        assert first.kinds()[-1] == "BatchCompleted"

    @pytest.mark.rule("R10")
    def test_a_purge_that_was_taken_over_is_finished_by_who_took_it(
        self, workers: tuple[Channel, Channel], store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """R10: the one that was paused after it deleted has no say in what became of it."""
        first, second = workers
        first.generate(3)
        root = first.session.terms.media_root
        delete_each = first.app.files.delete_each

        def paused(*words: object) -> object:
            done = delete_each(*words)  # type: ignore[arg-type]
            store.clock.advance(first.app.claims.seconds)
            second.app.claims.claim(of_root(root.root_id))
            return done

        monkeypatch.setattr(first.app.files, "delete_each", paused)
        assert [type(one.event).__name__ for one in first.app.project()] == ["PurgeIssued"]
        assert [type(one.event).__name__ for one in second.app.project()] == ["SegmentsPurged"]
        outcome = second.events()[-1]
        assert outcome.already_absent  # type: ignore[union-attr]

    def test_a_root_is_purged_by_one_worker_until_its_lease_runs_out(
        self, workers: tuple[Channel, Channel], store: Store
    ) -> None:
        first, second = workers
        first.generate(3)
        first.app.project()
        first.generate()
        assert second.app.project() == ()
        store.clock.advance(first.app.claims.seconds)
        assert [type(one.event).__name__ for one in second.app.project()] == ["PurgeIssued", "SegmentsPurged"]

    @pytest.mark.rule("R17")
    def test_what_another_host_has_mounted_is_neither_purged_nor_suspected(
        self, workers: tuple[Channel, Channel], store: Store
    ) -> None:
        """R17: not here is not gone, where somebody else has it."""
        first, second = workers
        first.generate(3)
        first.app.project()
        first.app.claims.release()
        first.generate()
        first.root.rename(first.root.with_name("elsewhere"))
        assert second.app.project() == ()
        assert second.app.recoverer.recover().recorded == ()
        assert "RootSuspected" not in kinds(second.app)
        assert first.app.project() == ()
        assert "RootSuspected" in kinds(first.app), "the host that had it says so"

    @pytest.mark.rule("R4")
    def test_recovery_leaves_a_batch_to_the_worker_that_makes_it(
        self, workers: tuple[Channel, Channel], store: Store
    ) -> None:
        """R4: also if no lock on a disk tells of it, for it is another disk, or a network's."""
        first, second = workers
        first.app.claims.claim(of_session(first.id))
        first.start()
        done = second.app.recoverer.recover()
        assert done.recorded == ()
        assert "is held by worker here:1" in done.left[0]
        store.clock.advance(first.app.claims.seconds)
        assert [type(one.event).__name__ for one in second.app.recoverer.recover().recorded] == ["BatchFailed"]


def kinds(app: App) -> list[str]:
    return [type(one.event).__name__ for one in app.log.read()]
