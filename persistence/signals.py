"""The signals that wake the readers of a log: of appends in their own process, and of those in others."""

import os
import threading
from collections.abc import Callable

from sqlalchemy import Engine

from application.ports import Signal

Watch = Callable[[Engine, Callable[[], None], int], None]
"""Calls the function whenever the log may have grown, until the file descriptor is closed at its other end."""


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
                arguments = (_watch_of(self._engine), ending)
                self._watcher = threading.Thread(target=self._run, args=arguments, name="watcher", daemon=True)
                self._watcher.start()
        super().wait(timeout)

    def close(self) -> None:
        """Watch no longer."""
        with self._lock:
            if self._watcher is not None:
                os.close(self._end)
                self._watcher.join()
                self._watcher = None

    def _run(self, watch: Watch, ending: int) -> None:
        try:
            watch(self._engine, self.notify, ending)
        finally:
            os.close(ending)


def _watch_of(engine: Engine) -> Watch:
    if engine.dialect.name == "sqlite":
        from persistence.sqlite_watch import watch  # noqa: PLC0415 - a command that waits for nothing needs neither
    else:
        from persistence.postgres_watch import watch  # noqa: PLC0415 - likewise
    return watch
