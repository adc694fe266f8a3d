"""What is SQLite's own: the driver, what makes a connection durable, and which errors are about the file."""

import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import URL

from domain.errors import Invalid, StoreUnavailable
from persistence.urls import unavailable

try:
    import pysqlite3.dbapi2 as driver  # a newer SQLite than most Pythons bring
except ImportError:  # where it has no wheel
    import sqlite3 as driver

__all__ = [
    "ERRORS",
    "PARAMETER",
    "begin",
    "check",
    "driver",
    "file_of",
    "is_damage",
    "is_lost",
    "is_outage",
    "make_engine",
    "prepare",
    "take_turn",
    "watch",
]

BUSY_MS = 30_000

TURN_S = 0.0005
"""How long a writer sleeps before it looks again whether it is its turn."""

ERRORS: tuple[type[Exception], ...] = (driver.Error, UnicodeDecodeError)
"""What the driver raises; the second when a damaged file gives it a message that is not text."""

PARAMETER = "?"

TICK_MS = 10
"""How often the watch looks."""

_VERSION = "PRAGMA data_version"  # another one after every commit of another connection
_PRAGMAS = (
    f"busy_timeout={BUSY_MS}",
    "cache_size=-16384",  # KiB. With thousands of sessions each append touches other pages of the indexes:
    "wal_autocheckpoint=4000",  # keep them at hand, and put them back into the file when more has come together
    "synchronous=FULL",  # NORMAL loses acknowledged commits at a power cut
)


def make_engine(url: URL) -> Engine:
    """An engine for a file, which is opened, or made, at the first use."""
    return create_engine(url, module=driver, max_overflow=-1)


def check(url: URL, rule: str) -> None:
    """Raise `Invalid` if the log cannot be kept there."""
    shown = url.render_as_string()
    if url.drivername != "sqlite" or url.host or url.query:
        raise Invalid("database", shown, rule)
    if url.database in {None, "", ":memory:"}:
        raise Invalid("database", shown, f"{rule}: the log must outlive the process")


def prepare(engine: Engine, connection: Any) -> None:
    """Make a new connection durable.

    Raises:
        StoreUnavailable: it cannot be.

    """
    connection.isolation_level = None  # the driver begins nothing by itself; `begin` does
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    mode = _write_ahead(connection)
    if mode != "wal":
        raise unavailable(engine, f"its journal mode is {mode!r} and cannot be made 'wal' there")


def begin(connection: Connection, *, writing: bool) -> None:
    """Begin a transaction; with the write lock, if it is going to write."""
    if not writing:
        connection.exec_driver_sql("BEGIN")
        return
    connection.exec_driver_sql("PRAGMA busy_timeout=0")
    try:
        take_turn(connection.connection.dbapi_connection)
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={BUSY_MS}")


def take_turn(connection: Any) -> Any:
    """Begin a transaction with the write lock, on a connection that does not wait for locks itself; its cursor.

    Between processes that write in short turns SQLite's own wait sleeps for longer than they work: for 25 ms and more,
    soon, and whoever comes by meanwhile goes first.

    Raises:
        OperationalError: another kept the lock for `BUSY_MS`.

    """
    deadline = 0.0
    while True:
        try:
            return connection.execute("BEGIN IMMEDIATE")
        except driver.OperationalError as error:
            now = time.monotonic()
            deadline = deadline or now + BUSY_MS / 1000
            if "locked" not in str(error) or now >= deadline:
                raise
        time.sleep(TURN_S)


def watch(connection: Any, notify: Callable[[], None], ending: int) -> None:
    """See `persistence.engine.Backend.watch`: a question that is cheap enough to be asked a hundred times a second."""
    ended = select.poll()
    ended.register(ending, select.POLLIN)
    version = head = None
    while not ended.poll(TICK_MS):
        before, (version,) = version, connection.execute(_VERSION).fetchone()
        if version != before:  # somebody committed something
            known, head = head, connection.execute("SELECT position FROM log_head").fetchone()
            if head != known:
                notify()


def is_outage(error: BaseException) -> bool:
    """Whether this is about the file or its disk; constraints and mistakes in our SQL have classes of their own."""
    return type(error) in {driver.OperationalError, driver.DatabaseError, UnicodeDecodeError}


def is_lost(_: Any) -> bool:
    """See `persistence.engine.Backend.is_lost`: a file does not hang up."""
    return False


def is_damage(error: StoreUnavailable) -> bool:
    """Whether it is the content of the file that is damaged."""
    return type(error.__cause__) is driver.DatabaseError


def file_of(url: URL) -> Path | None:
    """The file that the database is."""
    return Path(url.database or "")


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
