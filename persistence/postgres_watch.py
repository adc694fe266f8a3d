"""Hears of what other processes append to a log in Postgres: a hint, for a lost one costs only a poll."""

import select
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import psycopg
from sqlalchemy import Engine

from domain.errors import StoreUnavailable
from persistence.engine import raise_translated
from persistence.postgres_guards import CHANNEL

AGAIN_MS = 500
"""After an error: until the server is asked again."""


def watch(engine: Engine, notify: Callable[[], None], ending: int) -> None:
    """See `persistence.signals.Watch`."""
    ended = select.poll()
    ended.register(ending, select.POLLIN)
    again = 0
    while not ended.poll(again):
        again = AGAIN_MS
        with suppress(StoreUnavailable), closing(_listening(engine)) as connection:
            notify()  # of what was appended while nobody listened
            _hear(engine, connection, notify, ending)


def _hear(engine: Engine, connection: Any, notify: Callable[[], None], ending: int) -> None:
    waiting = select.poll()
    waiting.register(ending, select.POLLIN)
    waiting.register(connection.fileno(), select.POLLIN)
    while ending not in dict(waiting.poll()):
        try:
            if list(connection.notifies(timeout=0)):
                notify()
        except psycopg.Error as error:
            raise_translated(engine, error)


def _listening(engine: Engine) -> Any:
    try:
        pooled = engine.raw_connection()
        pooled.detach()
        connection: Any = pooled.dbapi_connection
        connection.execute(f"LISTEN {CHANNEL}")
    except psycopg.Error as error:
        raise_translated(engine, error)
    return connection
