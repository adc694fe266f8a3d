"""Append to Postgres, every commit flushed, many clients at once: the log, the peer, and the bare driver in two ways.

A plain sequence (bigserial) is what most would write; a reader of its tail loses events. Rows that carry the id of the
transaction (xid8) need no lock, and a reader waits for the oldest transaction that is open anywhere in the cluster.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from eventsourcing.application import Application
from sqlalchemy import make_url

from benchmarks.histories import a_session_id, an_envelope, peer_session, started, tell_peer
from benchmarks.measure import Contender, Figure, per_second, ratio, take_turns
from persistence import codec, schema
from persistence.engine import open_engine
from persistence.event_log import SqlEventLog
from tests.postgres_server import PostgresServer

CLIENTS, GROUPED = 8, 64
EACH, ROUNDS = 50, 5
SLOW_FLUSH = ("commit_delay=1000", "commit_siblings=0")
"""Each flush waits for a millisecond first, as on a disk that takes that long."""

OURS, ONE_PROCESS = f"Trailkeep, {CLIENTS} writers", f"Trailkeep, {GROUPED} sessions in one process"
PEER = f"eventsourcing, save, {CLIENTS} clients"
SEQUENCE, XID8 = f"driver, bigserial, {CLIENTS} clients", f"driver, xid8, {CLIENTS} clients"


def measure(directory: Path) -> Figure:
    """Events a second, on a server whose disk is that of its data directory."""
    return _measure("append, Postgres", directory, ())


def measure_slow(directory: Path) -> Figure:
    """The same where a flush takes a millisecond longer."""
    return _measure("append, Postgres, with a slow flush (1 ms)", directory, SLOW_FLUSH)


def _measure(name: str, _: Path, settings: Sequence[str]) -> Figure:
    line, _hash = codec.encode(an_envelope(a_session_id(0), 1, started(0)))
    with ExitStack() as stack:
        server = PostgresServer(*settings)
        stack.callback(server.close)
        ours, other = database_of(server, "ours"), database_of(server, "other")
        logs = [stack.enter_context(_log(ours)) for _ in range(CLIENTS)]
        peer = _peer_application(server, database_of(server, "peer"))
        stack.callback(peer.close)
        bare = [stack.enter_context(psycopg.connect(other, autocommit=True)) for _ in range(CLIENTS)]
        bare_tables(bare[0])
        sessions = count(1)
        values = take_turns(
            {
                OURS: _appends(lambda number: logs[number], CLIENTS, sessions),
                ONE_PROCESS: _appends(lambda _: logs[0], GROUPED, sessions),
                PEER: _saves(peer),
                SEQUENCE: _inserts("serial_events", bare, line),
                XID8: _inserts("xid8_events", bare, line),
            },
            ROUNDS,
        )
    return Figure(
        name,
        f"Postgres 18, synchronous_commit=on; lines of {len(line)} bytes; one event an append, {ROUNDS} rounds",
        "events/s",
        values,
        [
            ratio(values, OURS, PEER, ">= 3"),
            ratio(values, ONE_PROCESS, PEER, ">= 10"),
            ratio(values, ONE_PROCESS, XID8, "none"),
            ratio(values, OURS, XID8, "none"),
        ],
    )


def database_of(server: PostgresServer, name: str) -> str:
    """The URL of a new database."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.url(name)


@contextmanager
def _log(url: str) -> Iterator[SqlEventLog]:
    """A log with a writer of its own, as each process has one: no other shares its commits."""
    engine = open_engine(url)
    try:
        schema.upgrade(engine)
        yield SqlEventLog(engine)
    finally:
        engine.dispose()


def _peer_application(server: PostgresServer, url: str) -> Application[Any]:
    where = make_url(url)
    return Application(
        env={
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": str(where.database),
            "POSTGRES_HOST": "127.0.0.1",
            "POSTGRES_PORT": str(server.port),
            "POSTGRES_USER": "postgres",
            "POSTGRES_PASSWORD": "none",
            "POSTGRES_POOL_SIZE": str(CLIENTS),
        }
    )


def bare_tables(connection: psycopg.Connection) -> None:
    """Two logs of one table each, numbered by a sequence; rows of the second have the transaction's id as well."""
    columns = "session_id bytea, version bigint, line bytea, UNIQUE (session_id, version)"
    connection.execute(f"CREATE TABLE serial_events (position bigserial PRIMARY KEY, {columns})")
    connection.execute(
        f"CREATE TABLE xid8_events (position bigserial PRIMARY KEY, xid xid8 DEFAULT pg_current_xact_id(), {columns})"
    )


def _at_once(clients: int, work: Callable[[int], None]) -> Contender:
    def once() -> float:
        with ThreadPoolExecutor(clients) as pool:
            return per_second(clients * EACH, lambda: list(pool.map(work, range(clients))))

    return once


def _appends(log_of: Callable[[int], SqlEventLog], clients: int, sessions: "count[int]") -> Contender:
    def work(number: int) -> None:
        log, session_id = log_of(number), a_session_id(next(sessions))
        for version in range(EACH):
            log.append([an_envelope(session_id, version + 1, started(version))], expected_version=version)

    return _at_once(clients, work)


def _saves(application: Application[Any]) -> Contender:
    def work(_: int) -> None:
        session = peer_session()
        for number in range(EACH - 1):
            application.save(session)
            tell_peer(session, started(number))
        application.save(session)

    return _at_once(CLIENTS, work)


def _inserts(table: str, connections: Sequence[psycopg.Connection], line: bytes) -> Contender:
    sessions = count(1)

    def work(number: int) -> None:
        session_id = next(sessions).to_bytes(16)
        for version in range(EACH):
            connections[number].execute(
                f"INSERT INTO {table} (session_id, version, line) VALUES (%s, %s, %s)", (session_id, version, line)
            )

    return _at_once(CLIENTS, work)
