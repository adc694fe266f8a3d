"""Threads that want the same done at the same time have it done together, and share the wait for the disk.

Nobody waits for company: who finds nobody at it goes at once, and what comes meanwhile goes together next.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Wanted = TypeVar("Wanted")
Answer = TypeVar("Answer")


class Together(Generic[Wanted, Answer]):
    """A queue in front of ``do``, which answers each that it is given: the thread that leads asks it for all that wait.

    Where it raises one of ``apart`` nothing was done, and it may be the matter of one of them: each caller's is done
    by itself then.
    """

    def __init__(
        self, do: Callable[[Sequence[Wanted]], Sequence[Answer]], apart: type[Exception] | tuple[type[Exception], ...]
    ) -> None:
        self._do, self._apart = do, apart
        self._lock = threading.Lock()
        self._waiting: deque[_Request[Wanted, Answer]] = deque()
        self._busy = False

    def ask(self, wanted: Sequence[Wanted]) -> Sequence[Answer]:
        """Have it done, alone or with what others want; the answer to each.

        Raises:
            Exception: as ``do`` does; what is raised of what one caller wants is told to that one alone.

        """
        request: _Request[Wanted, Answer] | None = None
        with self._lock:
            if self._busy:
                request = _Request(wanted)
                self._waiting.append(request)
            else:
                self._busy = True
        if request:
            return self._together(request)
        try:  # nobody waits, or somebody would lead
            return self._do(wanted)
        finally:
            self._pass_on()

    def _together(self, request: "_Request[Wanted, Answer]") -> Sequence[Answer]:
        try:
            request.turn.acquire()
            if request.leads:
                self._lead(request)
        finally:
            if not request.settled:  # this thread was interrupted
                self._withdraw(request)
        return request.answer()

    def _lead(self, request: "_Request[Wanted, Answer]") -> None:
        """Have done what waits, then let the first that came in the meantime lead."""
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

    def _settle(self, group: "Sequence[_Request[Wanted, Answer]]") -> None:
        try:
            answered = self._do([what for one in group for what in one.wanted])
        except Exception as error:  # each is told, in its own thread
            if isinstance(error, self._apart) and len(group) > 1:
                for one in group:
                    self._settle([one])
            else:
                for one in group:
                    one.settle(error)
        else:
            answers = iter(answered)
            for one in group:
                one.settle([next(answers) for _ in one.wanted])

    def _withdraw(self, request: "_Request[Wanted, Answer]") -> None:
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


class _Request(Generic[Wanted, Answer]):
    """What a thread wants and waits for: ``turn`` is held until it is settled or has to lead."""

    __slots__ = ("_outcome", "leads", "settled", "turn", "wanted")

    def __init__(self, wanted: Sequence[Wanted]) -> None:
        self.wanted = wanted
        self.leads = self.settled = False
        self.turn = threading.Lock()
        self.turn.acquire()
        self._outcome: Sequence[Answer] | Exception = ()

    def settle(self, outcome: Sequence[Answer] | Exception) -> None:
        self._outcome, self.settled = outcome, True

    def answer(self) -> Sequence[Answer]:
        """The answers; raises what went wrong."""
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome
