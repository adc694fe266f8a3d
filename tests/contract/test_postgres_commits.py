"""What one call of `append_events` does with the appends of several sessions, and with connections that are cut."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from application.ports import Draft
from domain.errors import EventIdConflict, LogDamaged, StoreUnavailable
from domain.events import Envelope
from persistence import codec
from persistence.event_log import SqlEventLog
from persistence.writer import Append, row_of
from tests.contract.log_events import a_failure, an_event, fill, session, some_events
from tests.contract.postgres_rows import query
from tests.contract.stores import log_at
from tests.contract.tcp_proxy import Cut, TcpProxy


@pytest.fixture
def log(postgres_url: str) -> Iterator[SqlEventLog]:
    with log_at(postgres_url) as log:
        yield log


def an_append(envelopes: Sequence[Envelope], expected_version: int) -> Append:
    return Append([row_of(*written) for written in map(codec.encode, envelopes)], expected_version)


def of(number: int, count: int = 1, after: int = 0) -> Append:
    """An append of so many events to a session."""
    return an_append(some_events(count, of=number, after=after), after)


# several appends in one commit


def test_the_appends_of_one_commit_come_after_one_another(log: SqlEventLog) -> None:
    fill(log, 1, of=9)
    assert log._writer.commit([of(1, 2), of(2, 3), of(3)]) == [1, 3, 6]
    assert [one.envelope.session_id for one in log.read()] == [session(of) for of in (9, 1, 1, 2, 2, 2, 3)]
    assert log.head() == 7


def test_the_conflict_of_one_session_rejects_that_append_alone(log: SqlEventLog) -> None:
    fill(log, 2, of=2)
    assert log._writer.commit([of(1, 2), of(2, 1, after=1), of(3)]) == [2, None, 4]
    assert [one.position for one in log.read_session(session(2))] == [1, 2]
    assert log.head() == 5
    assert log._writer.commit([of(2, 1, after=1)]) == [None]
    assert log.head() == 5


def test_a_session_that_appears_twice_goes_on_where_it_was_left(log: SqlEventLog) -> None:
    assert log._writer.commit([of(1, 2), of(2), of(1, 3, after=2), of(1, 1, after=5)]) == [0, 2, 3, 6]
    assert [one.envelope.version for one in log.read_session(session(1))] == [1, 2, 3, 4, 5, 6]


def test_a_second_append_on_the_version_that_the_first_was_decided_upon_is_a_conflict(log: SqlEventLog) -> None:
    other = an_append([an_event(a_failure("other"), event_id=session(77))], 0)
    assert log._writer.commit([of(1), other, of(1, 1, after=1)]) == [0, None, 1]


def test_an_append_whose_event_is_known_is_left_out_and_the_others_are_not(log: SqlEventLog) -> None:
    fill(log, 1, of=1)
    stolen = an_append([an_event(of=2, event_id=an_event(of=1).event_id)], 0)
    assert log._writer.commit([stolen, of(3)]) == [None, 1]


def test_a_commit_in_which_an_id_appears_twice_is_refused_whole(log: SqlEventLog) -> None:
    twin = an_append([an_event(of=2, event_id=an_event(of=1).event_id)], 0)
    with pytest.raises(LogDamaged, match="position 1: duplicate key"):
        log._writer.commit([of(1), twin])
    assert log.head() == 0


def test_a_commit_of_many_appends_is_one_statement_and_one_transaction(log: SqlEventLog, postgres_url: str) -> None:
    fill(log, 1, of=99)
    before = _transactions(postgres_url)
    assert log._writer.commit([of(number) for number in range(1, 51)]) == list(range(1, 51))
    assert _transactions(postgres_url) == before + 1


def _transactions(url: str) -> int:
    """Of those that wrote."""
    return int(query(url, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text")[0][0])


def test_an_append_is_one_round_trip(postgres_url: str) -> None:
    with TcpProxy(postgres_url) as proxy, log_at(proxy.url) as log:
        fill(log, 10)  # by then the statement is prepared
        for version in range(10, 20):
            before = proxy.pieces
            log.append(some_events(1, after=version), expected_version=version)
            assert proxy.pieces == before + 1
        before = proxy.pieces
        log._writer.commit([of(number) for number in range(2, 7)])
        assert proxy.pieces == before + 1


# commits of which nobody knows


@contextmanager
def a_log_behind(url: str) -> Iterator[tuple[SqlEventLog, TcpProxy]]:
    """A log that is reached through a proxy, its connections open and one session of 2 events in it."""
    with TcpProxy(url) as proxy, log_at(proxy.url) as log:
        fill(log, 2)
        yield log, proxy


CUTS = [Cut.BEFORE_THE_SERVER, Cut.AFTER_THE_COMMIT]


@pytest.mark.rule("R15")
@pytest.mark.parametrize("cut", CUTS)
def test_r15_an_append_that_is_cut_at_its_commit_is_recorded_once(postgres_url: str, cut: Cut) -> None:
    with a_log_behind(postgres_url) as (log, proxy):
        proxy.cut_at(b"append_events", cut)
        assert [one.position for one in log.append(some_events(2, after=2), expected_version=2)] == [3, 4]
        assert proxy.cuts == 1
        assert [one.envelope for one in log.read()] == some_events(4)
        assert log.append(some_events(1, after=4), expected_version=4)[0].position == 5


@pytest.mark.rule("R15")
@pytest.mark.parametrize("cut", CUTS)
def test_r15_appends_that_are_made_together_are_recorded_once_when_they_are_cut(postgres_url: str, cut: Cut) -> None:
    """Who is told that one was left out decides anew, with other ids: then it must not be there."""
    with a_log_behind(postgres_url) as (log, proxy):
        proxy.cut_at(b"append_events", cut)
        answers = log.append_each([Draft(some_events(2, of=7), 0), Draft(some_events(1, of=8), 0)])
        assert proxy.cuts == 1
        recorded = [[one.envelope for one in log.read_session(session(of))] for of in (7, 8)]
        assert recorded == [[one.envelope for one in answer or ()] for answer in answers]
        if cut is Cut.AFTER_THE_COMMIT:
            assert recorded == [some_events(2, of=7), some_events(1, of=8)]


@pytest.mark.rule("R15")
def test_r15_of_appends_that_nobody_could_be_asked_of_nothing_is_said(postgres_url: str) -> None:
    with a_log_behind(postgres_url) as (log, proxy):
        proxy.cut_at(b"append_events", Cut.AFTER_THE_COMMIT, stay_away=True)
        with pytest.raises(StoreUnavailable):
            log.append_each([Draft(some_events(2, of=7), 0), Draft(some_events(1, of=8), 0)])
        proxy.come_back()
        assert [len(list(log.read_session(session(of)))) for of in (7, 8)] == [2, 1]


@pytest.mark.rule("R15")
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("meanwhile", [0, 3])
def test_r15_an_append_of_which_nobody_could_be_asked_is_recorded_once_when_it_is_tried_again(
    postgres_url: str, cut: Cut, meanwhile: int
) -> None:
    """The server stays out of reach after the cut, and others append before it is back."""
    with a_log_behind(postgres_url) as (log, proxy):
        proxy.cut_at(b"append_events", cut, stay_away=True)
        with pytest.raises(StoreUnavailable):
            log.append(some_events(2, after=2), expected_version=2)
        with log_at(postgres_url) as other:
            fill(other, meanwhile, of=5)
        proxy.come_back()
        first = 3 if cut is Cut.AFTER_THE_COMMIT else 3 + meanwhile
        assert [one.position for one in log.append(some_events(2, after=2), expected_version=2)] == [first, first + 1]
        assert [one.envelope for one in log.read_session(session(1))] == some_events(4)
        assert log.head() == 4 + meanwhile


@pytest.mark.rule("R15")
def test_r15_an_append_that_the_server_still_works_on_is_waited_for_and_not_doubled(postgres_url: str) -> None:
    """The connection is cut while the append waits for the head of the log; the server does not notice and commits."""
    with a_log_behind(postgres_url) as (log, proxy), psycopg.connect(postgres_url) as blocking:
        blocking.execute("SELECT position FROM log_head FOR UPDATE")
        proxy.cut_at(b"append_events", Cut.WHILE_THE_SERVER_WORKS)
        with ThreadPoolExecutor(1) as pool:
            appending = pool.submit(log.append, some_events(2, after=2), expected_version=2)
            _until(lambda: _waiting(postgres_url) == 2)
            blocking.rollback()
            assert [one.position for one in appending.result()] == [3, 4]
        assert log.head() == 4


def test_what_was_recorded_under_the_ids_by_somebody_else_is_told_after_a_cut(postgres_url: str) -> None:
    with a_log_behind(postgres_url) as (log, proxy):
        fill(log, 1, of=5)
        proxy.cut_at(b"append_events", Cut.BEFORE_THE_SERVER)
        stolen = an_event(version=3, event_id=an_event(of=5).event_id)
        with pytest.raises(EventIdConflict):
            log.append([stolen], expected_version=2)
        assert log.head() == 3


@pytest.mark.rule("R15")
def test_r15_appends_of_several_threads_survive_cuts_at_random(postgres_url: str) -> None:
    with TcpProxy(postgres_url) as proxy, log_at(proxy.url) as log:
        proxy.cut_now_and_then(b"append_events", seed=4)

        def write(of: int) -> None:
            for version in range(40):
                _until(lambda: _appended(log, of, version))  # noqa: B023 - called before the next one

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, range(4)))
        proxy.come_back()
        assert proxy.cuts > 10
        assert [one.position for one in log.read()] == list(range(1, 161))
        for of in range(4):
            assert [one.envelope for one in log.read_session(session(of))] == some_events(40, of=of)


def _appended(log: SqlEventLog, of: int, after: int) -> bool:
    try:
        return len(log.append(some_events(1, of=of, after=after), expected_version=after)) == 1
    except StoreUnavailable:
        return False


def _waiting(url: str) -> int:
    """Appends that wait for the head of the log."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'append_events'"
    number: int = query(url, asked)[0][0]
    return number


def _until(there: Callable[[], bool]) -> None:
    while not there():
        pass
