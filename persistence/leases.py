"""The leases in their table. Every time is the database's own, so that no two hosts have to agree on a clock."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, Engine, and_, case, literal_column, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement

from application.ports import Fence, Lease, Leases
from persistence.tables import leases

_NOW = {
    "postgresql": "(extract(epoch from clock_timestamp()) * 1000000)::bigint",
    "sqlite": "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
}
_INSERT: dict[str, Callable[..., Any]] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


class SqlLeases(Leases):
    """One row for each resource that ever was claimed; each change is one statement."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        dialect = engine.dialect.name
        self._now: ColumnElement[int] = literal_column(_NOW[dialect], BigInteger)
        self._insert = _INSERT[dialect]

    def acquire(self, resource: str, owner: str, host: str, seconds: float, *, over: int | None = None) -> Lease:
        """See `Leases.acquire`."""
        new = self._insert(leases).values(
            resource=resource,
            owner=owner,
            host=host,
            epoch=1,
            acquired_at=self._now,
            expires_at=self._now + _us(seconds),
        )
        held = and_(leases.c.owner == owner, leases.c.expires_at > self._now)
        taken = new.on_conflict_do_update(
            index_elements=[leases.c.resource],
            set_={
                "owner": owner,
                "host": host,
                "epoch": case((held, leases.c.epoch), else_=leases.c.epoch + 1),
                "acquired_at": case((held, leases.c.acquired_at), else_=self._now),
                "expires_at": self._now + _us(seconds),
            },
            where=(leases.c.owner == owner) | (leases.c.expires_at <= self._now) | (leases.c.epoch == over),
        )
        with self._engine.begin() as connection:
            connection.execute(taken)
            return self._rows(connection, leases.c.resource == resource)[0]

    def renew(self, held: Sequence[Fence], seconds: float) -> frozenset[Fence]:
        """See `Leases.renew`."""
        return self._move(held, _us(seconds))

    def release(self, held: Sequence[Fence]) -> None:
        """See `Leases.release`."""
        self._move(held, 0)

    def find(self, resource: str) -> Lease | None:
        """See `Leases.find`."""
        with self._engine.connect() as connection:
            rows = self._rows(connection, leases.c.resource == resource)
        return rows[0] if rows else None

    def all(self) -> list[Lease]:
        """See `Leases.all`."""
        with self._engine.connect() as connection:
            return self._rows(connection)

    def _rows(self, connection: Connection, *where: ColumnElement[bool]) -> list[Lease]:
        found = select(leases, self._now.label("now")).where(*where).order_by(leases.c.resource)
        return [Lease(**row) for row in connection.execute(found).mappings()]

    def _move(self, held: Sequence[Fence], by_us: int) -> frozenset[Fence]:
        known = [(fence.resource, fence.epoch) for fence in held]
        moved = (
            update(leases)
            .where(tuple_(leases.c.resource, leases.c.epoch).in_(known))
            .values(expires_at=self._now + by_us)
            .returning(leases.c.resource, leases.c.epoch)
        )
        with self._engine.begin() as connection:
            return frozenset(Fence(*row) for row in connection.execute(moved))


def leases_of(engine: Engine) -> Leases | None:
    """The leases of a database that several hosts may use; None for an embedded one: one machine has it to itself."""
    return None if engine.dialect.name == "sqlite" else SqlLeases(engine)


def _us(seconds: float) -> int:
    return int(seconds * 1e6)
