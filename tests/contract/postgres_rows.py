"""A log in Postgres, and what somebody with another program does to its rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from persistence.event_log import SqlEventLog
from tests.contract.stores import closing

COLUMNS = "event_id, session_id, version, line, leaf_hash"
RANDOM_ID = "decode(replace(gen_random_uuid()::text, '-', ''), 'hex')"


@contextmanager
def postgres_log(url: str) -> Iterator[SqlEventLog]:
    with closing(url) as engine:
        yield SqlEventLog(engine)


def query(url: str, statement: str, *parameters: Any) -> list[Any]:
    """Run one statement over a connection of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


def tamper(url: str, *statements: str) -> None:
    """Change the record behind the back of its triggers, as its owner can."""
    query(url, "ALTER TABLE events DISABLE TRIGGER USER")
    for statement in statements:
        query(url, statement)
    query(url, "ALTER TABLE events ENABLE TRIGGER USER")


def copied(position: str, event_id: str = RANDOM_ID, version: str = "version + 100") -> str:
    """Values for an event that is like the first one but for these columns."""
    return f"SELECT {position}, {event_id}, session_id, {version}, line, leaf_hash FROM events WHERE position = 1"
