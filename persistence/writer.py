"""The connection over which a process appends, and the one transaction that it makes."""

import threading
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, event

from domain.errors import LogDamaged
from persistence.engine import DRIVER_ERRORS, driver, raise_translated

Row = tuple[bytes, bytes, int, bytes, bytes]
"""An event without its position: event_id, session_id, version, line, leaf_hash."""

_STATE = """
    SELECT coalesce((SELECT position FROM log_head), 0),
        coalesce((SELECT max(version) FROM events WHERE session_id = ?), 0)"""
_INSERT = """
    INSERT INTO events (position, event_id, session_id, version, line, leaf_hash) VALUES (?, ?, ?, ?, ?, ?)"""


class Writer:
    """One connection for all threads: they take turns, where SQLite would have them sleep and ask again.

    It is opened by the first append and closed with the engine.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Lock()
        self._connection: Any = None
        event.listen(engine, "engine_disposed", self._disposed)

    def append(self, rows: Sequence[Row], expected_version: int) -> int | None:
        """Commit these rows of one session after the head of the log; return the head they came after.

        None if the session is not at ``expected_version``.

        Raises:
            LogDamaged: an event with one of the ids is there, or what guards the log refused the rows.
            StoreUnavailable: it failed, and if that was at the end, it may be committed all the same.

        """
        head: int = 0
        with self._turn:
            try:
                cursor = self._opened().execute("BEGIN IMMEDIATE")
                head, version = cursor.execute(_STATE, (rows[0][1],)).fetchone()
                if version != expected_version:
                    return None
                for position, row in enumerate(rows, head + 1):
                    cursor.execute(_INSERT, (position, *row))
                cursor.execute("COMMIT")
            except driver.IntegrityError as error:
                raise LogDamaged(head + 1, str(error)) from error
            except DRIVER_ERRORS as error:
                self._close()
                raise_translated(self._engine, error)
            finally:
                self._roll_back()
        return head

    def _opened(self) -> Any:
        if self._connection is None:
            pooled = self._engine.raw_connection()
            pooled.detach()
            self._connection = pooled.dbapi_connection
        return self._connection

    def _roll_back(self) -> None:
        """Give up what is not committed, because it was refused or interrupted."""
        if self._connection is not None and self._connection.in_transaction:
            self._connection.rollback()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _disposed(self, _: Engine) -> None:
        with self._turn:
            self._close()
