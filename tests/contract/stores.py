"""One way to open every kind of store, so that one suite holds them all to the ports."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine

from application.ports import Agenda, EventLog, Leases, ReadModels, Seals, Snapshots
from persistence import schema
from persistence.checkpoints import SqlAgenda, SqlSeals
from persistence.engine import driver, open_engine
from persistence.event_log import SqlEventLog
from persistence.leases import SqlLeases
from persistence.memory import MemoryAgenda, MemoryEventLog, MemorySeals
from persistence.memory_leases import MemoryLeases
from persistence.memory_read_models import MemoryReadModels
from persistence.read_models import SqlReadModels
from persistence.snapshots import MemorySnapshots, SqlSnapshots

OnAppend = Callable[[], None]


class Store(NamedTuple):
    log: EventLog
    seals: Seals
    agenda: Agenda
    read_models: ReadModels
    snapshots: Snapshots
    leases: Leases


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def memory_store(_: Path, on_append: OnAppend | None = None) -> Iterator[Store]:
    leases = MemoryLeases(lambda: time.time_ns() // 1000)
    log = MemoryEventLog(on_append, leases)
    yield Store(log, MemorySeals(), MemoryAgenda(), MemoryReadModels(), MemorySnapshots(), leases)


def sqlite_store(directory: Path, on_append: OnAppend | None = None) -> Iterator[Store]:
    with an_engine(directory / "log.db") as engine:
        yield a_store(engine, on_append)


def a_store(engine: Engine, on_append: OnAppend | None = None) -> Store:
    return Store(
        SqlEventLog(engine, on_append),
        SqlSeals(engine),
        SqlAgenda(engine),
        SqlReadModels(engine),
        SqlSnapshots(engine),
        SqlLeases(engine),
    )


@contextmanager
def an_engine(path: Path) -> Iterator[Engine]:
    """An engine over a database with the schema of the code."""
    with closing(url_of(path)) as engine:
        schema.upgrade(engine)
        yield engine


@contextmanager
def closing(url: str) -> Iterator[Engine]:
    """An engine over a database as it is."""
    engine = open_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def log_at(url: str) -> Iterator[SqlEventLog]:
    """A log over a database that has the schema of the code."""
    with closing(url) as engine:
        yield SqlEventLog(engine)


@contextmanager
def a_log(path: Path) -> Iterator[SqlEventLog]:
    with an_engine(path) as engine:
        yield SqlEventLog(engine)


def sql(path: Path, statement: str, *parameters: Any) -> list[Any]:
    """Run one statement as somebody with another program would."""
    connection = driver.connect(str(path), isolation_level=None)
    try:
        return list(connection.execute(statement, parameters).fetchall())
    finally:
        connection.close()


def tamper(path: Path, statement: str, *parameters: Any) -> None:
    """Change the record behind the back of its triggers."""
    connection = driver.connect(str(path), isolation_level=None)
    try:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(statement, parameters)
    finally:
        connection.close()
