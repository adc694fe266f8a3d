"""Where the projectors are: a projector's place moves in the transaction of its rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import astuple
from sqlalchemy import Connection, Engine, bindparam, delete, insert, select, update

from application.ports import Agenda, AgendaItem, Seal, Seals
from domain import merkle
from domain.errors import LogDamaged, ReadModelsDamaged
from persistence.bulk import execute_each, insertion
from persistence.engine import fetched, writing
from persistence.tables import agenda, checkpoints
from persistence.tables import seal as seal_row

_HASH_BYTES = 32
_RETENTION = "retention"

_CHECKPOINT = "SELECT position FROM checkpoints WHERE projector = ?"
_POSITION = select(checkpoints.c.position).where(checkpoints.c.projector == bindparam("of"))
_NO_ITEMS = "DELETE FROM agenda WHERE session_id = ?"
_ITEM = insertion(agenda)
_DUE = "SELECT session_id, batch, due_at FROM agenda WHERE due_at <= ?"
_NEXT = "SELECT min(due_at) FROM agenda WHERE due_at > ?"
_ITEMS = select(agenda.c.session_id, agenda.c.batch, agenda.c.due_at)


def checkpoint_of(engine: Engine, projector: str) -> int:
    """The projector's checkpoint; 0 before its first. Each purge asks for it: so it is one statement of the driver."""
    rows = fetched(engine, _CHECKPOINT, (projector,))
    return _position(projector, rows[0][0] if rows else 0)


def position_of(connection: Connection, projector: str) -> int:
    """`checkpoint_of`, as part of the caller's transaction."""
    found = connection.scalar(_POSITION, {"of": projector})
    return _position(projector, 0 if found is None else found)


def _position(projector: str, found: Any) -> int:
    if not isinstance(found, int):
        raise ReadModelsDamaged(f"the checkpoint {projector} is {found!r}, which is no position")
    return found


def move(connection: Connection, projector: str, position: int) -> None:
    """Put the projector's checkpoint at a position, as part of the caller's transaction."""
    row = {"projector": projector, "position": position}
    if not connection.execute(update(checkpoints).where(checkpoints.c.projector == projector), row).rowcount:
        connection.execute(insert(checkpoints), row)


class SqlSeals(Seals):
    """The seal in its row."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def load(self) -> Seal:
        """See `Seals.load`."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(seal_row.c.size, seal_row.c.frontier, seal_row.c.root)).all()
        if len(rows) != 1:
            raise LogDamaged(None, "the seal is missing")
        size, frontier, root = rows[0]
        if not isinstance(size, int) or not isinstance(frontier, bytes):
            raise LogDamaged(None, "the seal cannot be read")
        seal = Seal(size, tuple(frontier[at : at + _HASH_BYTES] for at in range(0, len(frontier), _HASH_BYTES)))
        if size < 0 or len(frontier) != _HASH_BYTES * size.bit_count() or merkle.root(seal.frontier) != root:
            raise LogDamaged(None, f"the seal over the first {size} events does not agree with itself")
        return seal

    def save(self, seal: Seal, root: bytes) -> None:
        """See `Seals.save`."""
        with writing(self._engine).begin() as connection:
            connection.execute(update(seal_row), {"size": seal.size, "frontier": b"".join(seal.frontier), "root": root})


class SqlAgenda(Agenda):
    """The agenda in its table."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def checkpoint(self) -> int:
        """See `Agenda.checkpoint`."""
        return checkpoint_of(self._engine, _RETENTION)

    def replace(self, items: Mapping[str, Sequence[AgendaItem]], *, checkpoint: int) -> None:
        """See `Agenda.replace`."""
        new = [astuple(item) for of_session in items.values() for item in of_session]
        with writing(self._engine).begin() as connection:
            execute_each(connection, _NO_ITEMS, [(session_id,) for session_id in items])
            execute_each(connection, _ITEM, new)
            move(connection, _RETENTION, checkpoint)

    def due(self, now: int) -> list[AgendaItem]:
        """See `Agenda.due`."""
        # Sorted here: to give them in this order the database would look at those that are not due as well.
        due = map(_item, fetched(self._engine, _DUE, (now,)))
        return sorted(due, key=lambda item: (item.session_id, item.batch))

    def next_due_at(self, after: int) -> int | None:
        """See `Agenda.next_due_at`."""
        earliest: int | None = fetched(self._engine, _NEXT, (after,))[0][0]
        return earliest

    def waiting(self) -> list[AgendaItem]:
        """See `Agenda.waiting`."""
        # Sorted here, as in `due`.
        with self._engine.connect() as connection:
            waiting = list(map(_item, connection.execute(_ITEMS.where(agenda.c.due_at.is_(None)))))
        return sorted(waiting, key=lambda item: (item.session_id, item.batch))

    def items(self) -> list[AgendaItem]:
        """See `Agenda.items`."""
        with self._engine.connect() as connection:
            rows = connection.execute(_ITEMS.order_by(agenda.c.session_id, agenda.c.batch))
            return list(map(_item, rows))

    def clear(self) -> None:
        """See `Agenda.clear`."""
        with writing(self._engine).begin() as connection:
            connection.execute(delete(agenda))
            move(connection, _RETENTION, 0)


def _item(row: Sequence[Any]) -> AgendaItem:
    session_id, batch, due_at = row
    if type(session_id) is str and type(batch) is int and type(due_at) in {int, type(None)}:
        return AgendaItem(session_id, batch, due_at)
    raise ReadModelsDamaged(f"an item of the agenda cannot be read: {session_id!r}, {batch!r}, {due_at!r}")
