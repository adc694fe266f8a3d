"""Sessions as the log tells them: loaded by replay, found by channel, without any read model in between."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from application.folding import fold, fold_in
from application.ports import EventLog, IdSource, Snapshots
from application.session_memory import Known, SessionMemory
from domain.commands import Successor
from domain.errors import NotFound, StoreUnavailable
from domain.events import Recorded, SessionOpened
from domain.ids import is_id
from domain.lifecycle import SessionState
from domain.session import Folding, Session

SNAPSHOT_EVERY = 1000
"""Events of a session after which its state is kept again; no load replays many more."""

KNOWN = 20_000
"""Sessions whose state a process keeps in memory, at least; at most twice as many. Each is some 10 KB."""


class Sessions:
    """Loads sessions; what was folded once is kept, and only the events after it are read again.

    With ``snapshots`` that is so for the next process as well. What is kept in memory does not grow with the number of
    sessions that the log tells of, nor with that of events.
    """

    def __init__(
        self,
        log: EventLog,
        ids: IdSource,
        snapshots: Snapshots | None = None,
        every: int = SNAPSHOT_EVERY,
        known: int = KNOWN,
    ) -> None:
        self._log, self._ids, self._snapshots, self._every = log, ids, snapshots, every
        self._limit = known
        self._memory = SessionMemory()
        self._store_id = ""

    def load(self, session_id: str) -> Session:
        """The session's state now; one without events if the log does not know it.

        Raises:
            LogDamaged: its events cannot be read, or do not follow from one another.

        """
        memory = self._memory
        known = memory.find(session_id) or self._from_snapshot(session_id)
        return self._follow(memory, known, self._log.read_session(session_id, after_version=known.session.version))

    def known(self, session_id: str, version: int = 1) -> Session:
        """The state that this process knows, if that is of this version or a later one; `load` otherwise.

        The log may have more by now. Who appends by the state's version hears of that; else `load` is what to ask.
        """
        known = self._memory.find(session_id)
        return known.session if known and known.session.version >= version else self.load(session_id)

    def heard(self, recorded: Sequence[Recorded]) -> None:
        """Fold events of one session that this process has just appended, or read in the log, into what it knows.

        So they need not be read again. What does not follow from what is known is left to `load`.

        Raises:
            LogDamaged: as `load`.

        """
        memory = self._memory
        known = memory.find(recorded[0].envelope.session_id) if recorded else None
        if known:
            new = [one for one in recorded if one.envelope.version > known.session.version]
            if new and new[0].envelope.version == known.session.version + 1:
                self._follow(memory, known, new)

    def opened(self, session_id: str) -> SessionOpened | None:
        """What the session was opened with; None if the log does not know it. Nothing changes that: it is read once.

        Raises:
            LogDamaged: as `load`.

        """
        return self.known(session_id).opened

    def forget(self) -> None:
        """Forget what was folded from the log: it is read again. What another thread is folding is not remembered."""
        self._memory = SessionMemory()

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
        self._store_id = self._store_id or self._log.store_id()
        return self._ids.derive(self._store_id, f"{channel}/{ordinal}")

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
        session = self.load(name) if is_id(name) else self.newest_of(name)
        if session is None or session.opened is None:
            raise NotFound("session", name, "a session id, or the name of a channel that has a session")
        return session

    def earlier(self, session: Session) -> Iterator[Session]:
        """The channel's sessions before this one that have anything left on the disk, newest first."""
        channel, last, memory = session.terms.channel, session.terms.ordinal - 1, self._memory
        seen, left = memory.left.get(channel, (0, ()))
        ordinals = (*range(last, seen, -1), *(ordinal for ordinal in left if ordinal <= last))
        found = [one for ordinal in ordinals if _leaves(one := self.load(self.id_of(channel, ordinal)))]
        if last >= seen:  # what has nothing left is not looked at again
            memory.left[channel] = last, tuple(one.terms.ordinal for one in found)
        yield from found

    def later(self, session: Session) -> Iterator[Session]:
        """The channel's sessions after this one, oldest first: none before it is closed."""
        if session.state is not SessionState.CLOSED:
            return
        channel, ordinal = session.terms.channel, session.terms.ordinal + 1
        while self._exists(channel, ordinal):
            yield self.load(self.id_of(channel, ordinal))
            ordinal += 1

    def successor(self, session: Session) -> Successor:
        """What the channel's later sessions have done (see `Successor`)."""
        return successor_of(self.later(session))

    def _follow(self, memory: SessionMemory, known: Known, events: Iterable[Recorded]) -> Session:
        """The state after more events, which is remembered where it was begun: `forget` forgets that, too."""
        session, folding = known.session, None
        for recorded in events:
            folding = folding or Folding(session)
            fold_in(folding, recorded)
        if folding:
            session = folding.session()
            known = Known(session, self._keep_snapshot(session, known.snapped))
        if session.version:
            memory.remember(known, self._limit)
        return session

    def _from_snapshot(self, session_id: str) -> Known:
        found = self._snapshots.load(session_id) if self._snapshots else None
        return Known(found or Session(session_id), found.version if found else 0)

    def _keep_snapshot(self, session: Session, snapped: int) -> int:
        """Keep the state, if it is time to; up to which version it is kept then."""
        ended = session.state is SessionState.CLOSED and not _leaves(session)
        if not self._snapshots or (session.version - snapped < self._every and not ended):
            return snapped
        # Who may only read, or finds the disk full, still has the state.
        with suppress(StoreUnavailable):
            self._snapshots.save(session)
        return session.version

    def _exists(self, channel: str, ordinal: int) -> bool:
        return self._log.version_of(self.id_of(channel, ordinal)) > 0


def _leaves(session: Session) -> bool:
    """Whether it has anything left on the disk."""
    return bool(session.batches or session.removal)


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
