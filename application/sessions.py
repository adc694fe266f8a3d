"""Sessions as the log tells them: loaded by replay, found by channel, without any read model in between."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress

from application.ports import EventLog, IdSource, Snapshots
from domain.commands import Successor
from domain.errors import LogDamaged, NotFound, StoreUnavailable
from domain.events import Recorded
from domain.session import Folding, Session, evolve

SESSION_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


SNAPSHOT_EVERY = 1000
"""Events of a session after which its state is kept again; no load replays many more."""


class Sessions:
    """Loads sessions; what was folded once is kept, and only the events after it are read again.

    With ``snapshots`` that is so for the next process as well.
    """

    def __init__(
        self, log: EventLog, ids: IdSource, snapshots: Snapshots | None = None, every: int = SNAPSHOT_EVERY
    ) -> None:
        self._log, self._ids, self._snapshots, self._every = log, ids, snapshots, every
        self._known: dict[str, Session] = {}
        self._snapped: dict[str, int] = {}
        self._spent: set[str] = set()

    def load(self, session_id: str) -> Session:
        """The session's state now; one without events if the log does not know it.

        Raises:
            LogDamaged: its events cannot be read, or do not follow from one another.

        """
        session = self._known.get(session_id) or self._from_snapshot(session_id) or Session(session_id)
        folding = None
        for recorded in self._log.read_session(session_id, after_version=session.version):
            folding = folding or Folding(session)
            try:
                folding.add(recorded)
            except (LookupError, AssertionError) as error:
                raise _does_not_follow(recorded) from error
        if folding:
            session = folding.session()
            self._keep_snapshot(session)
        if session.version:
            self._known[session_id] = session
        return session

    def forget(self) -> None:
        """Forget what was folded from the log: it is read again."""
        self._known, self._snapped, self._spent = {}, {}, set()

    def steps(self, session_id: str, start: Session | None = None) -> Iterator[tuple[Recorded, Session]]:
        """Every event of the session (after ``start``), each with the state after it.

        Raises:
            LogDamaged: as `load`.

        """
        session = start or Session(session_id)
        for recorded in self._log.read_session(session_id, after_version=session.version):
            session = fold(session, recorded)
            yield recorded, session

    def id_of(self, channel: str, ordinal: int) -> str:
        """The id of the channel's session number ``ordinal``, whether it was opened or not.

        It is derived from the store, the channel and the ordinal: so two who open the same session meet at its first
        version, and a channel's sessions are found without an index.
        """
        return self._ids.derive(self._log.store_id(), f"{channel}/{ordinal}")

    def newest_of(self, channel: str) -> Session | None:
        """The channel's newest session, if it ever had one: found by doubling, then halving, the ordinal."""
        if not self._exists(channel, 1):
            return None
        low, high = 1, 2
        while self._exists(channel, high):
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._exists(channel, middle) else (low, middle)
        return self.load(self.id_of(channel, low))

    def of_channel(self, channel: str) -> list[Session]:
        """Every session of the channel, oldest first.

        Raises:
            NotFound: it never had one.

        """
        newest = self.newest_of(channel)
        if newest is None:
            raise NotFound("channel", channel, "the name of a channel that has a session")
        return [self.load(self.id_of(channel, ordinal)) for ordinal in range(1, newest.terms.ordinal + 1)]

    def resolve(self, name: str) -> Session:
        """The session with this id, or the newest session of the channel with this name.

        Raises:
            NotFound: there is neither.

        """
        session = self.load(name) if SESSION_ID.fullmatch(name) else self.newest_of(name)
        if session is None or session.opened is None:
            raise NotFound("session", name, "a session id, or the name of a channel that has a session")
        return session

    def earlier(self, session: Session) -> Iterator[Session]:
        """The channel's sessions before this one that have anything left on the disk, newest first."""
        for ordinal in range(session.terms.ordinal - 1, 0, -1):
            session_id = self.id_of(session.terms.channel, ordinal)
            if session_id in self._spent:
                continue
            found = self.load(session_id)
            if found.batches or found.removal:
                yield found
            else:
                self._spent.add(session_id)

    def later(self, session: Session) -> Iterator[Session]:
        """The channel's sessions after this one, oldest first."""
        ordinal = session.terms.ordinal + 1
        while (later := self.load(self.id_of(session.terms.channel, ordinal))).opened is not None:
            yield later
            ordinal += 1

    def successor(self, session: Session) -> Successor:
        """What the channel's later sessions have done (see `Successor`)."""
        return successor_of(self.later(session))

    def _from_snapshot(self, session_id: str) -> Session | None:
        found = self._snapshots.load(session_id) if self._snapshots else None
        self._snapped[session_id] = found.version if found else 0
        return found

    def _keep_snapshot(self, session: Session) -> None:
        if self._snapshots and session.version - self._snapped[session.session_id] >= self._every:
            self._snapped[session.session_id] = session.version
            # Who may only read, or finds the disk full, still has the state.
            with suppress(StoreUnavailable):
                self._snapshots.save(session)

    def _exists(self, channel: str, ordinal: int) -> bool:
        return self.load(self.id_of(channel, ordinal)).opened is not None


def by_root(sessions: Iterable[Session]) -> list[list[Session]]:
    """The sessions of a channel, those on one root together, in the order that they had."""
    roots: dict[str, list[Session]] = {}
    for session in sessions:
        roots.setdefault(session.terms.media_root.path, []).append(session)
    return list(roots.values())


def successor_of(later: Iterable[Session]) -> Successor:
    """What these sessions, the later ones of a channel, oldest first, have done."""
    found = Successor()
    for one in later:
        last = one.last_completed
        found = Successor(
            completed=found.completed + one.completed,
            published=found.published or one.first_published,
            session_id=one.session_id if last else found.session_id,
            newest=last or found.newest,
        )
    return found


def fold(session: Session, recorded: Recorded) -> Session:
    """`evolve`, for events that come from a disk.

    Raises:
        LogDamaged: the event does not follow from those before it.

    """
    try:
        return evolve(session, recorded)
    except (LookupError, AssertionError) as error:
        raise _does_not_follow(recorded) from error


def _does_not_follow(recorded: Recorded) -> LogDamaged:
    name = type(recorded.event).__name__
    return LogDamaged(recorded.position, f"{name} does not follow from the session's events before it")
