"""The signals that wake the readers of a log: of appends in their own process, and of those in others."""

import os
import select
import threading
from contextlib import closing, suppress
from typing import Any

from sqlalchemy import Engine

from application.ports import Signal
from domain.errors import StoreUnavailable
from persistence.engine import backend, own_connection, raise_translated

AGAIN_MS = 500
"""After an error: until the database is watched again."""


class ProcessSignal(Signal):
    """See `Signal`. Any number of threads may wait, and each is told of every `notify`."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._notified = self._waiting = 0
        self._seen = threading.local()

    def notify(self) -> None:
        """See `Signal.notify`."""
        with self._condition:
            self._notified += 1
            if self._waiting:
                self._condition.notify_all()

    def wait(self, timeout: float) -> None:
        """See `Signal.wait`."""
        seen = getattr(self._seen, "count", 0)
        with self._condition:
            self._waiting += 1
            try:
                self._condition.wait_for(lambda: self._notified > seen, timeout)
            finally:
                self._waiting -= 1
            self._seen.count = self._notified


class DatabaseSignal(ProcessSignal):
    """A `ProcessSignal` that is notified of what other processes append as well.

    A thread watches the database from the first `wait` on, so that a command that waits for nothing costs nothing.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine
        self._lock = threading.Lock()
        self._watcher: threading.Thread | None = None
        self._end = -1

    def wait(self, timeout: float) -> None:
        """See `Signal.wait`."""
        with self._lock:
            if self._watcher is None:
                ending, self._end = os.pipe()
                self._watcher = threading.Thread(target=self._watch, args=(ending,), name="watcher", daemon=True)
                self._watcher.start()
        super().wait(timeout)

    def close(self) -> None:
        """Watch no longer."""
        with self._lock:
            if self._watcher is not None:
                os.close(self._end)
                self._watcher.join()
                self._watcher = None

    def _watch(self, ending: int) -> None:
        ended, again = select.poll(), 0
        ended.register(ending, select.POLLIN)
        try:
            while not ended.poll(again):
                again = AGAIN_MS
                with suppress(StoreUnavailable), closing(own_connection(self._engine)) as connection:
                    self._watch_over(connection, ending)
        finally:
            os.close(ending)

    def _watch_over(self, connection: Any, ending: int) -> None:
        database = backend(self._engine)
        try:
            database.watch(connection, self.notify, ending)
        except database.ERRORS as error:
            raise_translated(self._engine, error)
