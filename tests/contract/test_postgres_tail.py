"""Who reads along sees every event once and in order, whoever commits when; and what a sequence would do instead."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

import psycopg
import pytest

from domain.events import Recorded
from persistence.event_log import SqlEventLog
from tests.contract.log_events import session, some_events
from tests.contract.postgres_rows import query
from tests.contract.stores import log_at
from tests.contract.test_postgres_commits import an_append

WRITERS, EACH, LONGEST_S = 8, 60, 0.005

APPEND = """
    SELECT append_events(%b::bytea[], %b::bigint[], '{NULL}', '{NULL}', '{1}', '{0}', '{1}', %b::bytea[], %b::bytea[],
        %b::bytea[])"""


class Numbered(Protocol):
    """Something that numbers what is written to it, and can be read after a number."""

    def write(self, connection: "psycopg.Connection", of: int, after: int) -> None:
        """Write one entry, as a part of the connection's transaction."""
        ...

    def read(self, after: int) -> list[int]: ...


class TheLog:
    def __init__(self, log: SqlEventLog) -> None:
        self._log = log
        self.seen: list[Recorded] = []

    def write(self, connection: "psycopg.Connection", of: int, after: int) -> None:
        ((event_id, session_id, _, line, leaf_hash),) = an_append(some_events(1, of=of, after=after), after).rows
        connection.execute(APPEND, ([session_id], [after], [event_id], [line], [leaf_hash]))

    def read(self, after: int) -> list[int]:
        page = self._log.read(after=after, limit=50)
        self.seen += page
        return [one.position for one in page]


class ASequence:
    def __init__(self, url: str) -> None:
        query(url, "CREATE TABLE numbered (position bigserial PRIMARY KEY, line bytea)")
        self._connection = psycopg.connect(url, autocommit=True)

    def write(self, connection: "psycopg.Connection", of: int, after: int) -> None:
        connection.execute("INSERT INTO numbered (line) VALUES (%s)", (b"%d" % of,))

    def read(self, after: int) -> list[int]:
        found = "SELECT position FROM numbered WHERE position > %s ORDER BY position LIMIT 50"
        return [row[0] for row in self._connection.execute(found, (after,)).fetchall()]

    def close(self) -> None:
        self._connection.close()


def read_along(url: str, numbered: Numbered) -> list[int]:
    """Eight writers that hold their transactions open at random, and what a reader sees that follows the numbers."""

    def write(of: int) -> None:
        chance = random.Random(of)
        with psycopg.connect(url) as connection:
            for after in range(EACH):
                numbered.write(connection, of, after)
                if chance.random() < 0.5:
                    connection.execute("SELECT pg_sleep(%s)", (chance.uniform(0, LONGEST_S),))
                connection.commit()

    seen: list[int] = []
    with ThreadPoolExecutor(WRITERS) as pool:
        writing = [pool.submit(write, of) for of in range(WRITERS)]
        going = True
        while going:
            going = not all(one.done() for one in writing)
            while page := numbered.read(seen[-1] if seen else 0):
                seen += page
        for one in writing:
            one.result()
    return seen


@contextmanager
def a_sequence(url: str) -> Iterator[ASequence]:
    made = ASequence(url)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.rule("R15")
def test_r15_who_reads_along_with_eight_writers_sees_each_event_once_and_in_order(postgres_url: str) -> None:
    with log_at(postgres_url) as log:
        numbered = TheLog(log)
        assert read_along(postgres_url, numbered) == list(range(1, WRITERS * EACH + 1))
    for of in range(WRITERS):
        versions = [one.envelope.version for one in numbered.seen if one.envelope.session_id == session(of)]
        assert versions == list(range(1, EACH + 1))


@pytest.mark.rule("R15")
def test_r15_who_reads_along_with_a_sequence_loses_events(postgres_url: str) -> None:
    """Why positions do not come from a sequence: numbers are given before, and seen after, others are committed."""
    with a_sequence(postgres_url) as numbered:
        seen = read_along(postgres_url, numbered)
    committed = query(postgres_url, "SELECT count(*) FROM numbered")[0][0]
    assert committed == WRITERS * EACH
    assert seen == sorted(set(seen))
    assert len(seen) < committed
