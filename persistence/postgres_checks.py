"""How sound a Postgres database is: what guards the log, what finds its events, and how the server keeps them."""

from collections.abc import Iterator
from typing import Any

import psycopg
from sqlalchemy import Engine

from persistence.engine import driver_cursor
from persistence.postgres import DURABLE
from persistence.postgres_guards import BODIES, TRIGGERS

OLDEST = 160_000
"""The oldest server that Trailkeep is tested with, as ``server_version_num`` tells it."""

INDEXES = ("events_pkey", "events_by_id", "events_by_session")

_COUNTS = """
    SELECT (SELECT position FROM log_head), count(*), coalesce(min(position), 1), coalesce(max(position), 0)
    FROM events"""
_INDEXES = """
    SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE indrelid = to_regclass('events') AND indisunique AND indisvalid AND indisready AND indislive"""
_TRIGGERS = """
    SELECT tgname, pg_get_triggerdef(oid, true), tgenabled IN ('O', 'A') FROM pg_trigger
    WHERE tgrelid = to_regclass('events')"""
_BODIES = "SELECT prosrc FROM pg_proc WHERE oid = to_regprocedure(%s)"
_INCARNATION = """
    SELECT system_identifier, CASE WHEN pg_is_in_recovery() THEN 'standby'
        ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END
    FROM pg_control_system()"""
_SETTINGS = "SELECT name, setting FROM pg_settings WHERE name = ANY (%s)"


def storage_faults(engine: Engine) -> Iterator[str]:
    """See `EventLog.storage_faults`."""
    (head, count, first, last), *_ = _rows(engine, _COUNTS)
    if (first, last, count) != (1, head, head):
        yield f"the head of the log is {head}, and there are {count} events at positions {first} to {last}"
    there = {name for (name,) in _rows(engine, _INDEXES)}
    yield from (f"the index {name} of the log is missing or invalid" for name in INDEXES if name not in there)
    triggers = {name: (definition, enabled) for name, definition, enabled in _rows(engine, _TRIGGERS)}
    for name, what in TRIGGERS.items():
        if triggers.get(name) != (f"CREATE TRIGGER {name} {what}", True):
            yield f"the trigger {name}, which guards the log, is missing, altered or disabled"
    for name, body in BODIES.items():
        if _rows(engine, _BODIES, name) != [(body,)]:
            yield f"the function {name}, which guards the log, is missing or altered"


def incarnation(engine: Engine) -> str:
    """See `EventLog.incarnation`: the cluster's system identifier, and its timeline, which each promotion changes.

    The timeline is that of the WAL that is being written: the control file knows a new one only after a checkpoint.
    """
    ((system, timeline),) = _rows(engine, _INCARNATION)
    return f"{system}/{timeline}"


def library() -> tuple[str, bool, str]:
    """The library in use: its name, whether it is to be trusted, and its version."""
    return "psycopg", True, f"{psycopg.__version__} (libpq {psycopg.pq.version_pretty(psycopg.pq.version())})"


def findings(engine: Engine) -> Iterator[tuple[str, bool, str]]:
    """What `doctor` tells of the server: what was looked at, whether it is good, and what it is."""
    said: dict[str, str] = dict(
        _rows(engine, _SETTINGS, ["server_version", "server_version_num", "fsync", "full_page_writes"])
    )
    good = int(said["server_version_num"]) >= OLDEST
    yield "postgres", good, said["server_version"] + ("" if good else f"; {OLDEST // 10_000} or newer is tested")
    for name, harm in (("fsync", "an acknowledged event"), ("full_page_writes", "the database")):
        on = said[name] == "on"
        yield name, on, said[name] + ("" if on else f": a power cut can lose {harm}; set it to on")
    (durability,) = _rows(engine, "SELECT current_setting('synchronous_commit')")[0]
    yield "synchronous_commit", durability in DURABLE, durability


def _rows(engine: Engine, sql: str, *parameters: Any) -> list[Any]:
    with driver_cursor(engine) as cursor:
        rows: list[Any] = cursor.execute(sql, parameters).fetchall()
    return rows
