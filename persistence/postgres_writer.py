"""The connection over which a process appends to a log in Postgres, one round trip a commit."""

import threading
from collections.abc import Sequence
from itertools import chain
from typing import Any

import psycopg
from sqlalchemy import Engine, event

from domain.errors import LogDamaged
from persistence.engine import own_connection, raise_translated
from persistence.postgres import is_lost
from persistence.writer import Append

_APPEND = """
    SELECT append_events(
        %b::bytea[], %b::bigint[], %b::text[], %b::bigint[], %b::integer[], %b::integer[],
        %b::integer[], %b::bytea[], %b::bytea[], %b::bytea[])"""


class PostgresWriter:
    """As `persistence.writer.Writer`. The head of the log is locked while the server works, never while we do."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Lock()
        self._connection: Any = None
        event.listen(engine, "engine_disposed", self._disposed)

    def commit(self, appends: Sequence[Append]) -> list[int | None]:
        """See `Writer.commit`. An append of which an event is there already is left out as well.

        Where the connection is lost, nobody knows whether the server has committed. So the same is asked again over a
        new one, once: that waits until the first attempt has ended, and leaves out what it has recorded.
        """
        arguments = _arguments(appends)
        with self._turn:
            try:
                if self._connection is not None and is_lost(self._connection):
                    self._close()
                connection = self._opened()
                try:
                    return _call(connection, arguments)
                except psycopg.OperationalError as error:
                    if not _is_end(connection, error):
                        raise
                    self._close()
                    return _call(self._opened(), arguments)
            except psycopg.IntegrityError as error:
                raise LogDamaged(self._head() + 1, error.diag.message_primary or str(error)) from error
            except psycopg.Error as error:
                self._close()
                raise_translated(self._engine, error)
            except BaseException:
                self._close()  # interrupted: what the connection is in the middle of is nobody's concern any more
                raise

    def _head(self) -> int:
        try:
            row = self._opened().execute("SELECT position FROM log_head").fetchone()
        except psycopg.Error as error:
            raise_translated(self._engine, error)
        return row[0] if row else 0

    def _opened(self) -> Any:
        if self._connection is None:
            self._connection = own_connection(self._engine)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _disposed(self, _: Engine) -> None:
        with self._turn:
            self._close()


def _call(connection: Any, arguments: Sequence[list[Any]]) -> list[int | None]:
    heads: list[int | None] = connection.execute(_APPEND, arguments).fetchone()[0]
    return heads


def _is_end(connection: Any, error: psycopg.OperationalError) -> bool:
    """Whether an error was the end of the connection; a server that stops may tell so before it hangs up."""
    return connection.closed or isinstance(error, psycopg.errors.AdminShutdown | psycopg.errors.CrashShutdown)


def _arguments(appends: Sequence[Append]) -> tuple[list[Any], ...]:
    """What `append_events` takes: six arrays with an item an append, four with an item a row."""
    sessions = [one.rows[0][1] for one in appends]
    newest: dict[bytes, int] = {}
    earlier = []
    for number, session in enumerate(sessions, 1):
        earlier.append(newest.get(session, 0))
        newest[session] = number
    rows = list(chain.from_iterable(one.rows for one in appends))
    return (
        sessions,
        [one.expected_version for one in appends],
        [one.fence and one.fence.resource for one in appends],
        [one.fence and one.fence.epoch for one in appends],
        [len(one.rows) for one in appends],
        earlier,
        [number for number, one in enumerate(appends, 1) for _ in one.rows],
        [row[0] for row in rows],
        [row[3] for row in rows],
        [row[4] for row in rows],
    )
