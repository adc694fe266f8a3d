"""What a process remembers of sessions: as much as is bounded, and never more than the log told it."""

from typing import NamedTuple

from domain.session import Session


class Known(NamedTuple):
    """A state, and up to which version it was kept as a snapshot."""

    session: Session
    snapped: int


class SessionMemory:
    """States that were folded from the log; and ``left``: of each channel, up to which ordinal its sessions were looked
    at, and which of them have anything left on the disk.

    Who forgets takes a new one. What a thread is folding at that moment goes into the old one, and with it.
    """

    def __init__(self) -> None:
        self._now: dict[str, Known] = {}
        self._before: dict[str, Known] = {}
        self.left: dict[str, tuple[int, tuple[int, ...]]] = {}

    def __len__(self) -> int:
        """How many states there are, at most."""
        return len(self._now) + len(self._before)

    def find(self, session_id: str) -> Known | None:
        """The newest state of the session that was remembered, if it is still."""
        return self._now.get(session_id) or self._before.get(session_id)

    def remember(self, known: Known, limit: int) -> None:
        """The states that are asked for stay; of the others those go that were not asked for the longest time."""
        session_id = known.session.session_id
        newest = self.find(session_id)
        if newest and newest.session.version > known.session.version:
            known = newest  # another thread was ahead
        if len(self._now) >= limit and session_id not in self._now:
            self._before, self._now = self._now, {}
        self._now[session_id] = known
