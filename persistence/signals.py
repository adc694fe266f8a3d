"""The signal between an appender and the readers in its own process."""

import threading

from application.ports import Signal


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
