"""What guards the log in Postgres, and the one function that appends to it.

A statement that is not an append is refused, whoever runs it; that it is one is checked once for all of its rows. The
function runs with the rights of its owner, so that a writer needs none on the tables of the log but to read them.
"""

from sqlalchemy import Connection

CHANNEL = "trailkeep"
"""Who listens there is told that the log grew."""

APPEND = (
    "append_events(bytea[], bigint[], text[], bigint[], integer[], integer[], integer[], bytea[], bytea[], bytea[])"
)

BODIES = {
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
    APPEND: """
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
END""",
}
"""By the functions' names and the types of what they take."""

_DEFINITIONS = {
    "events_refuse()": "CREATE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql",
    "events_follow()": """
        CREATE FUNCTION events_follow() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = {schema}, pg_temp""",
    APPEND: """
        CREATE FUNCTION append_events(
            sessions bytea[], expected bigint[], fences text[], epochs bigint[], sizes integer[], earlier integer[],
            owners integer[], event_ids bytea[], lines bytea[], leaf_hashes bytea[])
        RETURNS bigint[] LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = {schema}, pg_temp SET enable_seqscan = off SET enable_hashjoin = off""",
}

TRIGGERS = {
    "events_are_not_updated": "BEFORE UPDATE ON events FOR EACH STATEMENT EXECUTE FUNCTION events_refuse()",
    "events_are_not_deleted": "BEFORE DELETE ON events FOR EACH STATEMENT EXECUTE FUNCTION events_refuse()",
    "events_are_not_truncated": "BEFORE TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION events_refuse()",
    "events_are_only_appended": (
        "AFTER INSERT ON events REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION events_follow()"
    ),
}
"""As Postgres tells them again, whatever their spelling was."""


def make_guards(connection: Connection) -> None:
    """Make the functions and triggers; nobody but their owner may call them until somebody says so."""
    schema = connection.exec_driver_sql("SELECT quote_ident(current_schema())").scalar()
    for name, body in BODIES.items():
        connection.exec_driver_sql(f"{_DEFINITIONS[name].format(schema=schema)} AS $${body}$$")
        connection.exec_driver_sql(f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC")
    for name, what in TRIGGERS.items():
        connection.exec_driver_sql(f"CREATE TRIGGER {name} {what}")
