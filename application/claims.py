"""Claims: the work that this process has taken a lease on, so that no other host does it at the same time.

Where one machine has the database to itself there are no leases: its kernel's locks do the same, and are taken back
from the dead at once (ADR 0010). Claims are then granted to whoever asks.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from application.ports import Clock, Fence, Leases
from domain.commands import Command, CompleteBatch, FailBatch, IssuePurge, RecordPurge, StartBatch
from domain.errors import HeldElsewhere
from domain.events import MediaRoot
from domain.session import Session

LEASE_S = 15.0
"""How long a lease lasts if nobody says otherwise; it is renewed three times in that time."""

_OF_PRODUCER = (StartBatch, CompleteBatch, FailBatch)
_OF_PURGER = (IssuePurge, RecordPurge)


def of_session(session_id: str) -> str:
    """The resource that a session's producer holds."""
    return f"session:{session_id}"


def of_root(root_id: str) -> str:
    """The resource that the purger of a media root holds."""
    return f"root:{root_id}"


class _Held(msgspec.Struct):
    """A lease: its epoch, and until when it may be acted on, by the machine's uptime in microseconds.

    Each time that the resource is claimed makes a new one; so who renews an old one changes nothing of that.
    """

    epoch: int
    until: int


class Claims:
    """What this process holds. ``owner`` names one life of one process, ``host`` the machine that it is on.

    ``gone`` tells of another owner that its process has ended, where that can be known: nobody has to wait for a lease
    of the dead to run out.
    """

    def __init__(
        self,
        leases: Leases | None,
        clock: Clock,
        owner: str,
        host: str,
        seconds: float = LEASE_S,
        gone: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._leases, self._clock, self._owner, self._host, self._gone = leases, clock, owner, host, gone
        self.seconds = seconds
        self._held: dict[str, _Held] = {}

    @property
    def shared(self) -> bool:
        """Whether other hosts may work on the same log, so that there is something to claim."""
        return self._leases is not None

    def claim(self, resource: str) -> None:
        """Take the lease of the resource, unless this process has it.

        Raises:
            HeldElsewhere: another worker has it.
            StoreUnavailable: nobody can tell.

        """
        if self._leases is None or self.holds(resource):
            return
        asked = self._clock.uptime().us
        lease = self._leases.acquire(resource, self._owner, self._host, self.seconds)
        if lease.owner != self._owner and self._gone(lease.owner):
            lease = self._leases.acquire(resource, self._owner, self._host, self.seconds, over=lease.epoch)
        if lease.owner != self._owner:
            raise HeldElsewhere(resource, lease.owner, lease.expires_at)
        self._held[resource] = _Held(lease.epoch, self._until(asked))

    @contextmanager
    def holding(self, resource: str) -> Iterator[None]:
        """Hold the resource inside the block; errors as `claim`. What was held before is held on after it."""
        before = self.holds(resource)
        self.claim(resource)
        try:
            yield
        finally:
            if not before:
                self.release(resource)

    def holds(self, resource: str) -> bool:
        """Whether this process may still act on its lease, by its own clock: it need not reach the database to know."""
        held = self._held.get(resource)
        return self._leases is None or (held is not None and self._clock.uptime().us < held.until)

    def is_elsewhere(self, root: MediaRoot, here: Callable[[MediaRoot], bool]) -> bool:
        """Whether the media root is another host's: it is not ``here``, and another one had it last."""
        return self.shared and not here(root) and not self.ours_to_watch(of_root(root.root_id))

    def ours_to_watch(self, resource: str) -> bool:
        """Whether it is for this host to say what is wrong with the resource: nobody else ever held it."""
        last = self._leases.find(resource) if self._leases else None
        return last is None or last.host == self._host

    def fence(self, session: Session, command: Command) -> Fence | None:
        """What has to hold when the outcome of the command is recorded.

        None for work that this process never claimed, such as a batch of somebody's own encoder. A lease that ran out
        still counts as long as nobody took it over: the database decides.
        """
        if self._leases is None:
            return None
        if isinstance(command, _OF_PRODUCER):
            resource = of_session(session.session_id)
        elif isinstance(command, _OF_PURGER):
            resource = of_root(session.terms.media_root.root_id)
        else:
            return None
        held = self._held.get(resource)
        return Fence(resource, held.epoch) if held else None

    def renew(self) -> None:
        """Have every lease for another `seconds`; those that another worker took over are held no more.

        Raises:
            StoreUnavailable: nothing was renewed.

        """
        known = {Fence(resource, held.epoch): held for resource, held in list(self._held.items())}
        if self._leases is None or not known:
            return
        asked = self._clock.uptime().us
        kept = self._leases.renew(list(known), self.seconds)
        for fence, held in known.items():
            held.until = self._until(asked) if fence in kept else 0

    def release(self, *resources: str) -> None:
        """Give leases back before they run out; all of them, if none is named."""
        given = [(name, held) for name in resources or list(self._held) if (held := self._held.pop(name, None))]
        if self._leases is not None and given:
            self._leases.release([Fence(name, held.epoch) for name, held in given])

    def _until(self, asked: int) -> int:
        return asked + int(self.seconds * 1e6)
