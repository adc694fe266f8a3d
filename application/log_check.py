"""The log as a whole: gapless, each line with its hash, under the root that was sealed. No purge goes before it."""

from collections.abc import Callable, Sequence

import structlog

from application.ports import EventLog, LogLine, Seals
from application.seen import Seen, Sighting, absent
from domain import merkle
from domain.errors import LogDamaged
from domain.events import Recorded

PAGE = 5000

log = structlog.get_logger("trailkeep.log")


class LogCheck:
    """Examines every stored line once in the life of a process, and what came since whenever it is asked again.

    ``require_known`` is asked each time: whether the log has what others tell of it (`IntentJournal`). What this
    process itself saw of it is ``seen``; if that is not there any more, ``gone`` hears of it, and may accept it.
    ``require_newest`` is asked as often as it refuses: whether the log is older than what it once was (`Witnesses`).
    A log that is kept by another server than before, or on another timeline, is examined as a whole again.
    """

    def __init__(
        self,
        log: EventLog,
        seals: Seals,
        require_newest: Callable[[], None] = lambda: None,
        require_known: Callable[[], None] = lambda: None,
        gone: Callable[[Sequence[Recorded]], None] = lambda _: None,
        moved: Callable[[], None] = lambda: None,
        seen: Seen | None = None,
    ) -> None:
        self._log, self._seals, self._require_newest = log, seals, require_newest
        self._require_known, self._gone, self._moved, self._seen = require_known, gone, moved, seen or Seen()
        self._incarnation: str | None = None
        self._noted: list[Recorded] = []
        self._size, self._frontier = 0, tuple[bytes, ...]()
        self._last: LogLine | None = None
        self._whole = self._newest = False

    def require_intact(self, progress: Callable[[int, int], None] = lambda *_: None) -> None:
        """Return if the log is whole up to its head; ``progress`` hears of events done, and of how many.

        Raises:
            LogDamaged: a line is missing or altered, the storage is damaged, or the seal does not fit.
            EventsLost: the log does not have what it once had.
            RootSuspect: the disk knows more than the log; as ``require_newest``.

        """
        self.follow()
        self._require_nothing_gone()
        head = self._log.head()
        if not self._whole:
            for fault in self._log.storage_faults():
                raise LogDamaged(None, fault)
            self._forget()
            seal = self._seals.load()
            self._read_up_to(seal.size, lambda done: progress(done, head))
            if merkle.root(self._frontier) != merkle.root(seal.frontier):
                raise LogDamaged(seal.size, other_root(seal.size))
        self._read_up_to(head, lambda done: progress(done, head))
        if not self._whole:
            self._require_no_event_beyond_the_head()
        self._whole = True
        self._require_known()
        if not self._newest:
            self._require_newest()
        self._newest = True

    def follow(self) -> None:
        """Take note of where the log is kept. After a failover what was folded from it may be what was lost."""
        incarnation = self._log.incarnation()
        if self._incarnation not in {None, incarnation}:
            log.warning("the log is kept elsewhere now", before=self._incarnation, now=incarnation)
            self._whole = self._newest = False
            self._moved()
        self._incarnation = incarnation

    def _forget(self) -> None:
        self._size, self._frontier, self._last = 0, (), None
        self._whole = self._newest = False

    def _require_nothing_gone(self) -> None:
        """A log that went back is a new one to this process, once an operator has accepted what was lost."""
        self._noted += self._seen.take()
        sightings = [Sighting(one.position, one.envelope.event_id) for one in self._noted]
        if self._last:
            sightings.append(Sighting(self._last.position, self._last.event_id, self._last.leaf_hash.hex()))
        gone = absent(self._log, sightings)
        self._noted = [one for one in self._noted if one.envelope.event_id in gone]
        if gone:
            if self._last and self._last.event_id in gone:
                self._noted.append(self._log.examine(self._last))
            self._forget()
            self._gone(self._noted)
            self._noted = []

    def _read_up_to(self, end: int, progress: Callable[[int], None]) -> None:
        while self._size < end:
            lines = self._log.read_lines(after=self._size, limit=min(PAGE, end - self._size))
            if not lines:
                raise LogDamaged(self._size + 1, "the event is missing")
            for position, line in enumerate(lines, self._size + 1):
                if line.position != position:
                    raise LogDamaged(position, missing(line.position))
                if fault := self._log.fault_of(line):
                    raise LogDamaged(position, fault)
            leaves = (line.leaf_hash for line in lines)
            self._size, self._frontier = merkle.extend(self._size, self._frontier, leaves)
            self._last = lines[-1]
            progress(self._size)

    def _require_no_event_beyond_the_head(self) -> None:
        beyond = self._log.read_lines(after=self._size, limit=1)
        if beyond and self._log.head() < beyond[0].position:
            raise LogDamaged(beyond[0].position, beyond_the_head(self._log.head()))


def missing(found: int) -> str:
    """What to say of a position that has no line, where the next one is at ``found``."""
    return f"missing; the next event is at {found}"


def other_root(size: int) -> str:
    """What to say of a seal that does not fit."""
    return f"the root over the first {size} events is not the one that was sealed"


def beyond_the_head(head: int) -> str:
    """What to say of an event that the head does not know of."""
    return f"the event is beyond the head of the log, which is {head}"
