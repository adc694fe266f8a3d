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

POSTGRES_BODIES = {
    "events_refuse()": """
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'integrity_constraint_violation',
        MESSAGE = 'the event log is append-only: ' || TG_OP || ' is refused';
END""",
    "events_follow()": """
DECLARE
    first bigint;
    last bigint;
    count bigint;
BEGIN
    SELECT min(position), max(position), count(*) INTO first, last, count FROM added;
    UPDATE log_head SET position = last WHERE position = first - 1 AND last - first + 1 = count;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'integrity_constraint_violation',
            MESSAGE = 'the event log is append-only: this is not the next event';
    END IF;
    PERFORM pg_notify('trailkeep', '');
    RETURN NULL;
END""",
    "append_events(bytea[], bigint[], integer[], integer[], integer[], bytea[], bytea[], bytea[])": """
DECLARE
    head bigint;
    versions bigint[];
    heads bigint[];
    firsts integer[];
    known integer[];
    total integer := 0;
    appended boolean := false;
BEGIN
    IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    SELECT position INTO head FROM log_head FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'integrity_constraint_violation', MESSAGE = 'the head of the log is missing';
    END IF;
    SELECT array_agg(coalesce((SELECT max(version) FROM events WHERE session_id = asked.id), 0) ORDER BY asked.place)
        INTO versions FROM unnest(sessions) WITH ORDINALITY AS asked (id, place);
    SELECT coalesce(array_agg(asked.owner), '{}') INTO known FROM unnest(event_ids, owners) AS asked (id, owner)
        WHERE EXISTS (SELECT FROM events WHERE event_id = asked.id);
    FOR i IN 1 .. cardinality(sessions) LOOP
        IF earlier[i] > 0 THEN
            versions[i] := versions[earlier[i]];
        END IF;
        IF versions[i] = expected[i] AND i <> ALL (known) THEN
            heads[i] := head;
            head := head + sizes[i];
            versions[i] := versions[i] + sizes[i];
            appended := true;
        ELSE
            heads[i] := NULL;
        END IF;
        firsts[i] := total;
        total := total + sizes[i];
    END LOOP;
    IF appended THEN
        INSERT INTO events (position, event_id, session_id, version, line, leaf_hash)
        SELECT heads[new.owner] + new.place - firsts[new.owner], new.id, sessions[new.owner],
            expected[new.owner] + new.place - firsts[new.owner], new.line, new.leaf_hash
        FROM unnest(event_ids, owners, lines, leaf_hashes) WITH ORDINALITY AS new (id, owner, line, leaf_hash, place)
        WHERE heads[new.owner] IS NOT NULL;
    END IF;
    RETURN heads;
END""",
}

POSTGRES_FUNCTIONS = {
    "events_refuse()": "CREATE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql",
    "events_follow()": """
        CREATE FUNCTION events_follow() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = {schema}, pg_temp""",
    "append_events(bytea[], bigint[], integer[], integer[], integer[], bytea[], bytea[], bytea[])": """
        CREATE FUNCTION append_events(
            sessions bytea[], expected bigint[], sizes integer[], earlier integer[],
            owners integer[], event_ids bytea[], lines bytea[], leaf_hashes bytea[])
        RETURNS bigint[] LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = {schema}, pg_temp SET enable_seqscan = off SET enable_hashjoin = off""",
}

POSTGRES_TRIGGERS = {
    "events_are_not_updated": "BEFORE UPDATE ON events FOR EACH STATEMENT EXECUTE FUNCTION events_refuse()",
    "events_are_not_deleted": "BEFORE DELETE ON events FOR EACH STATEMENT EXECUTE FUNCTION events_refuse()",
    "events_are_not_truncated": "BEFORE TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION events_refuse()",
    "events_are_only_appended": (
        "AFTER INSERT ON events REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION events_follow()"
    ),
}

INTEGER = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


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
        sa.Column("position", INTEGER, primary_key=True, autoincrement=False),
        _binary("event_id"),
        _binary("session_id"),
        _integer("version"),
        _binary("line"),
        _binary("leaf_hash"),
        sqlite_strict=True,
    )
    op.create_index("events_by_id", "events", ["event_id"], unique=True)
    op.create_index("events_by_session", "events", ["session_id", "version"], unique=True)
    _guards()
    op.bulk_insert(store, [{"id": 1, "store_id": str(uuid.uuid4())}])
    op.bulk_insert(head, [{"id": 1, "position": 0}])


def _guards() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        for name, body in TRIGGERS.items():
            connection.exec_driver_sql(f"CREATE TRIGGER {name}{body}")
        return
    schema = connection.exec_driver_sql("SELECT quote_ident(current_schema())").scalar()
    for name, body in POSTGRES_BODIES.items():
        connection.exec_driver_sql(f"{POSTGRES_FUNCTIONS[name].format(schema=schema)} AS $${body}$$")
        connection.exec_driver_sql(f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC")
    for name, what in POSTGRES_TRIGGERS.items():
        connection.exec_driver_sql(f"CREATE TRIGGER {name} {what}")


def _seal() -> None:
    seal = _one_row("seal", _integer("size"), _binary("frontier"), _binary("root"))
    op.bulk_insert(seal, [{"id": 1, "size": 0, "frontier": b"", "root": hashlib.sha256().digest()}])


def _projectors() -> None:
    op.create_table(
        "checkpoints", sa.Column("projector", TEXT, primary_key=True), _integer("position"), sqlite_strict=True
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
        sa.Column("session_id", TEXT, primary_key=True),
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
    return sa.Column(name, INTEGER, nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, TEXT, nullable=nullable)


def _binary(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=False)


def _one_row(name: str, *columns: sa.Column[int] | sa.Column[str] | sa.Column[bytes]) -> sa.Table:
    only = sa.Column("id", INTEGER, sa.CheckConstraint("id = 1"), primary_key=True, autoincrement=False)
    return op.create_table(name, only, *columns, sqlite_strict=True)
