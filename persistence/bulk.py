"""Statements that are executed for many rows at once.

SQLAlchemy looks at each parameter of each row; for thousands of rows that costs more than the database does.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, Table

from persistence.engine import backend

Values = Sequence[object]
"""Of one row, as the driver takes them."""


def execute_each(connection: Connection, sql: str, rows: Sequence[Values]) -> None:
    """Execute a statement, with a question mark for each value, once for each row; not at all without rows."""
    if rows:
        connection.exec_driver_sql(sql.replace("?", backend(connection.engine).PARAMETER), list(map(tuple, rows)))


def insertion(table: Table) -> str:
    """The statement that inserts a row of all columns."""
    names = columns(table)
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608


def replacement(table: Table, constant: Collection[str] = ()) -> str:
    """The same where a row of the key may be there: all but what is ``constant`` changes, and no index of that."""
    keys = [column.name for column in table.primary_key]
    changes = [f"{name} = excluded.{name}" for name in columns(table) if name not in {*keys, *constant}]
    return f"{insertion(table)} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {', '.join(changes)}"


def columns(table: Table) -> tuple[str, ...]:
    """The names of the columns, as plain text."""
    return tuple(map(str, table.columns.keys()))
