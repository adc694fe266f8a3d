"""Appends of threads that come together share a transaction, and none of them pays for what is wrong with another."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event, Thread
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.ports import Draft, EventLog
from application.together import Together
from domain.errors import ConcurrencyConflict, EventIdConflict, LogDamaged, StoreUnavailable
from persistence import writer as writers
from persistence.event_log import SqlEventLog
from persistence.writer import Append, Writer
from tests.contract.log_events import a_failure, an_event, session, some_events
from tests.contract.stores import an_engine


def appends(*versions: tuple[int, int]) -> list[Append]:
    """One row for each of these: of a session, expecting it to be at a version."""
    return [
        Append([(bytes([number, of]) * 8, bytes([of]) * 16, version + 1, b"a line", bytes(32))], version)
        for number, (of, version) in enumerate(versions)
    ]


# one transaction of many


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    with an_engine(tmp_path / "log.db") as engine:
        yield Writer(engine)


@pytest.mark.rule("R15")
def test_r15_a_conflict_of_one_session_rejects_that_append_alone(writer: Writer) -> None:
    assert writer.commit(appends((1, 0), (2, 7), (3, 0))) == [0, None, 1]


def test_a_second_append_of_a_session_sees_the_first(writer: Writer) -> None:
    assert writer.commit(appends((1, 0), (1, 1), (1, 1), (1, 2))) == [0, 1, None, 2]


def test_a_fault_of_one_append_commits_none(writer: Writer) -> None:
    taken, other = appends((1, 0), (2, 0))
    writer.commit([taken])
    thief = Append([(taken.rows[0][0], bytes(16), 1, b"other", bytes(32))], 0)
    with pytest.raises(LogDamaged):
        writer.commit([other, thief])
    assert writer.commit([other]) == [1]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4)), max_size=12), st.data())
def test_it_makes_no_difference_how_appends_are_grouped(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[tuple[int, int]], data: st.DataObject
) -> None:
    told, versions, head = [], dict[int, int](), 0
    for of, version in wanted:
        told.append(head if versions.get(of, 0) == version else None)
        if told[-1] is not None:
            versions[of], head = version + 1, head + 1
    waiting, answers = deque(appends(*wanted)), list[int | None]()
    at_once = data.draw(st.sampled_from([1, 2, 4, 64]))
    with an_engine(tmp_path_factory.mktemp("grouped") / "log.db") as engine, patch.object(writers, "AT_ONCE", at_once):
        writer = Writer(engine)
        while waiting:
            size = data.draw(st.integers(1, len(waiting)))
            answers += writer.commit([waiting.popleft() for _ in range(size)])
    assert answers == told


# the queue in front of it


class Slow:
    """A commit that begins only when it is let: what comes in the meantime has to wait."""

    def __init__(self, commit: Callable[[Sequence[Append]], Sequence[int | None]]) -> None:
        self.groups: list[list[Append]] = []
        self.begun, self.let = Event(), Event()
        self._commit = commit

    def __call__(self, group: Sequence[Append]) -> Sequence[int | None]:
        self.groups.append(list(group))
        self.begun.set()
        assert self.let.wait(60)
        return self._commit(group)


def together(commit: Slow, those: Sequence[Append]) -> list["Future[Sequence[int | None]]"]:
    """What becomes of these, each appended alone, if all but the first come while the first is being committed."""
    queue = Together(commit, apart=LogDamaged)
    with ThreadPoolExecutor(len(those)) as pool:
        futures = [pool.submit(queue.ask, those[:1])]
        assert commit.begun.wait(60)
        for number, one in enumerate(those[1:], 1):
            futures.append(pool.submit(queue.ask, [one]))
            while len(queue._waiting) < number:
                pass
        commit.let.set()
    assert not queue._busy
    assert not queue._waiting
    return futures


def test_what_comes_while_the_writer_is_busy_goes_together_next() -> None:
    commit, those = Slow(lambda group: list(range(len(group)))), appends((1, 0), (2, 0), (3, 0), (4, 0))
    assert [future.result() for future in together(commit, those)] == [[0], [0], [1], [2]]
    assert commit.groups == [those[:1], those[1:]]


def test_who_finds_the_writer_idle_waits_for_nobody() -> None:
    commit = Slow(lambda group: [3] * len(group))
    commit.let.set()
    queue, those = Together(commit, apart=LogDamaged), appends((1, 0), (2, 0))
    assert [queue.ask([one]) for one in those] == [[3], [3]]
    assert commit.groups == [[one] for one in those]


def test_what_one_caller_appends_is_answered_in_its_order_and_shares_its_fate(writer: Writer) -> None:
    commit, those = Slow(writer.commit), appends((1, 0), (2, 0), (3, 7), (4, 0), (5, 0))
    queue = Together(commit, apart=LogDamaged)
    with ThreadPoolExecutor(3) as pool:
        one = pool.submit(queue.ask, those[:1])
        assert commit.begun.wait(60)
        three = pool.submit(queue.ask, those[1:4])
        while not queue._waiting:
            pass
        last = pool.submit(queue.ask, those[4:])
        while len(queue._waiting) < 2:
            pass
        commit.let.set()
    assert [one.result(), three.result(), last.result()] == [[0], [1, None, 2], [3]]
    assert commit.groups == [those[:1], those[1:]]


def test_what_is_wrong_with_one_append_is_told_to_that_one_alone(writer: Writer) -> None:
    first, second, late, third = appends((1, 0), (2, 0), (2, 0), (3, 0))
    thief = Append([(first.rows[0][0], bytes(16), 1, b"other", bytes(32))], 0)
    one, two, stolen, none, three = together(Slow(writer.commit), [first, second, thief, late, third])
    assert [future.result() for future in (one, two, none, three)] == [[0], [1], [None], [2]]
    with pytest.raises(LogDamaged):
        stolen.result()


def test_an_outage_is_told_to_every_append_that_it_hit_and_the_next_goes_on() -> None:
    broken = True

    def commit(group: Sequence[Append]) -> Sequence[int | None]:
        if broken:
            raise StoreUnavailable("sqlite:////log.db", "disk I/O error")
        return [0] * len(group)

    slow = Slow(commit)
    for future in together(slow, appends((1, 0), (2, 0), (3, 0))):
        with pytest.raises(StoreUnavailable):
            future.result()
    broken = False
    assert Together(slow, apart=LogDamaged).ask(appends((1, 0))) == [0]


class Interrupted(BaseException):
    """As a key that the operator presses."""


def test_an_interrupted_leader_leaves_the_others_to_the_next() -> None:
    turns = iter(["first", "interrupted", "again"])

    def commit(group: Sequence[Append]) -> Sequence[int | None]:
        if next(turns) == "interrupted":
            raise Interrupted
        return [5] * len(group)

    slow = Slow(commit)
    first, interrupted, *others = together(slow, appends((1, 0), (2, 0), (3, 0), (4, 0)))
    assert first.result() == [5]
    assert isinstance(interrupted.exception(), Interrupted)
    assert [future.result() for future in others] == [[5], [5]]
    assert [len(group) for group in slow.groups] == [1, 3, 2]


# through the port, on every backend


@pytest.mark.rule("R15")
def test_r15_of_many_sessions_at_once_each_conflict_is_its_own(log: EventLog) -> None:
    threads, each = 12, 20
    barrier = Barrier(threads)

    def write(number: int) -> list[int | None]:
        """Two threads want each session; who is late for a version goes on with the next."""
        of, got, version = number // 2 + 1, list[int | None](), 0
        barrier.wait()
        while version < each:
            wanted = an_event(a_failure(f"by {number}"), of=of, version=version + 1, event_id=_id(number, version))
            try:
                (recorded,) = log.append([wanted], expected_version=version)
                got.append(recorded.position)
            except ConcurrencyConflict:
                got.append(None)
            version += 1
        return got

    with ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(write, range(threads)))
    for first, second in zip(answers[::2], answers[1::2], strict=True):
        assert all((one is None) != (other is None) for one, other in zip(first, second, strict=True))
    won = sorted(position for got in answers for position in got if position is not None)
    assert won == list(range(1, threads // 2 * each + 1))
    for of in range(1, threads // 2 + 1):
        assert [one.envelope.version for one in log.read_session(session(of))] == list(range(1, each + 1))


def test_a_stolen_id_among_appends_at_once_is_a_conflict_of_its_thief_alone(log: EventLog) -> None:
    (taken,) = log.append(some_events(1), expected_version=0)
    barrier, refused = Barrier(8), list[int]()

    def write(number: int) -> None:
        event_id = taken.envelope.event_id if number % 2 else an_event(of=number + 2).event_id
        barrier.wait()
        try:
            log.append([an_event(of=number + 2, event_id=event_id)], expected_version=0)
        except EventIdConflict:
            refused.append(number)

    threads = [Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(refused) == [1, 3, 5, 7]
    assert log.head() == 5


@pytest.mark.rule("R15")
def test_r15_of_drafts_that_are_appended_together_each_is_answered_for_itself(log: EventLog) -> None:
    log.append(some_events(2, of=1), expected_version=0)
    late = Draft([an_event(of=1, version=2, event_id=an_event(of=9).event_id)], 1)
    one, two = Draft([an_event(of=2)], 0), Draft([an_event(of=3), an_event(of=3, version=2)], 0)
    answers = log.append_each([one, late, two])
    assert [answer and [recorded.position for recorded in answer] for answer in answers] == [[3], None, [4, 5]]
    assert [recorded.envelope for recorded in log.read(after=2)] == [*one.envelopes, *two.envelopes]
    assert log.append_each([]) == []


def test_a_draft_that_cannot_be_is_left_out_and_told_by_append(log: EventLog) -> None:
    (taken,) = log.append(some_events(1), expected_version=0)
    thief = Draft([an_event(of=2, event_id=taken.envelope.event_id)], 0)
    other = Draft([an_event(of=3)], 0)
    stolen, kept = log.append_each([thief, other])
    assert stolen is None
    with pytest.raises(EventIdConflict):
        log.append(thief.envelopes, expected_version=0)
    assert kept == log.append(other.envelopes, expected_version=0) or kept is None, "recorded once, if asked again"
    assert log.head() == 2


def test_threads_on_sqlite_do_share_transactions(tmp_path: Path) -> None:
    with an_engine(tmp_path / "log.db") as engine:
        log = SqlEventLog(engine)
        slow = Slow(log._writer.commit)
        log._commits = Together(slow, apart=LogDamaged)
        with ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(log.append, [an_event(of=of)], expected_version=0) for of in range(8)]
            while len(log._commits._waiting) < 7:
                pass
            slow.let.set()
        assert sorted(future.result()[0].position for future in futures) == list(range(1, 9))
        assert [len(group) for group in slow.groups] == [1, 7]


def _id(number: int, version: int) -> str:
    return an_event(of=100 + number, version=version + 1).event_id
