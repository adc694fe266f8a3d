"""Who produces what, and who purges where: leases, for databases that several hosts share.

Revision ID: v0003
Revises: v0002
"""

import sqlalchemy as sa
from alembic import op

revision = "v0003"
down_revision = "v0002"
branch_labels = None
depends_on = None

INTEGER = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

APPEND_BEFORE = "append_events(bytea[], bigint[], integer[], integer[], integer[], bytea[], bytea[], bytea[])"
APPEND = (
    "append_events(bytea[], bigint[], text[], bigint[], integer[], integer[], integer[], bytea[], bytea[], bytea[])"
)

DEFINITION = """
    CREATE FUNCTION append_events(
        sessions bytea[], expected bigint[], fences text[], epochs bigint[], sizes integer[], earlier integer[],
        owners integer[], event_ids bytea[], lines bytea[], leaf_hashes bytea[])
    RETURNS bigint[] LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = {schema}, pg_temp SET enable_seqscan = off SET enable_hashjoin = off"""

BODY = """
DECLARE
    head bigint;
    versions bigint[];
    heads bigint[];
    firsts integer[];
    known integer[];
    total integer := 0;
    appended boolean := false;
    held boolean;
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
        held := fences[i] IS NULL;
        IF NOT held THEN
            PERFORM FROM leases WHERE resource = fences[i] AND epoch = epochs[i] FOR SHARE;
            held := FOUND;
        END IF;
        IF held AND versions[i] = expected[i] AND i <> ALL (known) THEN
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
END"""


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("resource", TEXT, primary_key=True),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("host", TEXT, nullable=False),
        sa.Column("epoch", INTEGER, nullable=False),
        sa.Column("acquired_at", INTEGER, nullable=False),
        sa.Column("expires_at", INTEGER, nullable=False),
        sqlite_strict=True,
    )
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        schema = connection.exec_driver_sql("SELECT quote_ident(current_schema())").scalar()
        connection.exec_driver_sql(f"DROP FUNCTION {APPEND_BEFORE}")
        connection.exec_driver_sql(f"{DEFINITION.format(schema=schema)} AS $${BODY}$$")
        connection.exec_driver_sql(f"REVOKE ALL ON FUNCTION {APPEND} FROM PUBLIC")


def downgrade() -> None:
    raise RuntimeError("a log whose outcomes were fenced goes on being so, and the log is never dropped")
