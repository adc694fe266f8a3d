"""The leases in memory, for as long as the process lives."""

import threading
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from application import ports
from application.ports import Fence, Lease


class MemoryLeases(ports.Leases):
    """The leases as a dict; ``now`` is their clock, in microseconds since the epoch."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._rows: dict[str, Lease] = {}

    def acquire(self, resource: str, owner: str, host: str, seconds: float, *, over: int | None = None) -> Lease:
        """See `Leases.acquire`."""
        with self._lock:
            found, now = self._rows.get(resource), self._now()
            if found and found.owner != owner and now < found.expires_at and found.epoch != over:
                return replace(found, now=now)
            until = now + int(seconds * 1e6)
            if found and found.owner == owner and now < found.expires_at:
                self._rows[resource] = replace(found, expires_at=until, now=now)
            else:
                self._rows[resource] = Lease(
                    resource=resource,
                    owner=owner,
                    host=host,
                    epoch=found.epoch + 1 if found else 1,
                    acquired_at=now,
                    expires_at=until,
                    now=now,
                )
            return self._rows[resource]

    def renew(self, held: Sequence[Fence], seconds: float) -> frozenset[Fence]:
        """See `Leases.renew`."""
        return self._move(held, int(seconds * 1e6))

    def release(self, held: Sequence[Fence]) -> None:
        """See `Leases.release`."""
        self._move(held, 0)

    def find(self, resource: str) -> Lease | None:
        """See `Leases.find`."""
        with self._lock:
            found = self._rows.get(resource)
            return replace(found, now=self._now()) if found else None

    def all(self) -> list[Lease]:
        """See `Leases.all`."""
        with self._lock:
            return [replace(self._rows[resource], now=self._now()) for resource in sorted(self._rows)]

    def holds(self, fence: Fence) -> bool:
        """Whether the resource's lease has this epoch still: what an append asks in its transaction."""
        with self._lock:
            return self._has(fence)

    def _has(self, fence: Fence) -> bool:
        found = self._rows.get(fence.resource)
        return found is not None and found.epoch == fence.epoch

    def _move(self, held: Sequence[Fence], by_us: int) -> frozenset[Fence]:
        with self._lock:
            kept = frozenset(fence for fence in held if self._has(fence))
            for fence in kept:
                until = self._now() + by_us
                self._rows[fence.resource] = replace(self._rows[fence.resource], expires_at=until)
        return kept
