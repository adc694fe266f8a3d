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
        self._busy = False

    def append(self, appends: Sequence[Append]) -> Sequence[int | None]:
        """Commit the appends, alone or with others; the answer to each is the head of the log that it came after.

        None if its session is not at the version that it expects.

        Raises:
            LogDamaged, StoreUnavailable: as ``commit`` does; what is wrong with what one caller appends is told to that
                one alone.

        """
        with self._lock:
            if self._busy:
                request = _Request(appends)
                self._waiting.append(request)
            else:
                request, self._busy = None, True
        if request:
            return self._together(request)
        try:  # nobody waits, or somebody would lead
            return self._commit(appends)
        finally:
            self._pass_on()

    def _together(self, request: "_Request") -> Sequence[int | None]:
        try:
            request.turn.acquire()
            if request.leads:
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
            request.leads = False
            self._pass_on()
            for one in others:
                if one.settled:
                    one.turn.release()

    def _settle(self, group: "Sequence[_Request]") -> None:
        try:
            heads = self._commit([append for one in group for append in one.appends])
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
            answers = iter(heads)
            for one in group:
                one.settle([next(answers) for _ in one.appends])

    def _withdraw(self, request: "_Request") -> None:
        with self._lock:
            if request in self._waiting:
                self._waiting.remove(request)
        if request.leads:
            self._pass_on()

    def _pass_on(self) -> None:
        with self._lock:
            if self._waiting:
                following = self._waiting.popleft()
                following.leads = True
                following.turn.release()
            else:
                self._busy = False


class _Request:
    """What a thread appends, and waits for: ``turn`` is held until it is settled or has to lead."""

    __slots__ = ("_outcome", "appends", "leads", "settled", "turn")

    def __init__(self, appends: Sequence[Append]) -> None:
        self.appends = appends
        self.leads = self.settled = False
        self.turn = threading.Lock()
        self.turn.acquire()
        self._outcome: Sequence[int | None] | Exception = ()

    def settle(self, outcome: Sequence[int | None] | Exception) -> None:
        self._outcome, self.settled = outcome, True

    def answer(self) -> Sequence[int | None]:
        """The heads; raises what went wrong."""
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome
