"""The heartbeat: renews what this process has claimed for as long as it lives, whatever else it is busy with."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog

from application.claims import Claims
from domain.errors import StoreUnavailable

BEATS = 3
"""So often a lease is renewed in the time for which it is given."""

log = structlog.get_logger("trailkeep.leases")


class WhileHeld:
    """A request to stop, which the loss of a claim is too: the encoder of a batch that is not ours must end."""

    def __init__(self, stopping: threading.Event, claims: Claims, resource: str) -> None:
        self._stopping, self._claims, self._resource = stopping, claims, resource

    def is_set(self) -> bool:
        """See `Stop.is_set`."""
        return self._stopping.is_set() or not self._claims.holds(self._resource)

    def wait(self, timeout: float) -> bool:
        """See `Stop.wait`."""
        return self._stopping.wait(timeout) or self.is_set()


@contextmanager
def beating(claims: Claims) -> Iterator[None]:
    """Renew the claims inside the block, and give them back at its end; nothing, where there is nothing to share."""
    if not claims.shared:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_beat, args=(claims, ended), name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with suppress(StoreUnavailable):  # then they run out by themselves
            claims.release()


def _beat(claims: Claims, ended: threading.Event) -> None:
    said = ""
    while not ended.wait(claims.seconds / BEATS):
        try:
            claims.renew()
            said = ""
        except StoreUnavailable as error:
            if str(error) != said:
                log.warning("leases cannot be renewed", reason=str(error))
            said = str(error)
