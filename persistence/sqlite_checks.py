"""How sound a SQLite database is: its pages, indexes and guards, and the library that reads them."""

from collections.abc import Iterator

from sqlalchemy import Engine

from domain.errors import StoreUnavailable
from persistence import sqlite
from persistence.engine import driver_cursor
from persistence.sqlite import driver
from persistence.tables import TRIGGERS

SAFE = (3, 51, 3)
"""The first SQLite without the WAL-reset corruption bug."""

_GUARDS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"


def storage_faults(engine: Engine) -> Iterator[str]:
    """See `EventLog.storage_faults`."""
    try:
        found = _texts(engine, "PRAGMA integrity_check")
    except StoreUnavailable as error:
        if not sqlite.is_damage(error):
            raise
        found = [error.reason]
    yield from (fault for fault in found if fault != "ok")
    with driver_cursor(engine) as cursor:
        guards = dict(cursor.execute(_GUARDS).fetchall())
    for name, body in TRIGGERS.items():
        if guards.get(name) != f"CREATE TRIGGER {name}{body}":
            yield f"the trigger {name}, which guards the log, is missing or altered"


def incarnation(_: Engine) -> str:
    """See `EventLog.incarnation`: a file has none."""
    return ""


def library() -> tuple[str, bool, str]:
    """The library in use: its name, whether it is to be trusted, and its version."""
    version = driver.sqlite_version
    good = tuple(int(part) for part in version.split(".")) >= SAFE
    advice = "" if good else "; before 3.51.3 a WAL reset can corrupt the database: use a Python with a newer SQLite"
    return "sqlite", good, f"{version} ({driver.__name__}){advice}"


def findings(engine: Engine) -> Iterator[tuple[str, bool, str]]:
    """What `doctor` tells of the database: what was looked at, whether it is good, and what it is."""
    faults = [text for text in _texts(engine, "PRAGMA quick_check") if text != "ok"]
    yield "database pages", not faults, "; ".join(faults) or "intact"


def _texts(engine: Engine, pragma: str) -> list[str]:
    with driver_cursor(engine) as cursor:
        return [str(row[0]) for row in cursor.execute(pragma).fetchall()]
