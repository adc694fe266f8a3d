"""From a database URL to an engine whose every connection is durable and whose every failure is an error of ours."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NoReturn

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import ArgumentError

from domain.errors import Invalid, StoreUnavailable

try:
    import pysqlite3.dbapi2 as driver  # a newer SQLite than most Pythons bring
except ImportError:  # where it has no wheel
    import sqlite3 as driver

__all__ = ["DRIVER_ERRORS", "driver", "driver_cursor", "open_engine", "raise_translated", "sqlite_library", "writing"]

BUSY_MS = 30_000

DRIVER_ERRORS: tuple[type[Exception], ...] = (driver.Error, UnicodeDecodeError)
"""What the driver raises; the second when a damaged file gives it a message that is not text."""

_PRAGMAS = (
    f"busy_timeout={BUSY_MS}",
    "synchronous=FULL",  # NORMAL loses acknowledged commits at a power cut
)


def open_engine(url: str) -> Engine:
    """An engine for ``sqlite:////path/to/file``. The file is opened, or made, at the first use.

    Transactions are deferred; those of `writing` take the write lock when they begin.

    Raises:
        Invalid: the URL names no database that the log can be kept in.

    """
    engine = create_engine(_parse(url), module=driver, max_overflow=-1)

    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself; `begin` does
        try:
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
            mode = _write_ahead(connection)
            if mode != "wal":
                raise _unavailable(engine, f"its journal mode is {mode!r} and cannot be made 'wal' there")
        except Exception as error:
            connection.close()
            raise_translated(engine, error)

    def begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    def translate(context: ExceptionContext) -> None:
        if _is_outage(context.original_exception):
            raise _unavailable(engine, context.original_exception) from context.original_exception

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin)
    event.listen(engine, "handle_error", translate)
    return engine


def writing(engine: Engine) -> Engine:
    """The same engine, with transactions that hold the write lock from their beginning.

    A transaction that reads first and writes then would fail at once if another writer came in between.
    """
    return engine.execution_options(immediate=True)


@contextmanager
def driver_cursor(engine: Engine) -> Iterator[Any]:
    """A cursor of the driver on a pooled connection, for single statements that read.

    The log goes around `Connection` and its results: they cost as much as the flush of an append to the disk.
    """
    try:
        connection = engine.raw_connection()
        try:
            yield connection.cursor()
        finally:
            connection.close()
    except DRIVER_ERRORS as error:
        raise_translated(engine, error)


def raise_translated(engine: Engine, error: Exception) -> NoReturn:
    """Raise `StoreUnavailable` for an error of the driver that is about the file or its disk, else the error."""
    if _is_outage(error):
        raise _unavailable(engine, error) from error
    raise error


def sqlite_library() -> tuple[str, ModuleType]:
    """Version of the SQLite in use, and the driver module that brings it."""
    return driver.sqlite_version, driver


def _write_ahead(connection: Any) -> str:
    """Ask for a write-ahead log; the journal mode that there is then.

    Where several connections turn a new file into one with a write-ahead log at once, SQLite refuses all but one
    without waiting for `BUSY_MS`; so the wait is here.
    """
    deadline = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            mode: str = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        except driver.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.001)
        else:
            return mode


def _is_outage(error: BaseException) -> bool:
    """Whether this is about the file or its disk; constraints and mistakes in our SQL have classes of their own."""
    return type(error) in {driver.OperationalError, driver.DatabaseError, UnicodeDecodeError}


def _unavailable(engine: Engine, reason: object) -> StoreUnavailable:
    return StoreUnavailable(engine.url.render_as_string(), str(reason))


def _parse(url: str) -> URL:
    rule = "it must be a URL of the form sqlite:////path/to/file"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise Invalid("database", url, rule) from error
    if not f"{url}{parsed.database}".isprintable():
        raise Invalid("database", url, f"{rule}, of printable characters")
    shown = parsed.render_as_string()
    if parsed.drivername != "sqlite" or parsed.host or parsed.query:
        raise Invalid("database", shown, rule)
    if parsed.database in {None, "", ":memory:"}:
        raise Invalid("database", shown, f"{rule}: the log must outlive the process")
    return parsed
