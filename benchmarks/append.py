"""Append one event a commit to SQLite, every commit flushed: the log, the peer, and the bare driver."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

from eventsourcing.application import Application

from application.ports import Draft
from benchmarks.histories import a_session_id, an_envelope, peer_application, peer_session, started, tell_peer
from benchmarks.measure import Contender, Figure, fsync_ms, per_second, ratio, take_turns
from entrypoints.bootstrap import opened
from persistence import codec
from persistence.engine import driver
from persistence.event_log import SqlEventLog

EVENTS = 200
ROUNDS = 11
THREADS, GROUPED = 64, 6400
STRAIGHT = "Trailkeep, without the queue of group commits"
OURS, PEER, RECORDER, RAW = "Trailkeep", "eventsourcing, save", "eventsourcing, recorder alone", "driver alone"


def measure(directory: Path) -> Figure:
    """Events a second. Making the event is part of the work, but for the recorder and the driver alone."""
    line, _ = codec.encode(an_envelope(a_session_id(0), 1, started(0)))
    with (
        opened(f"sqlite:///{directory / 'ours.db'}") as app,
        closing(peer_application(str(directory / "peer.db"))) as peer,
        closing(bare_database(directory / "raw.db")) as raw,
    ):
        sessions = count(1)
        values = take_turns(
            {
                OURS: _ours(app.log, sessions),
                STRAIGHT: _straight(app.log, sessions),
                PEER: _peer(peer),
                RECORDER: _recorder(peer),
                RAW: _raw(raw, line),
            },
            ROUNDS,
        )
    return Figure(
        "append, one event a commit",
        f"SQLite, WAL, synchronous=FULL; lines of {len(line)} bytes; {EVENTS} events a round, {ROUNDS} rounds; "
        f"an fsync takes {fsync_ms(directory):.2f} ms here",
        "events/s",
        values,
        [
            ratio(values, OURS, PEER, ">= 1.7"),
            ratio(values, OURS, RECORDER, "none"),
            ratio(values, OURS, RAW, ">= 0.7"),
            ratio(values, OURS, STRAIGHT, "1: latency at low load does not grow"),
        ],
    )


def measure_grouped(directory: Path) -> Figure:
    """Events a second of many sessions: each by a thread of its own, and all by one that purges for them in rounds."""
    line, _ = codec.encode(an_envelope(a_session_id(0), 1, started(0)))
    ours, in_one_call = f"Trailkeep, {THREADS} threads", f"Trailkeep, {THREADS} sessions in one call"
    with (
        opened(f"sqlite:///{directory / 'ours.db'}") as app,
        closing(peer_application(str(directory / "peer.db"))) as peer,
        closing(bare_database(directory / "raw.db")) as raw,
    ):
        sessions = count(1)
        values = take_turns(
            {
                ours: _at_once(app.log, sessions),
                in_one_call: _in_one_call(app.log, sessions),
                "Trailkeep, one session": _ours(app.log, sessions),
                f"{PEER}, one by one": _peer(peer),
                "driver alone, one by one": _raw(raw, line),
                "driver alone, 100 a commit": _raw_grouped(raw, line, 100),
            },
            ROUNDS,
        )
    return Figure(
        "append, many sessions at once",
        f"SQLite, WAL, synchronous=FULL; lines of {len(line)} bytes; one event an append, {ROUNDS} rounds; "
        f"an fsync takes {fsync_ms(directory):.2f} ms here",
        "events/s",
        values,
        [
            ratio(values, ours, f"{PEER}, one by one", ">= 10"),
            ratio(values, in_one_call, f"{PEER}, one by one", ">= 10"),
            ratio(values, ours, "driver alone, 100 a commit", "none"),
        ],
    )


def _at_once(log: SqlEventLog, sessions: "count[int]") -> Contender:
    each = GROUPED // THREADS

    def once() -> float:
        def write(session_id: str) -> None:
            for version in range(each):
                log.append([an_envelope(session_id, version + 1, started(version))], expected_version=version)

        ids = [a_session_id(next(sessions)) for _ in range(THREADS)]
        with ThreadPoolExecutor(THREADS) as pool:
            return per_second(GROUPED, lambda: list(pool.map(write, ids)))

    return once


def _in_one_call(log: SqlEventLog, sessions: "count[int]") -> Contender:
    each = GROUPED // THREADS

    def once() -> float:
        ids = [a_session_id(next(sessions)) for _ in range(THREADS)]

        def work() -> None:
            for version in range(each):
                drafts = [Draft([an_envelope(one, version + 1, started(version))], version) for one in ids]
                assert None not in log.append_each(drafts)

        return per_second(GROUPED, work)

    return once


def _raw_grouped(connection: Any, line: bytes, each: int) -> Contender:
    sessions = count(1_000_000)

    def work() -> None:
        session_id = next(sessions).to_bytes(16)
        for first in range(0, GROUPED, each):
            rows = [(session_id, version, line) for version in range(first, first + each)]
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO events (session_id, version, line) VALUES (?, ?, ?)", rows)
            connection.execute("COMMIT")

    return lambda: per_second(GROUPED, work)


def _ours(log: SqlEventLog, sessions: "count[int]") -> Contender:
    def work() -> None:
        session_id = a_session_id(next(sessions))
        for version in range(EVENTS):
            log.append([an_envelope(session_id, version + 1, started(version))], expected_version=version)

    return lambda: per_second(EVENTS, work)


def _straight(log: SqlEventLog, sessions: "count[int]") -> Contender:
    """As if nobody else could have something to write at the same time."""
    ours = _ours(log, sessions)

    def once() -> float:
        with patch.object(log._commits, "ask", log._writer.commit):
            return ours()

    return once


def _peer(application: Application[Any]) -> Contender:
    def work() -> None:
        session = peer_session()
        for number in range(EVENTS - 1):
            application.save(session)
            tell_peer(session, started(number))
        application.save(session)

    return lambda: per_second(EVENTS, work)


def _recorder(application: Application[Any]) -> Contender:
    def once() -> float:
        session = peer_session()
        for number in range(EVENTS - 1):
            tell_peer(session, started(number))
        stored = [application.mapper.to_stored_event(one) for one in session.collect_events()]

        def work() -> None:
            for one in stored:
                application.recorder.insert_events([one])

        return per_second(EVENTS, work)

    return once


def bare_database(path: Path) -> Any:
    """A log in one table with one index, and the driver's connection to it."""
    connection = driver.connect(str(path), isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(
        "CREATE TABLE events (position INTEGER PRIMARY KEY, session_id BLOB, version INTEGER, line BLOB,"
        " UNIQUE (session_id, version))"
    )
    return connection


def commit(connection: Any, session_id: bytes, version: int, line: bytes) -> None:
    """Append a line to the bare database, durably."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO events (session_id, version, line) VALUES (?, ?, ?)", (session_id, version, line))
    connection.execute("COMMIT")


def _raw(connection: Any, line: bytes) -> Contender:
    sessions = count(1)

    def work() -> None:
        session_id = next(sessions).to_bytes(16)
        for version in range(EVENTS):
            commit(connection, session_id, version, line)

    return lambda: per_second(EVENTS, work)
