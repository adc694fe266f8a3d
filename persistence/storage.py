"""What differs between the databases above the engine: who appends, and how sound the storage is."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from sqlalchemy import Engine

from persistence import sqlite_checks
from persistence.writer import Append, Writer

Finding = tuple[str, bool, str]
"""What was looked at, whether it is as it should be, and what it is."""


class AnyWriter(Protocol):
    """Commits appends; see `Writer.commit`."""

    def commit(self, appends: Sequence[Append]) -> list[int | None]:
        """See `Writer.commit`."""
        ...


class Checks(Protocol):
    """What a module gives that can tell how sound one kind of database is."""

    def storage_faults(self, engine: Engine) -> Iterator[str]:
        """See `EventLog.storage_faults`."""
        ...

    def incarnation(self, engine: Engine) -> str:
        """See `EventLog.incarnation`."""
        ...

    def library(self) -> Finding:
        """The library that reaches the database."""
        ...

    def findings(self, engine: Engine) -> Iterator[Finding]:
        """What `doctor` tells of the database itself."""
        ...


def writer_of(engine: Engine) -> AnyWriter:
    """Who appends to this database."""
    if engine.dialect.name == "sqlite":
        return Writer(engine)
    from persistence.postgres_writer import PostgresWriter  # noqa: PLC0415 - as in `persistence.engine`

    return PostgresWriter(engine)


def checks_of(engine: Engine) -> Checks:
    """What can tell how sound this database is."""
    if engine.dialect.name == "sqlite":
        return sqlite_checks
    from persistence import postgres_checks  # noqa: PLC0415 - likewise

    return postgres_checks
