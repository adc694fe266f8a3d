"""A statement that is executed for many rows at once.

SQLAlchemy looks at each parameter of each row; for thousands of rows that costs more than the database does.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Delete, Insert
from sqlalchemy.sql.compiler import SQLCompiler


class Bulk:
    """A statement for rows whose values the driver takes as they are; compiled once for each kind of database."""

    def __init__(self, statement: Insert | Delete) -> None:
        self._statement = statement
        self._compiled: dict[str, tuple[str, Sequence[str] | None]] = {}

    def execute(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute it once for each row, a value for each parameter by its name; not at all without rows."""
        if not rows:
            return
        sql, order = self._of(connection)
        if order is None:
            connection.exec_driver_sql(sql, list(rows))
        else:
            connection.exec_driver_sql(sql, [tuple([row[name] for name in order]) for row in rows])

    def _of(self, connection: Connection) -> tuple[str, Sequence[str] | None]:
        """The statement as text, and the order of its parameters where they have no names."""
        name = connection.dialect.name
        if name not in self._compiled:
            compiled = self._statement.compile(dialect=connection.dialect)
            assert isinstance(compiled, SQLCompiler)
            self._compiled[name] = str(compiled), compiled.positiontup
        return self._compiled[name]
