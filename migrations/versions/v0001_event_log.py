"""The event log, its seal, and the projectors' rows.

Revision ID: v0001
Revises:
"""

import hashlib
import uuid

import sqlalchemy as sa
from alembic import op

revision = "v0001"
down_revision = None
branch_labels = None
depends_on = None

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


def upgrade() -> None:
    _event_log()
    _seal()
    _projectors()
    _read_models()


def downgrade() -> None:
    raise RuntimeError("this step made the event log, and the log is never dropped")


def _event_log() -> None:
    store = _one_row("store", _text("store_id"))
    head = _one_row("log_head", _integer("position"))
    op.create_table(
        "events",
        sa.Column("position", sa.Integer, primary_key=True),
        _binary("event_id"),
        _binary("session_id"),
        _integer("version"),
        _binary("line"),
        _binary("leaf_hash"),
        sqlite_strict=True,
    )
    op.create_index("events_by_id", "events", ["event_id"], unique=True)
    op.create_index("events_by_session", "events", ["session_id", "version"], unique=True)
    for name, body in TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name}{body}")
    op.bulk_insert(store, [{"id": 1, "store_id": str(uuid.uuid4())}])
    op.bulk_insert(head, [{"id": 1, "position": 0}])


def _seal() -> None:
    seal = _one_row("seal", _integer("size"), _binary("frontier"), _binary("root"))
    op.bulk_insert(seal, [{"id": 1, "size": 0, "frontier": b"", "root": hashlib.sha256().digest()}])


def _projectors() -> None:
    op.create_table(
        "checkpoints", sa.Column("projector", sa.Text, primary_key=True), _integer("position"), sqlite_strict=True
    )
    op.create_table(
        "agenda",
        _text("session_id"),
        _integer("batch"),
        _integer("due_at", nullable=True),
        sa.PrimaryKeyConstraint("session_id", "batch"),
        sqlite_strict=True,
    )
    op.create_index("agenda_by_time", "agenda", ["due_at"])


def _read_models() -> None:
    op.create_table(
        "session_summaries",
        sa.Column("session_id", sa.Text, primary_key=True),
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
        sqlite_strict=True,
    )
    op.create_index("session_summaries_by_opening", "session_summaries", ["opened_at", "session_id"])
    op.create_index("session_summaries_by_channel", "session_summaries", ["channel", "opened_at", "session_id"])
    op.create_table(
        "batch_ledger",
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
        sa.PrimaryKeyConstraint("session_id", "batch"),
        sqlite_strict=True,
    )


def _integer(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _binary(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=False)


def _one_row(name: str, *columns: sa.Column[int] | sa.Column[str] | sa.Column[bytes]) -> sa.Table:
    only = sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True)
    return op.create_table(name, only, *columns, sqlite_strict=True)
