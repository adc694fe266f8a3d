"""Sees that another process changed a SQLite database: cheap enough to be asked a hundred times a second."""

import select
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

from sqlalchemy import Engine

from domain.errors import StoreUnavailable
from persistence.engine import raise_translated
from persistence.sqlite import ERRORS

TICK_MS = 10
AGAIN_MS = 500
"""After an error: until the file is opened again."""

_VERSION = "PRAGMA data_version"  # another one after every commit of another connection
_HEAD = "SELECT position FROM log_head"


def watch(engine: Engine, notify: Callable[[], None], ending: int) -> None:
    """See `persistence.signals.Watch`."""
    waiting = select.poll()
    waiting.register(ending, select.POLLIN)
    again = 0
    while not waiting.poll(again):
        again = AGAIN_MS
        with suppress(StoreUnavailable), closing(_connected(engine)) as connection:
            _look(engine, connection, notify, waiting)


def _look(engine: Engine, connection: Any, notify: Callable[[], None], ended: "select.poll") -> None:
    version = head = None
    try:
        while not ended.poll(TICK_MS):
            before, (version,) = version, connection.execute(_VERSION).fetchone()
            if version != before:
                known, head = head, connection.execute(_HEAD).fetchone()
                if head != known:
                    notify()
    except ERRORS as error:
        raise_translated(engine, error)


def _connected(engine: Engine) -> Any:
    try:
        pooled = engine.raw_connection()
    except ERRORS as error:
        raise_translated(engine, error)
    pooled.detach()
    return pooled.dbapi_connection
