"""From a database URL to an engine whose every connection is durable and whose every failure is an error of ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, Protocol

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL, ExceptionContext

from persistence import sqlite
from persistence.sqlite import driver
from persistence.urls import RULE, parse, unavailable

__all__ = ["backend", "driver", "driver_cursor", "file_of", "open_engine", "raise_translated", "writing"]


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

    def is_outage(self, error: BaseException) -> bool:
        """Whether an error of the driver says that the database cannot be worked with now."""
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
        of.begin(connection, writing=connection.get_execution_options().get("immediate", False))

    def translate(context: ExceptionContext) -> None:
        if of.is_outage(context.original_exception):
            raise unavailable(engine, context.original_exception) from context.original_exception

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin)
    event.listen(engine, "handle_error", translate)
    return engine


def writing(engine: Engine) -> Engine:
    """The same engine, with transactions that hold the write lock from their beginning.

    A transaction that reads first and writes then would fail at once if another writer came in between, or go by what
    is not so any more.
    """
    return engine.execution_options(immediate=True)


@contextmanager
def driver_cursor(engine: Engine) -> Iterator[Any]:
    """A cursor of the driver on a pooled connection, for single statements that read.

    The log goes around `Connection` and its results: they cost as much as the flush of an append to the disk.
    """
    errors = backend(engine).ERRORS
    try:
        connection = engine.raw_connection()
        try:
            yield connection.cursor()
        except errors:
            connection.invalidate()  # whatever it was, the next one gets a connection that is known to work
            raise
        finally:
            connection.close()
    except errors as error:
        raise_translated(engine, error)


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
