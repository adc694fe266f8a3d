"""The database itself guards the record, whoever opens it and with which program."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from domain.errors import Invalid, LogDamaged
from persistence.engine import driver, open_engine, writing
from persistence.event_log import SqlEventLog
from persistence.writer import Append
from tests.builders import an_id
from tests.contract.log_events import fill, some_events
from tests.contract.stores import a_log, an_engine, sql

OTHERS = "session_id, 9, line, leaf_hash FROM events WHERE position = 1"
COLUMNS = "event_id, session_id, version, line, leaf_hash"
MERGE = "ON CONFLICT (session_id, version) DO UPDATE SET line = excluded.line"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def log(path: Path) -> Iterator[SqlEventLog]:
    """Three events."""
    with a_log(path) as log:
        fill(log, 3)
        yield log


def copied(position: str, event_id: str = "randomblob(16)", version: str = "version + 100", of: int = 1) -> str:
    """Values for an event that is like another one but for these columns."""
    return f"SELECT {position}, {event_id}, session_id, {version}, line, leaf_hash FROM events WHERE position = {of}"


@pytest.mark.rule("R15")
@pytest.mark.parametrize("recursive", ["OFF", "ON"])
@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        ("UPDATE events SET line = x'00' WHERE position = 2", "UPDATE is refused"),
        ("UPDATE events SET position = position + 10", "UPDATE is refused"),
        ("UPDATE OR REPLACE events SET position = 1 WHERE position = 2", "UPDATE is refused"),
        ("UPDATE OR IGNORE events SET position = 1 WHERE position = 2", "UPDATE is refused"),
        ("DELETE FROM events WHERE position = 3", "DELETE is refused"),
        ("DELETE FROM events", "DELETE is refused"),
        (f"REPLACE INTO events {copied('2')}", "not the next event"),
        (f"INSERT OR REPLACE INTO events {copied('2')}", "not the next event"),
        (f"INSERT OR REPLACE INTO events {copied('4', event_id='event_id')}", "not the next event"),
        (f"INSERT OR REPLACE INTO events {copied('4', version='version')}", "not the next event"),
        (f"INSERT OR IGNORE INTO events {copied('4', event_id='event_id')}", "not the next event"),
        (f"INSERT OR IGNORE INTO events {copied('2')}", "not the next event"),
        (f"INSERT INTO events {copied('2')} ON CONFLICT DO NOTHING", "not the next event"),
        (f"INSERT INTO events {copied('4', event_id='event_id')} ON CONFLICT DO NOTHING", "not the next event"),
        (f"INSERT INTO events {copied('4', version='version')} {MERGE}", "not the next event"),
        (f"INSERT INTO events {copied('5')}", "not the next event"),
        (f"INSERT INTO events {copied('0')}", "not the next event"),
        (f"INSERT INTO events {copied('NULL')}", "not the next event"),
        (f"INSERT INTO events ({COLUMNS}) SELECT randomblob(16), {OTHERS}", "not the next event"),
    ],
)
def test_r15_no_statement_changes_removes_or_replaces_an_event_or_leaves_a_gap(
    log: SqlEventLog, path: Path, statement: str, refusal: str, recursive: str
) -> None:
    before = log.read_lines()
    connection = driver.connect(str(path), isolation_level=None)
    connection.execute(f"PRAGMA recursive_triggers = {recursive}")
    with pytest.raises(driver.IntegrityError, match=refusal):
        connection.execute(statement)
    connection.close()
    assert log.read_lines() == before
    assert log.head() == 3


def test_a_writer_of_another_program_can_append_the_next_event_and_moves_the_head(log: SqlEventLog, path: Path) -> None:
    sql(path, f"INSERT INTO events {copied('4')}")
    assert log.head() == 4


def test_columns_take_values_of_their_own_type_alone(log: SqlEventLog, path: Path) -> None:
    with pytest.raises(driver.IntegrityError, match="cannot store TEXT value in BLOB column"):
        sql(
            path,
            f"INSERT INTO events ({COLUMNS}, position) "
            "SELECT randomblob(16), session_id, 9, 'a text', leaf_hash, 4 FROM events WHERE position = 1",
        )


@pytest.mark.parametrize("table", ["store", "log_head", "seal"])
def test_what_there_is_one_of_stays_one(log: SqlEventLog, path: Path, table: str) -> None:
    columns = sql(path, f"SELECT * FROM {table}")[0]
    with pytest.raises(driver.IntegrityError, match="CHECK constraint failed"):
        sql(path, f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", 2, *columns[1:])


def test_an_append_that_the_guards_refuse_is_told_as_damage(log: SqlEventLog, path: Path) -> None:
    sql(path, "UPDATE log_head SET position = 1")
    with pytest.raises(LogDamaged, match="position 2: the event log is append-only: this is not the next event"):
        log.append(some_events(1, after=3), expected_version=3)


def test_every_connection_flushes_each_commit_and_writes_ahead(path: Path) -> None:
    with an_engine(path) as engine:
        connections = [engine.connect(), engine.connect(), writing(engine).connect(), engine.connect()]
        for connection in connections:
            with connection:
                assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
                assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
                assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000


def test_the_connection_that_appends_flushes_each_commit_too(log: SqlEventLog) -> None:
    assert log._writer._connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_reader_that_turns_writer_does_so_from_the_beginning(path: Path) -> None:
    with an_engine(path) as engine, a_log(path) as log, engine.connect() as reader:
        before = reader.exec_driver_sql("SELECT count(*) FROM events").scalar()
        fill(log, 1)
        assert reader.exec_driver_sql("SELECT count(*) FROM events").scalar() == before
        with writing(engine).begin() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM events").scalar() == 1


def test_an_event_of_320_bytes_takes_at_most_500_on_disk(path: Path) -> None:
    with a_log(path):
        empty = path.stat().st_size
    rows = [(UUID(an_id(version)).bytes, bytes(16), version, bytes(320), bytes(32)) for version in range(1, 5001)]
    with a_log(path) as log:
        assert log._writer.commit([Append(rows, 0)]) == [0]
    assert (path.stat().st_size - empty) / len(rows) <= 500


@pytest.mark.rule("R20")
@pytest.mark.parametrize(
    "url",
    [
        "",
        "trailkeep.db",
        "/var/lib/trailkeep.db",
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite://host/log.db",
        "sqlite:///log.db?mode=memory&uri=true",
        "sqlite:///log\0.db",
        "sqlite+aiosqlite:///log.db",
        "mysql://localhost/log",
        "postgresql://trail:s3cret@localhost:port/log",
        "file:///log.db",
        "http://[::1",
    ],
)
def test_r20_a_url_that_names_no_database_file_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="sqlite:////path/to/file") as caught:
        open_engine(url)
    assert caught.value.field == "database"
    assert "s3cret" not in str(caught.value)
