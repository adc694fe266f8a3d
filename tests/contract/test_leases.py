"""What every store promises of leases: one owner at a time, epochs that only grow, and outcomes that prove theirs."""

import threading
import time

import pytest

from application.ports import EventLog, Fence, Lease, Leases
from domain.errors import ConcurrencyConflict, LeaseLost
from tests.contract.log_events import session, some_events
from tests.contract.stores import Store

LONG_S = 60.0
SHORT_S = 0.05


@pytest.fixture
def leases(store: Store) -> Leases:
    return store.leases


def take(leases: Leases, owner: str = "here:1", seconds: float = LONG_S, resource: str = "root:1") -> Lease:
    return leases.acquire(resource, owner, owner.partition(":")[0], seconds)


def pass_by(lease: Lease) -> None:
    """Wait until the lease has run out, by the clock that the store goes by."""
    time.sleep(max(0, lease.expires_at - lease.now) / 1e6 + 0.005)


def test_what_nobody_has_is_had_by_who_asks(leases: Leases) -> None:
    lease = take(leases, seconds=10)
    assert (lease.resource, lease.owner, lease.host, lease.epoch) == ("root:1", "here:1", "here", 1)
    assert lease.live
    assert lease.acquired_at <= lease.now < lease.expires_at
    assert abs(lease.expires_at - lease.acquired_at - 10_000_000) < 1_000_000


def test_who_has_it_is_told_to_everybody_else(leases: Leases) -> None:
    mine = take(leases)
    theirs = take(leases, "there:1")
    assert (theirs.owner, theirs.epoch, theirs.expires_at) == ("here:1", 1, mine.expires_at)


def test_who_asks_again_has_it_for_longer_in_the_same_epoch(leases: Leases) -> None:
    first = take(leases, seconds=1)
    again = take(leases)
    assert (again.epoch, again.acquired_at) == (1, first.acquired_at)
    assert again.expires_at > first.expires_at


def test_what_ran_out_is_had_by_who_asks_next_in_another_epoch(leases: Leases) -> None:
    pass_by(take(leases, seconds=SHORT_S))
    taken = take(leases, "there:1")
    assert (taken.owner, taken.host, taken.epoch) == ("there:1", "there", 2)


def test_from_who_is_known_to_be_gone_it_is_had_at_once(leases: Leases) -> None:
    take(leases)
    taken = leases.acquire("root:1", "there:1", "there", LONG_S, over=1)
    assert (taken.owner, taken.epoch) == ("there:1", 2)
    again = leases.acquire("root:1", "third:1", "third", LONG_S, over=1)
    assert again.owner == "there:1", "the epoch that it was known of is over"


def test_who_comes_back_after_it_ran_out_has_another_epoch(leases: Leases) -> None:
    """What it did before was cut off from what it does now: somebody may have had it in between."""
    pass_by(take(leases, seconds=SHORT_S))
    assert take(leases).epoch == 2


def test_what_is_renewed_runs_from_now(leases: Leases) -> None:
    lease = take(leases, seconds=SHORT_S)
    fence = Fence("root:1", lease.epoch)
    assert leases.renew([fence], LONG_S) == {fence}
    pass_by(lease)
    assert take(leases, "there:1").owner == "here:1"


def test_what_ran_out_and_nobody_took_can_be_renewed(leases: Leases) -> None:
    lease = take(leases, seconds=SHORT_S)
    pass_by(lease)
    assert leases.renew([Fence("root:1", 1)], LONG_S) == {Fence("root:1", 1)}
    assert take(leases, "there:1").owner == "here:1"


def test_what_was_taken_over_is_not_renewed(leases: Leases) -> None:
    take(leases, resource="root:2")
    pass_by(take(leases, seconds=SHORT_S))
    take(leases, "there:1")
    held = [Fence("root:1", 1), Fence("root:2", 1), Fence("root:3", 1)]
    assert leases.renew(held, LONG_S) == {Fence("root:2", 1)}
    assert leases.renew([], LONG_S) == frozenset()


def test_what_is_released_is_free_and_its_epoch_is_not_used_again(leases: Leases) -> None:
    take(leases)
    leases.release([Fence("root:1", 1)])
    found = leases.find("root:1")
    assert found
    assert not found.live
    assert take(leases, "there:1").epoch == 2
    leases.release([Fence("root:1", 1)])
    assert take(leases, "third:1").owner == "there:1"


def test_every_lease_can_be_told(leases: Leases) -> None:
    assert leases.all() == []
    assert leases.find("root:1") is None
    take(leases, resource="session:1")
    take(leases, "there:1")
    assert [(one.resource, one.owner) for one in leases.all()] == [("root:1", "there:1"), ("session:1", "here:1")]


def test_of_many_who_ask_at_once_one_gets_it(leases: Leases) -> None:
    start, got = threading.Barrier(8), list[str]()

    def ask(owner: str) -> None:
        start.wait()
        got.append(take(leases, owner).owner)

    threads = [threading.Thread(target=ask, args=(f"host{number}:1",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8
    assert len(set(got)) == 1
    found = leases.find("root:1")
    assert found
    assert found.epoch == 1


class TestFences:
    """What is recorded under a lease, is recorded only while it has the epoch that it was done in."""

    def test_under_a_lease_that_holds_an_outcome_is_recorded(self, log: EventLog, leases: Leases) -> None:
        take(leases)
        assert log.append(some_events(2), expected_version=0, fence=Fence("root:1", 1))[-1].position == 2

    @pytest.mark.rule("R6")
    @pytest.mark.parametrize("fence", [Fence("root:1", 1), Fence("root:1", 3), Fence("root:2", 1)])
    def test_else_it_is_refused_and_nothing_of_it_recorded(self, log: EventLog, leases: Leases, fence: Fence) -> None:
        """R6: what another worker took over has its outcome from there."""
        pass_by(take(leases, seconds=SHORT_S))
        take(leases, "there:1")
        with pytest.raises(LeaseLost, match=f"{fence.resource}.*epoch {fence.epoch}"):
            log.append(some_events(2), expected_version=0, fence=fence)
        assert log.head() == 0

    def test_a_lease_that_ran_out_counts_until_somebody_takes_it(self, log: EventLog, leases: Leases) -> None:
        pass_by(take(leases, seconds=SHORT_S))
        log.append(some_events(1), expected_version=0, fence=Fence("root:1", 1))
        assert log.head() == 1

    def test_with_a_lease_that_holds_a_conflict_is_a_conflict(self, log: EventLog, leases: Leases) -> None:
        take(leases)
        log.append(some_events(1), expected_version=0)
        with pytest.raises(ConcurrencyConflict):
            log.append(some_events(1, after=3), expected_version=3, fence=Fence("root:1", 1))

    def test_what_was_recorded_before_the_lease_was_lost_is_told_again(self, log: EventLog, leases: Leases) -> None:
        """An append whose answer was lost is asked again, perhaps when somebody has taken over meanwhile."""
        lease = take(leases, seconds=SHORT_S)
        first = log.append(some_events(1), expected_version=0, fence=Fence("root:1", 1))
        pass_by(lease)
        take(leases, "there:1")
        assert log.append(some_events(1), expected_version=0, fence=Fence("root:1", 1)) == first

    def test_one_fence_that_does_not_hold_rejects_that_append_alone(self, log: EventLog, leases: Leases) -> None:
        take(leases)
        start, lost = threading.Barrier(12), list[str]()

        def append(of: int) -> None:
            start.wait()
            try:
                log.append(some_events(1, of=of), expected_version=0, fence=Fence("root:1", 1 + of % 2))
            except LeaseLost:
                lost.append(session(of))

        threads = [threading.Thread(target=append, args=(of,)) for of in range(1, 13)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(lost) == sorted(session(of) for of in range(1, 13) if of % 2)
        assert log.head() == 6
