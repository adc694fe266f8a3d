"""The tables as the code uses them; migrations/ makes them, and a test holds the two equal."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    event,
)

from persistence.postgres_guards import make_guards

metadata = MetaData()


INTEGER = Integer().with_variant(BigInteger(), "postgresql")
"""64 bits on both."""

TEXT_BY_BYTES = Text().with_variant(Text(collation="C"), "postgresql")
"""Compared and sorted by its bytes on both, wherever the server thinks it is."""


def _integer(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, INTEGER, nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, TEXT_BY_BYTES, nullable=nullable)


def _binary(name: str) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=False)


def _one_row(name: str, *columns: Column[int] | Column[bytes] | Column[str]) -> Table:
    """A table that holds exactly one row, which the migration inserts."""
    return Table(
        name,
        metadata,
        Column("id", INTEGER, CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
        *columns,
        sqlite_strict=True,
    )


store = _one_row("store", _text("store_id"))

log_head = _one_row("log_head", _integer("position"))

events = Table(
    "events",
    metadata,
    Column("position", INTEGER, primary_key=True, autoincrement=False),
    _binary("event_id"),
    _binary("session_id"),
    _integer("version"),
    _binary("line"),
    _binary("leaf_hash"),
    Index("events_by_id", "event_id", unique=True),
    Index("events_by_session", "session_id", "version", unique=True),
    sqlite_strict=True,
)
"""The log. Every column but the position is derived from the line: the ids, as the 16 bytes of the UUIDs, because they
are unique, and the hash because the seal is made of it. The rest stands in the line alone, where SQL can read it too:
``json_extract(CAST(line AS TEXT), '$.type')``, or ``convert_from(line, 'UTF8')::json ->> 'type'``. Columns for type and
time would cost a tenth of disk and speed.
"""

seal = _one_row("seal", _integer("size"), _binary("frontier"), _binary("root"))

snapshots = Table(
    "snapshots",
    metadata,
    Column("session_id", LargeBinary, primary_key=True),
    _integer("version"),
    _binary("code"),
    _binary("leaf_hash"),
    _binary("state"),
    _binary("state_hash"),
    sqlite_strict=True,
)
"""``code`` tells the code that folded the state, ``leaf_hash`` the event that it goes up to."""

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("projector", TEXT_BY_BYTES, primary_key=True),
    _integer("position"),
    sqlite_strict=True,
)

leases = Table(
    "leases",
    metadata,
    Column("resource", TEXT_BY_BYTES, primary_key=True),
    _text("owner"),
    _text("host"),
    _integer("epoch"),
    _integer("acquired_at"),
    _integer("expires_at"),
    sqlite_strict=True,
)

agenda = Table(
    "agenda",
    metadata,
    _text("session_id"),
    _integer("batch"),
    _integer("due_at", nullable=True),
    PrimaryKeyConstraint("session_id", "batch"),
    Index("agenda_by_time", "due_at"),
    sqlite_strict=True,
)

session_summaries = Table(
    "session_summaries",
    metadata,
    Column("session_id", TEXT_BY_BYTES, primary_key=True),
    _text("channel"),
    _integer("ordinal"),
    _text("state"),
    _text("root"),
    _text("root_id"),
    _integer("opened_at"),
    _integer("closed_at", nullable=True),
    _integer("version"),
    _integer("batches_completed"),
    _integer("batches_purged"),
    _integer("bytes_kept"),
    _integer("bytes_freed"),
    _integer("last_position"),
    Index("session_summaries_by_opening", "opened_at", "session_id"),
    Index("session_summaries_by_channel", "channel", "opened_at", "session_id"),
    Index("session_summaries_by_root", "root", "root_id"),
    sqlite_strict=True,
)

batch_ledger = Table(
    "batch_ledger",
    metadata,
    _text("session_id"),
    _integer("batch"),
    _text("state"),
    _integer("attempt"),
    _integer("first_segment"),
    _integer("last_segment"),
    _integer("files"),
    _integer("bytes"),
    _integer("started_at"),
    _integer("completed_at", nullable=True),
    _integer("purge_issued_at", nullable=True),
    _integer("purged_at", nullable=True),
    _text("because", nullable=True),
    _text("outcome", nullable=True),
    _text("positions"),
    PrimaryKeyConstraint("session_id", "batch"),
    sqlite_strict=True,
)
"""``positions`` is a JSON array."""

TRIGGERS = {
    "events_are_not_updated": """
        BEFORE UPDATE ON events
        BEGIN SELECT RAISE(ABORT, 'the event log is append-only: UPDATE is refused'); END""",
    "events_are_not_deleted": """
        BEFORE DELETE ON events
        BEGIN SELECT RAISE(ABORT, 'the event log is append-only: DELETE is refused'); END""",
    "events_are_only_appended": """
        BEFORE INSERT ON events
        WHEN NEW.position IS NOT (SELECT position + 1 FROM log_head)
            OR EXISTS (SELECT 1 FROM events WHERE position = NEW.position)
            OR EXISTS (SELECT 1 FROM events WHERE event_id = NEW.event_id)
            OR EXISTS (SELECT 1 FROM events WHERE session_id = NEW.session_id AND version = NEW.version)
        BEGIN SELECT RAISE(ABORT, 'the event log is append-only: this is not the next event'); END""",
    "events_move_the_head": """
        AFTER INSERT ON events
        BEGIN UPDATE log_head SET position = NEW.position; END""",
}
"""The database itself guards the record, whoever writes to it (SQLite; for Postgres see `postgres_guards`)."""


@event.listens_for(events, "after_create")
def _guard(_: Table, connection: Connection, **__: object) -> None:
    if connection.dialect.name == "sqlite":
        for name, body in TRIGGERS.items():
            connection.exec_driver_sql(f"CREATE TRIGGER {name}{body}")
    else:
        make_guards(connection)
