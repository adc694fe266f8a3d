"""The read models in their tables."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec
from msgspec.structs import asdict
from sqlalchemy import Engine, bindparam, delete, func, select, tuple_

from application.ports import BatchRecord, ReadModels, SessionSummary
from domain.errors import ReadModelsDamaged
from persistence.bulk import Values, columns, execute_each, replacement
from persistence.checkpoints import checkpoint_of, move, position_of
from persistence.engine import fetched, writing
from persistence.tables import batch_ledger, session_summaries

_PROJECTOR = "read_models"

_AT_ONCE = 500
"""Keys of one statement."""

_NEWEST_ON = (
    select(session_summaries.c.session_id)
    .where(session_summaries.c.root == bindparam("root"))
    .order_by(session_summaries.c.opened_at.desc(), session_summaries.c.session_id.desc())
    .limit(1)
)
_NEXT_ROOT = (
    select(session_summaries.c.root, session_summaries.c.root_id)
    .where(tuple_(session_summaries.c.root, session_summaries.c.root_id) > tuple_(bindparam("path"), bindparam("id")))
    .order_by(session_summaries.c.root, session_summaries.c.root_id)
    .limit(1)
)
_CONSTANT = ("channel", "ordinal", "root", "root_id", "opened_at")
"""Columns of a session that say what it was opened with: what the indexes are over."""

_OTHER_SESSION = (
    f"DELETE FROM session_summaries WHERE session_id = ? AND NOT ({' AND '.join(f'{name} = ?' for name in _CONSTANT)})"  # noqa: S608 our own names
)
_SESSION = replacement(session_summaries, _CONSTANT)
_BATCH = replacement(batch_ledger)
_SUMMARY_FIELDS, _BATCH_FIELDS = columns(session_summaries), columns(batch_ledger)
_SUMMARIES = f"SELECT {', '.join(_SUMMARY_FIELDS)} FROM session_summaries WHERE session_id IN ({{}})"  # noqa: S608 our own names
_RECORDS = f"SELECT {', '.join(_BATCH_FIELDS)} FROM batch_ledger WHERE (session_id, batch) IN (VALUES {{}})"  # noqa: S608
_SIZES = select(batch_ledger.c.session_id, func.count()).group_by(batch_ledger.c.session_id)


class SqlReadModels(ReadModels):
    """Session summaries and the batch ledger; rows and checkpoint move together."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def checkpoint(self) -> int:
        """See `ReadModels.checkpoint`."""
        return checkpoint_of(self._engine, _PROJECTOR)

    def apply(
        self, sessions: Sequence[SessionSummary], batches: Sequence[BatchRecord], *, after: int, checkpoint: int
    ) -> bool:
        """See `ReadModels.apply`."""
        with writing(self._engine).begin() as connection:
            if position_of(connection, _PROJECTOR) != after:
                return False
            # A row of one that was opened otherwise is of a log that lost its end; it goes as a whole.
            opened = [(row.session_id, *(getattr(row, name) for name in _CONSTANT)) for row in sessions]
            execute_each(connection, _OTHER_SESSION, opened)
            execute_each(connection, _SESSION, [[getattr(row, name) for name in _SUMMARY_FIELDS] for row in sessions])
            execute_each(connection, _BATCH, [_ledger_row(row) for row in batches])
            move(connection, _PROJECTOR, checkpoint)
        return True

    def clear(self) -> None:
        """See `ReadModels.clear`."""
        with writing(self._engine).begin() as connection:
            connection.execute(delete(batch_ledger))
            connection.execute(delete(session_summaries))
            move(connection, _PROJECTOR, 0)

    def sessions(self, channel: str | None = None) -> list[SessionSummary]:
        """See `ReadModels.sessions`."""
        found = select(session_summaries).order_by(session_summaries.c.opened_at, session_summaries.c.session_id)
        if channel is not None:
            found = found.where(session_summaries.c.channel == channel)
        with self._engine.connect() as connection:
            return list(map(_summary, connection.execute(found)))

    def session(self, session_id: str) -> SessionSummary | None:
        """See `ReadModels.session`."""
        found = select(session_summaries).where(session_summaries.c.session_id == session_id)
        with self._engine.connect() as connection:
            row = connection.execute(found).one_or_none()
        return _summary(row) if row else None

    def newest_on(self, root: str) -> str | None:
        """See `ReadModels.newest_on`."""
        with self._engine.connect() as connection:
            newest: str | None = connection.scalar(_NEWEST_ON, {"root": root})
        return newest

    def roots(self) -> list[tuple[str, str]]:
        """See `ReadModels.roots`: one step of the index for each, however many sessions there are."""
        found: list[tuple[str, str]] = []
        last = ("", "")
        with self._engine.connect() as connection:
            while row := connection.execute(_NEXT_ROOT, {"path": last[0], "id": last[1]}).first():
                last = (row[0], row[1])
                found.append(last)
        return found

    def summaries(self, session_ids: Collection[str]) -> list[SessionSummary]:
        """See `ReadModels.summaries`."""
        return [_summary(row) for some in _parts(session_ids) for row in self._rows_of(_SUMMARIES, "?", some)]

    def records(self, keys: Collection[tuple[str, int]]) -> list[BatchRecord]:
        """See `ReadModels.records`."""
        return [
            _batch_record(row)
            for some in _parts(keys)
            for row in self._rows_of(_RECORDS, "(?, ?)", [value for key in some for value in key], len(some))
        ]

    def _rows_of(self, sql: str, place: str, values: Sequence[Any], places: int | None = None) -> list[Any]:
        """What a statement finds by a list of keys. Each page of events asks, so it goes to the driver as it is."""
        marks = ", ".join([place] * (places or len(values)))
        return fetched(self._engine, sql.format(marks), values)

    def batches(self, session_id: str, *, numbers: Sequence[int] | None = None) -> list[BatchRecord]:
        """See `ReadModels.batches`."""
        found = select(batch_ledger).where(batch_ledger.c.session_id == session_id).order_by(batch_ledger.c.batch)
        if numbers is not None:
            found = found.where(batch_ledger.c.batch.in_(numbers))
        with self._engine.connect() as connection:
            return list(map(_batch_record, connection.execute(found)))

    def ledger_sizes(self) -> dict[str, int]:
        """See `ReadModels.ledger_sizes`."""
        with self._engine.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(_SIZES)}

    def ledger_numbers(self, session_id: str) -> list[int]:
        """See `ReadModels.ledger_numbers`."""
        found = select(batch_ledger.c.batch).where(batch_ledger.c.session_id == session_id)
        with self._engine.connect() as connection:
            return list(connection.scalars(found.order_by(batch_ledger.c.batch)))


def _parts(keys: Collection[Any]) -> Iterator[list[Any]]:
    all_of_them = list(keys)
    for first in range(0, len(all_of_them), _AT_ONCE):
        yield all_of_them[first : first + _AT_ONCE]


def _ledger_row(record: BatchRecord) -> Values:
    told = {**asdict(record), "positions": msgspec.json.encode(record.positions).decode()}
    return [told[name] for name in _BATCH_FIELDS]


def _batch_record(row: Sequence[Any]) -> BatchRecord:
    told = dict(zip(_BATCH_FIELDS, row, strict=True))
    try:
        told["positions"] = msgspec.json.decode(told["positions"])
        return msgspec.convert(told, BatchRecord)
    except (msgspec.MsgspecError, TypeError) as error:
        at = "" if isinstance(error, msgspec.ValidationError) else "positions: "
        raise ReadModelsDamaged(
            f"the row of batch {told['batch']} of session {told['session_id']} cannot be read: {at}{error}"
        ) from error


def _summary(row: Sequence[Any]) -> SessionSummary:
    told = dict(zip(_SUMMARY_FIELDS, row, strict=True))
    try:
        return msgspec.convert(told, SessionSummary)
    except msgspec.ValidationError as error:
        raise ReadModelsDamaged(f"the row of session {told['session_id']} cannot be read: {error}") from error
