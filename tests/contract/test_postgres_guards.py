"""Postgres guards the record too, whoever writes to it: the owner of the tables, and a superuser, no less."""

from collections.abc import Iterator

import psycopg
import pytest

from domain.errors import LogDamaged
from persistence.engine import writing
from persistence.event_log import SqlEventLog
from tests.contract.log_events import fill, some_events
from tests.contract.postgres_rows import COLUMNS, copied, query
from tests.contract.stores import log_at

MERGE = "ON CONFLICT (session_id, version) DO UPDATE SET line = excluded.line"
BY_POSITION = "MERGE INTO events USING (SELECT 2::bigint AS at) AS other ON position = other.at WHEN MATCHED THEN"


@pytest.fixture
def log(postgres_url: str) -> Iterator[SqlEventLog]:
    """Three events."""
    with log_at(postgres_url) as log:
        fill(log, 3)
        yield log


@pytest.mark.rule("R15")
@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        ("UPDATE events SET line = '' WHERE position = 2", "UPDATE is refused"),
        ("UPDATE events SET position = position + 10", "UPDATE is refused"),
        ("UPDATE events SET line = '' WHERE false", "UPDATE is refused"),
        ("DELETE FROM events WHERE position = 3", "DELETE is refused"),
        ("DELETE FROM events", "DELETE is refused"),
        ("TRUNCATE events", "TRUNCATE is refused"),
        ("TRUNCATE log_head, events RESTART IDENTITY CASCADE", "TRUNCATE is refused"),
        ("WITH gone AS (DELETE FROM events RETURNING position) SELECT * FROM gone", "DELETE is refused"),
        (f"{BY_POSITION} DELETE", "DELETE is refused"),
        (f"{BY_POSITION} UPDATE SET line = ''", "UPDATE is refused"),
        (f"INSERT INTO events {copied('2')} ON CONFLICT (position) DO UPDATE SET line = ''", "UPDATE is refused"),
        (f"INSERT INTO events {copied('4', version='version')} {MERGE}", "UPDATE is refused"),
        (f"INSERT INTO events {copied('2')} ON CONFLICT DO NOTHING", "not the next event"),
        (f"INSERT INTO events {copied('4', event_id='event_id')} ON CONFLICT DO NOTHING", "not the next event"),
        (f"INSERT INTO events {copied('4', version='version')} ON CONFLICT DO NOTHING", "not the next event"),
        (f"INSERT INTO events {copied('2')}", "duplicate key"),
        (f"INSERT INTO events {copied('4', event_id='event_id')}", "duplicate key"),
        (f"INSERT INTO events {copied('4', version='version')}", "duplicate key"),
        (f"INSERT INTO events {copied('5')}", "not the next event"),
        (f"INSERT INTO events {copied('0')}", "not the next event"),
        (f"INSERT INTO events {copied('NULL')}", "null value"),
        (f"INSERT INTO events {copied('4')} UNION ALL {copied('6', version='version + 200')}", "not the next event"),
        (f"INSERT INTO events ({COLUMNS}) {copied('4').replace('4,', '', 1)}", "null value"),
        ("COPY events FROM PROGRAM 'true'", "not the next event"),
    ],
)
def test_r15_no_statement_changes_removes_or_replaces_an_event_or_leaves_a_gap(
    log: SqlEventLog, postgres_url: str, statement: str, refusal: str
) -> None:
    before = log.read_lines()
    with pytest.raises(psycopg.IntegrityError, match=refusal):
        query(postgres_url, statement)
    assert log.read_lines() == before
    assert log.head() == 3
    assert list(log.storage_faults()) == []


def test_a_writer_of_another_program_can_append_the_next_events_and_moves_the_head(
    log: SqlEventLog, postgres_url: str
) -> None:
    query(postgres_url, f"INSERT INTO events {copied('4')}")
    query(postgres_url, f"INSERT INTO events {copied('5', version='201')} UNION ALL {copied('6', version='202')}")
    assert log.head() == 6
    assert list(log.storage_faults()) == []


@pytest.mark.parametrize("table", ["store", "log_head", "seal"])
def test_what_there_is_one_of_stays_one(log: SqlEventLog, postgres_url: str, table: str) -> None:
    columns = query(postgres_url, f"SELECT * FROM {table}")[0]
    with pytest.raises(psycopg.IntegrityError, match="violates check constraint"):
        query(postgres_url, f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(columns))})", 2, *columns[1:])


def test_an_append_that_the_guards_refuse_is_told_as_damage(log: SqlEventLog, postgres_url: str) -> None:
    query(postgres_url, "UPDATE log_head SET position = 1")
    with pytest.raises(LogDamaged, match="position 2: duplicate key value violates unique constraint"):
        log.append(some_events(1, after=3), expected_version=3)
    query(postgres_url, "UPDATE log_head SET position = 3")
    assert log.append(some_events(1, after=3), expected_version=3)[0].position == 4


def test_a_log_without_its_head_is_damaged(log: SqlEventLog, postgres_url: str) -> None:
    query(postgres_url, "DELETE FROM log_head")
    with pytest.raises(LogDamaged, match="position 1: the head of the log is missing"):
        log.append(some_events(1, after=3), expected_version=3)
    with pytest.raises(LogDamaged, match="finds no row"):
        log.head()


def test_an_event_cannot_be_appended_past_a_head_that_was_moved_on(log: SqlEventLog, postgres_url: str) -> None:
    query(postgres_url, "UPDATE log_head SET position = 7")
    assert list(log.storage_faults()) == ["the head of the log is 7, and there are 3 events at positions 1 to 3"]


# durability


@pytest.mark.parametrize("setting", ["off", "local", "remote_write"])
@pytest.mark.rule("R10")
def test_r10_no_setting_of_a_database_makes_a_commit_less_than_durable(postgres_url: str, setting: str) -> None:
    name = query(postgres_url, "SELECT current_database()")[0][0]
    query(postgres_url, f"ALTER DATABASE {name} SET synchronous_commit = {setting}")
    query(postgres_url, f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    assert query(postgres_url, "SHOW synchronous_commit") == [(setting,)]
    with log_at(postgres_url) as log:
        fill(log, 1)
        connections = [log._writer._connection, *_of_the_pool(log)]
        for connection in connections:
            assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
            assert connection.execute("SHOW transaction_isolation").fetchone() == ("read committed",)


def test_a_stricter_setting_stays(postgres_url: str) -> None:
    with log_at(f"{postgres_url}?options=-csynchronous_commit%3Dremote_apply") as log:
        fill(log, 1)
        assert log._writer._connection.execute("SHOW synchronous_commit").fetchone() == ("remote_apply",)


@pytest.mark.rule("R10")
def test_r10_an_append_is_durable_whatever_its_connection_says(log: SqlEventLog, postgres_url: str) -> None:
    """As under a pooler, which may give the transaction another connection than the one that was made durable."""
    with psycopg.connect(postgres_url) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute("SELECT append_events('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')")
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)


def _of_the_pool(log: SqlEventLog) -> list[psycopg.Connection]:
    made = []
    with log._engine.connect() as first, writing(log._engine).connect() as second:
        made += [one.connection.driver_connection for one in (first, second)]
    return made  # type: ignore[return-value]
