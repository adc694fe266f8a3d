"""The connection over which a process appends, and the transactions that it makes."""

import threading
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Engine, event

from application.ports import Fence
from domain.errors import LogDamaged
from domain.events import Envelope
from domain.merkle import leaf_hash
from persistence import codec
from persistence.codec import Written
from persistence.engine import driver, raise_translated
from persistence.sqlite import ERRORS, take_turn

Value = TypeVar("Value")
Row = tuple[bytes, bytes, int, bytes, bytes]
"""An event without its position: event_id, session_id, version, line, leaf_hash."""


class Append(msgspec.Struct, frozen=True):
    """Rows of one session, in order, at least one; they are recorded only if it is at ``expected_version``.

    With a ``fence``, only if the resource's lease has that epoch still, too.
    """

    rows: Sequence[Row]
    expected_version: int
    fence: Fence | None = None


def append_of(written: Sequence[Written], expected_version: int, fence: Fence | None) -> Append:
    """The append of these events, of one session."""
    return Append([row_of(line, envelope) for line, envelope in written], expected_version, fence)


def row_of(line: bytes, envelope: Envelope) -> Row:
    """The row of an event."""
    return (
        codec.id_bytes(envelope.event_id),
        codec.id_bytes(envelope.session_id),
        envelope.version,
        line,
        leaf_hash(line),
    )


AT_ONCE = 64
"""Sessions that one statement asks for, and rows that one inserts, at most.

Each step of a statement lets another thread have the interpreter, and waits for it to come back. So a group that one
statement reads, and one writes, is done sooner than its parts would be.
"""

_HEAD = "coalesce((SELECT position FROM log_head), 0)"
_VERSION = "coalesce((SELECT max(version) FROM events WHERE session_id = ?), 0)"
_EPOCH = "SELECT 1 FROM leases WHERE resource = ? AND epoch = ?"
_INSERT = "INSERT INTO events (position, event_id, session_id, version, line, leaf_hash) VALUES "


class Writer:
    """One connection for all threads: they take turns, where SQLite would have them sleep and ask again.

    It is opened by the first append and closed with the engine.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Lock()
        self._connection: Any = None
        event.listen(engine, "engine_disposed", self._disposed)

    def commit(self, appends: Sequence[Append]) -> list[int | None]:
        """Commit these appends in one transaction; the answer to each is the head of the log that it came after.

        None if its session was not at the version that it expects, or its fence does not hold: that append is left out,
        and the others are not. Two appends of one session see each other.

        Raises:
            LogDamaged: an event with one of the ids is there, or what guards the log refused a row: none is committed.
            StoreUnavailable: it failed, and if that was at the end, it may be committed all the same.

        """
        first: int = 0
        answers: list[int | None] = []
        with self._turn:
            try:
                cursor = take_turn(self._opened())
                first, versions = _state(cursor, [one.rows[0][1] for one in appends])
                rows: list[Row] = []
                for one in appends:
                    session_id, taken = one.rows[0][1], first + len(rows)
                    if versions[session_id] != one.expected_version or not _holds(cursor, one.fence):
                        answers.append(None)
                        continue
                    answers.append(taken)
                    versions[session_id] += len(one.rows)
                    rows += one.rows
                _insert(cursor, first, rows)
                cursor.execute("COMMIT")
            except driver.IntegrityError as error:
                raise LogDamaged(first + 1, str(error)) from error
            except ERRORS as error:
                self._close()
                raise_translated(self._engine, error)
            finally:
                self._roll_back()
        return answers

    def _opened(self) -> Any:
        if self._connection is None:
            pooled = self._engine.raw_connection()
            pooled.detach()
            self._connection = pooled.dbapi_connection
            self._connection.execute("PRAGMA busy_timeout=0")  # `take_turn` waits
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


def _state(cursor: Any, session_ids: Sequence[bytes]) -> tuple[int, dict[bytes, int]]:
    """The head of the log, and the versions of these sessions."""
    versions, head = dict.fromkeys(session_ids, 0), 0
    for part in _parts(list(versions)):
        head, *found = cursor.execute(_state_of(len(part)), part).fetchone()
        versions.update(zip(part, found, strict=True))
    return head, versions


def _insert(cursor: Any, first: int, rows: Sequence[Row]) -> None:
    """Insert events after this position."""
    placed = [(position, *row) for position, row in enumerate(rows, first + 1)]
    for part in _parts(placed):
        cursor.execute(_insert_of(len(part)), list(chain.from_iterable(part)))


@cache
def _state_of(sessions: int) -> str:
    return f"SELECT {_HEAD}{f', {_VERSION}' * sessions}"


@cache
def _insert_of(rows: int) -> str:
    return _INSERT + ", ".join(["(?, ?, ?, ?, ?, ?)"] * rows)


def _parts(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """Parts whose lengths are powers of two, so that there are few statements, and the driver keeps them prepared."""
    begin = 0
    while left := len(values) - begin:
        end = begin + min(AT_ONCE, 1 << (left.bit_length() - 1))
        yield values[begin:end]
        begin = end


def _holds(cursor: Any, fence: Fence | None) -> bool:
    return fence is None or cursor.execute(_EPOCH, (fence.resource, fence.epoch)).fetchone() is not None
