"""States of sessions that were kept: the same when they come back, and not gone by when anything speaks against it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from application.ports import EventLog
from application.sessions import Sessions
from domain.errors import StoreUnavailable
from domain.session import Session, replay
from persistence import snapshots
from persistence.event_log import SqlEventLog
from tests.builders import CountingIds, an_id
from tests.contract.log_events import a_whole_life, session, the_life_of
from tests.contract.stores import Store, an_engine, sql, sqlite_store, tamper


def live(log: EventLog, number: int, events: int) -> Session:
    """Append so many events of a life that has all kinds of them; the state after these."""
    log.append(the_life_of(number, a_whole_life()[:events]), expected_version=0)
    return replay(session(number), log.read_session(session(number)))


WHOLE = len(a_whole_life())


@pytest.mark.rule("R14")
@pytest.mark.parametrize("events", range(1, WHOLE + 1))
def test_r14_every_state_of_a_life_comes_back_as_it_was(store: Store, events: int) -> None:
    state = live(store.log, 1, events)
    store.snapshots.save(state)
    assert store.snapshots.load(session(1)) == state
    assert store.snapshots.versions() == {session(1): events}


def test_there_is_none_of_a_session_that_nobody_kept(store: Store) -> None:
    store.snapshots.save(live(store.log, 1, 3))
    assert store.snapshots.load(session(2)) is None
    assert store.snapshots.load("news") is None


def test_the_newest_takes_the_place_of_the_one_before(store: Store) -> None:
    state = live(store.log, 1, 5)
    store.snapshots.save(replay(session(1), list(store.log.read_session(session(1)))[:3]))
    store.snapshots.save(state)
    assert store.snapshots.load(session(1)) == state
    store.snapshots.clear()
    assert store.snapshots.load(session(1)) is None
    assert store.snapshots.versions() == {}


class Reads:
    """Counts the events that are read of sessions."""

    def __init__(self, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
        self.versions: list[int] = []
        read_session = log.read_session

        def reading(session_id: str, *, after_version: int = 0) -> Iterator[object]:
            for one in read_session(session_id, after_version=after_version):
                self.versions.append(one.envelope.version)
                yield one

        monkeypatch.setattr(log, "read_session", reading)


def loaded(store: Store, every: int = 10) -> Session:
    """As the next process loads it."""
    return Sessions(store.log, CountingIds(), store.snapshots, every).load(session(1))


@pytest.mark.rule("R14")
def test_r14_the_next_process_replays_only_what_came_after(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    state = live(store.log, 1, WHOLE)
    reads = Reads(store.log, monkeypatch)
    assert loaded(store) == state
    assert reads.versions == list(range(1, WHOLE + 1))
    reads.versions.clear()
    assert loaded(store) == state
    assert reads.versions == []
    store.snapshots.clear()
    assert loaded(store) == state
    assert reads.versions == list(range(1, WHOLE + 1))


def test_a_session_that_grows_is_kept_again_and_again(store: Store) -> None:
    sessions, kept = Sessions(store.log, CountingIds(), store.snapshots, 4), []
    for version, one in enumerate(the_life_of(1, a_whole_life())):
        store.log.append([one], expected_version=version)
        sessions.load(session(1))
        kept.append(store.snapshots.versions().get(session(1), 0))
    assert kept == [(version + 1) // 4 * 4 for version in range(WHOLE)]


# what speaks against a snapshot


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Store]:
    for made in sqlite_store(tmp_path):
        live(made.log, 1, WHOLE)
        live(made.log, 2, WHOLE)
        made.snapshots.save(replay(session(1), list(made.log.read_session(session(1)))[: WHOLE - 2]))
        assert made.snapshots.load(session(1)) is not None
        yield made


@pytest.mark.rule("R14")
@pytest.mark.parametrize(
    "change",
    [
        "state = zeroblob(length(state))",
        "state = x''",
        "state = CAST(replace(CAST(state AS TEXT), '\"completed\":3', '\"completed\":2') AS BLOB)",
        "state_hash = zeroblob(32)",
        "leaf_hash = zeroblob(32)",
        "code = zeroblob(32)",
        "version = version - 1",
        "version = version + 1",
        "version = 1000",
        f"session_id = x'{session(2).replace('-', '')}'",
    ],
)
def test_r14_a_snapshot_that_is_not_what_was_kept_is_not_gone_by(sqlite: Store, path: Path, change: str) -> None:
    before = sql(path, "SELECT * FROM snapshots")
    sql(path, f"UPDATE snapshots SET {change}")
    assert sql(path, "SELECT * FROM snapshots") != before, "the change is one"
    for number in (1, 2):
        assert sqlite.snapshots.load(session(number)) is None
        told = Sessions(sqlite.log, CountingIds(), sqlite.snapshots).load(session(number))
        assert told == replay(session(number), sqlite.log.read_session(session(number)))


@pytest.mark.parametrize("change", ["session_id = NULL", "session_id = 'news'", "version = 'news'"])
def test_what_a_damaged_page_makes_of_a_row_is_no_snapshot(sqlite: Store, path: Path, change: str) -> None:
    """Where the constraints do not hold any more: `verify` asks for all of them."""
    sql(path, "ALTER TABLE snapshots RENAME TO sound")
    sql(path, "CREATE TABLE snapshots AS SELECT * FROM sound")
    assert sqlite.snapshots.versions() == {session(1): WHOLE - 2}
    sql(path, f"UPDATE snapshots SET {change}")
    assert sqlite.snapshots.versions() == {}


def test_a_snapshot_is_not_gone_by_when_its_last_event_is_another_now(sqlite: Store, path: Path) -> None:
    tamper(path, "UPDATE events SET line = CAST(line || ' ' AS BLOB) WHERE version = ?", WHOLE - 2)
    assert sqlite.snapshots.load(session(1)) is None


def test_a_snapshot_of_other_code_is_not_gone_by(sqlite: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "code", lambda: bytes(32))
    assert sqlite.snapshots.load(session(1)) is None


def test_what_the_log_does_not_hold_is_not_kept(sqlite: Store) -> None:
    sqlite.snapshots.save(Session(session(3), version=4, last_event_id=an_id(4)))
    assert session(3) not in sqlite.snapshots.versions()


def test_who_cannot_keep_a_snapshot_still_has_the_state(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with an_engine(path) as engine:
        log, kept = SqlEventLog(engine), snapshots.SqlSnapshots(engine)
        state = live(log, 1, WHOLE)

        def unavailable(_: Session) -> None:
            raise StoreUnavailable("sqlite:////log.db", "attempt to write a readonly database")

        monkeypatch.setattr(kept, "save", unavailable)
        assert Sessions(log, CountingIds(), kept, 1).load(session(1)) == state
