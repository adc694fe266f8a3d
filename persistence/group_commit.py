"""Threads that append at the same time share transactions, and with them the wait for the disk.

Nobody waits for company: who finds the writer idle commits at once, and what comes while it is busy goes together next.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence

from domain.errors import LogDamaged
from persistence.writer import Append

Commit = Callable[[Sequence[Append]], Sequence[int | None]]
"""Commits appends in one transaction and answers each: the head that it came after, or None for a version conflict."""


class GroupCommit:
    """A queue in front of ``commit``: the thread that leads commits for all that wait."""

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self._lock = threading.Lock()
        self._waiting: deque[_Request] = deque()
        self._leader: _Request | None = None

    def append(self, append: Append) -> int | None:
        """Commit the append, alone or with others; return the head of the log that it came after.

        None if its session is not at the version that it expects.

        Raises:
            LogDamaged, StoreUnavailable: as ``commit`` does; what is wrong with one append is told to that one alone.

        """
        request = _Request(append)
        with self._lock:
            if self._leader is None:
                self._leader = request
            else:
                request.turn = threading.Lock()
                request.turn.acquire()
                self._waiting.append(request)
        try:
            if request.turn:
                request.turn.acquire()
            if not request.settled:
                self._lead(request)
        finally:
            if not request.settled:  # this thread was interrupted
                self._withdraw(request)
        return request.answer()

    def _lead(self, request: "_Request") -> None:
        """Commit what waits, then let the first that came in the meantime lead."""
        with self._lock:
            others = list(self._waiting)
            self._waiting.clear()
        try:
            self._settle([request, *others])
        finally:
            with self._lock:
                self._waiting.extendleft(one for one in reversed(others) if not one.settled)
                self._pass_on()
            for one in others:
                if one.settled:
                    one.go()

    def _settle(self, group: "Sequence[_Request]") -> None:
        try:
            heads = self._commit([one.append for one in group])
        except LogDamaged as error:
            if len(group) == 1:
                group[0].settle(error)
            else:  # it is the matter of one of them, and nothing is committed
                for one in group:
                    self._settle([one])
        except Exception as error:  # each is told, in its own thread
            for one in group:
                one.settle(error)
        else:
            for one, head in zip(group, heads, strict=True):
                one.settle(head)

    def _withdraw(self, request: "_Request") -> None:
        with self._lock:
            if request in self._waiting:
                self._waiting.remove(request)
            elif self._leader is request:
                self._pass_on()

    def _pass_on(self) -> None:
        self._leader = self._waiting.popleft() if self._waiting else None
        if self._leader:
            self._leader.go()


class _Request:
    """An append that a thread waits for; if it has to wait, ``turn`` is held until it is settled or has to lead."""

    __slots__ = ("_outcome", "append", "settled", "turn")

    def __init__(self, append: Append) -> None:
        self.append = append
        self.settled = False
        self.turn: threading.Lock | None = None
        self._outcome: int | Exception | None = None

    def go(self) -> None:
        """Wake the thread that waits."""
        assert self.turn is not None
        self.turn.release()

    def settle(self, outcome: int | Exception | None) -> None:
        self._outcome, self.settled = outcome, True

    def answer(self) -> int | None:
        """The head, or None; raises what went wrong."""
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome
