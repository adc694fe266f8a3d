"""Processes that read shares of the log for the verifier: Python folds the events of one core at a time in each."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from application.log_reader import Part
from application.ports import Share
from domain.errors import LogDamaged, TrailkeepError

EVENTS_WORTH = 200_000
"""So many events take one process a few seconds; to start another takes half of one."""

MOST = 4
"""Each connects to the database, which other work needs too."""

SPAWN = multiprocessing.get_context("spawn")

ReadShare = Callable[[Share, int, int], Part]
"""Reads a share up to a position, and the read models' rows up to a checkpoint, with a connection of its own."""


class _Reading:
    """Those that were begun."""

    def __init__(self, answers: Sequence[Connection], storage: Future[list[str]]) -> None:
        self._answers, self._storage = answers, storage

    def parts(self) -> Iterator[Part]:
        """See `Reading.parts`."""
        for answer in self._answers:
            try:
                part = answer.recv()
            except (EOFError, OSError):  # it was killed, perhaps while it answered
                part = None
            if part is None:
                raise LogDamaged(None, "a process that read its share did not come to the end")
            yield part

    def storage_faults(self) -> Iterable[str]:
        """See `Reading.storage_faults`."""
        return self._storage.result()


class Processes:
    """See `Readers`. They do with ``read_share``, which is called in another process."""

    def __init__(self, read_share: ReadShare, storage_faults: Callable[[], Iterable[str]]) -> None:
        self._read_share, self._storage_faults = read_share, storage_faults

    def worth(self, events: int) -> int:
        """See `Readers.worth`: no more than there are processors that this one may use (taskset)."""
        return min(MOST, _processors()) if events >= EVENTS_WORTH else 1

    @contextmanager
    def begin(self, shares: Sequence[Share], end: int, checkpoint: int) -> Iterator[_Reading]:
        """See `Readers.begin`."""
        with ExitStack() as stack:
            storage = stack.enter_context(_asked(self._storage_faults))
            answers = [self._started(stack, share, end, checkpoint) for share in shares]
            yield _Reading(answers, storage)

    def _started(self, stack: ExitStack, share: Share, end: int, checkpoint: int) -> Connection:
        receiving, sending = SPAWN.Pipe(duplex=False)
        stack.callback(receiving.close)
        process = SPAWN.Process(target=_answer, args=(sending, self._read_share, share, end, checkpoint), daemon=True)
        process.start()
        stack.callback(_end, process)
        sending.close()
        return receiving


@contextmanager
def _asked(question: Callable[[], Iterable[str]]) -> Iterator[Future[list[str]]]:
    """The answer to come, waited for in the end; not by who was interrupted, for of a large log it takes a minute."""
    answer: Future[list[str]] = Future()

    def ask() -> None:
        try:
            answer.set_result(list(question()))
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=ask, name="storage", daemon=True).start()
    interrupted = False
    try:
        yield answer
    except KeyboardInterrupt:
        interrupted = True
        raise
    finally:
        if not interrupted:
            wait([answer])


def _answer(answer: Connection, read_share: ReadShare, share: Share, end: int, checkpoint: int) -> None:
    """Read in a process of one's own. Whatever is wrong, who reads it alone finds it as well, and tells it better."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        answer.send(read_share(share, end, checkpoint))
    except (TrailkeepError, KeyboardInterrupt):
        answer.close()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _end(process: BaseProcess) -> None:
    process.kill()
    process.join()
