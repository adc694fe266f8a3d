"""Pauses of a producer: how long it waits before it tries again, and what it says, once, about why."""

from collections.abc import Callable

import structlog

from application.pace import Stop
from application.ports import Signal
from domain.errors import TrailkeepError

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0

log = structlog.get_logger("trailkeep.producer")


class Pauses:
    """Each pause is longer than the one before, up to `LONGEST_PAUSE_S`, until `reset`."""

    def __init__(self, channel: str, signal: Signal) -> None:
        self._channel, self._signal = channel, signal
        self._count, self._said = 0, ""

    def wait(self, reason: str) -> None:
        """Wait until the log grows (a purge may free names, or space), or for a while; from the second on, say why."""
        if self._count and reason != self._said:
            self._said = reason
            log.warning("generation pauses", channel=self._channel, reason=reason)
        self._signal.wait(min(FIRST_PAUSE_S * 2 ** min(self._count, 10), LONGEST_PAUSE_S))
        self._count += 1

    def until_done(self, stop: Stop, attempt: Callable[[], object], *troubles: type[TrailkeepError]) -> bool:
        """Attempt it again and again, waiting after each of these troubles; False if stopped before it was done."""
        while not stop.is_set():
            try:
                attempt()
            except troubles as trouble:
                self.wait(str(trouble))
            else:
                return True
        return False

    def end(self) -> None:
        """Say that it goes on, if it was said that it does not."""
        if self._said:
            log.info("generation goes on", channel=self._channel)
            self._said = ""

    def reset(self) -> None:
        """Begin anew with a short pause."""
        self._count = 0
