"""From a database URL to an engine whose every connection is durable and whose every failure is an error of ours."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, Protocol
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL, ExceptionContext

from persistence import sqlite
from persistence.sqlite import driver
from persistence.urls import RULE, parse, unavailable

__all__ = [
    "backend",
    "driver",
    "driver_cursor",
    "fetched",
    "file_of",
    "open_engine",
    "own_connection",
    "raise_translated",
    "writing",
]

IDLE = 8
"""Connections that are kept for the next one who asks."""

PATIENCE_S = 0.1
"""How long a single statement waits for one of these, before it opens one more: that is slower than most statements."""


class _Kept:
    """The connections of an engine that nobody uses now, and turns at them."""

    def __init__(self) -> None:
        self.idle = deque[Any]()
        self.turns = threading.BoundedSemaphore(IDLE)


_kept: WeakKeyDictionary[Engine, _Kept] = WeakKeyDictionary()


class Backend(Protocol):
    """What a module gives that knows one kind of database."""

    ERRORS: tuple[type[Exception], ...]
    PARAMETER: str

    def check(self, url: URL, rule: str) -> None:
        """Raise `Invalid` if the URL does not keep the rule."""
        ...

    def make_engine(self, url: URL) -> Engine:
        """An engine whose connections are not prepared yet."""
        ...

    def prepare(self, engine: Engine, connection: Any) -> None:
        """Make a new connection durable, or raise `StoreUnavailable`."""
        ...

    def begin(self, connection: Connection, *, writing: bool) -> None:
        """Begin a transaction; with the write lock, if it is going to write."""
        ...

    def watch(self, connection: Any, notify: Callable[[], None], ending: int) -> None:
        """Call ``notify`` whenever the log may have grown, until the other end of ``ending``, a pipe, is closed."""
        ...

    def is_outage(self, error: BaseException) -> bool:
        """Whether an error of the driver says that the database cannot be worked with now."""
        ...

    def is_lost(self, connection: Any) -> bool:
        """Whether a connection that nobody uses has ended meanwhile."""
        ...

    def file_of(self, url: URL) -> Path | None:
        """The file of an embedded database."""
        ...


def open_engine(url: str) -> Engine:
    """An engine for ``sqlite:////path/to/file`` or ``postgresql://user@host/database``, connected at the first use.

    SQLite's file is made at the first use. Transactions are deferred; those of `writing` take the write lock when they
    begin.

    Raises:
        Invalid: the URL names no database that the log can be kept in.

    """
    parsed = parse(url)
    of = _of(parsed)
    of.check(parsed, RULE)
    engine = of.make_engine(parsed)

    def prepare(connection: Any, _: Any) -> None:
        try:
            of.prepare(engine, connection)
        except Exception as error:
            connection.close()
            raise_translated(engine, error)

    def begin(connection: Connection) -> None:
        try:
            of.begin(connection, writing=connection.get_execution_options().get("immediate", False))
        except of.ERRORS as error:
            raise_translated(engine, error)

    def translate(context: ExceptionContext) -> None:
        if of.is_outage(context.original_exception):
            raise unavailable(engine, context.original_exception) from context.original_exception

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin)
    event.listen(engine, "handle_error", translate)
    kept = _kept[engine] = _Kept()

    def close_idle(_: Engine) -> None:
        while kept.idle:
            kept.idle.pop().close()

    event.listen(engine, "engine_disposed", close_idle)
    return engine


def writing(engine: Engine) -> Engine:
    """The same engine, with transactions that hold the write lock from their beginning.

    A transaction that reads first and writes then would fail at once if another writer came in between, or go by what
    is not so any more.
    """
    return engine.execution_options(immediate=True)


@contextmanager
def driver_cursor(engine: Engine) -> Iterator[Any]:
    """A cursor of the driver on a connection of its own, for single statements that read.

    The log goes around `Connection`, its results and the engine's pool: each costs as much as the statement does.
    """
    errors = backend(engine).ERRORS
    connection = _unused(engine) or own_connection(engine)
    try:
        cursor = connection.cursor()
        yield cursor
        cursor.close()  # what it did not fetch would keep the snapshot of its read
    except errors as error:
        connection.close()  # whatever it was, the next one gets a connection that is known to work
        raise_translated(engine, error)
    except BaseException:
        connection.close()
        raise
    _keep(engine, connection)


def fetched(engine: Engine, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
    """All rows of one statement, with a question mark for each parameter; else as with `driver_cursor`."""
    turns = _kept[engine].turns
    in_turn = turns.acquire(timeout=PATIENCE_S)
    try:
        return _fetched(engine, sql, parameters)
    finally:
        if in_turn:
            turns.release()


def _fetched(engine: Engine, sql: str, parameters: Sequence[object]) -> list[Any]:
    of = backend(engine)
    connection = _unused(engine) or own_connection(engine)
    try:
        rows: list[Any] = connection.execute(sql.replace("?", of.PARAMETER), parameters).fetchall()
    except BaseException as error:
        connection.close()
        if isinstance(error, of.ERRORS):
            raise_translated(engine, error)
        raise
    _keep(engine, connection)
    return rows


def _keep(engine: Engine, connection: Any) -> None:
    if len(idle := _kept[engine].idle) < IDLE:
        idle.append(connection)
    else:
        connection.close()


def _unused(engine: Engine) -> Any:
    """The connection that was used last, of those that nobody uses now; None if there is none."""
    idle, is_lost = _kept[engine].idle, backend(engine).is_lost
    while True:
        try:
            connection = idle.pop()
        except IndexError:
            return None
        if not is_lost(connection):
            return connection
        connection.close()


def own_connection(engine: Engine) -> Any:
    """A connection of the driver, for who keeps it and closes it: the pool knows nothing of it.

    Raises:
        StoreUnavailable: there is none to be had.

    """
    try:
        pooled = engine.raw_connection()
    except backend(engine).ERRORS as error:
        raise_translated(engine, error)
    pooled.detach()
    return pooled.dbapi_connection


def raise_translated(engine: Engine, error: Exception) -> NoReturn:
    """Raise `StoreUnavailable` for an error of the driver that is about the database's being there, else the error."""
    if backend(engine).is_outage(error):
        raise unavailable(engine, error) from error
    raise error


def backend(engine: Engine) -> Backend:
    """The module that knows this kind of database."""
    return _of(engine.url)


def file_of(engine: Engine) -> Path | None:
    """The file of an embedded database, which is ours to make; None for a server's."""
    return backend(engine).file_of(engine.url)


def _of(url: URL) -> Backend:
    if url.get_backend_name() == "sqlite":
        return sqlite
    from persistence import postgres  # noqa: PLC0415 - a quarter of a second that SQLite has no use for

    return postgres
