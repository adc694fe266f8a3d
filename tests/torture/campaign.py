"""What the campaigns share: how far to go, where to work, what to tell, and processes that are quickly there.

Starting Python and importing the product takes 0.7 s; forking a process that did so takes a few milliseconds. So a
campaign is a process (``python -m tests.torture.kills``) that forks one for each that is to die. It starts no thread,
and has no connection to a database open while it forks.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import msgspec

TOP = Path(__file__).parents[2]
FULL = bool(os.environ.get("TRAILKEEP_TORTURE"))
"""Whether every case is asked for, or the slice that `make test` has time for."""

LONGEST_S = 600
"""How long one stage of a case may take, which takes less than a second: then it is stuck, and not only starved."""


class Failure(msgspec.Struct, frozen=True):
    """A case that does not hold: its seed, why, and the one command that runs it again."""

    seed: int
    command: str
    why: str


class Done(msgspec.Struct, frozen=True):
    """What a campaign did: how many cases of each kind, how often it met each point, and how long it took."""

    cases: dict[str, int]
    points: dict[str, int]
    seconds: float


class Tally:
    """What a campaign has done so far."""

    def __init__(self) -> None:
        self.cases, self.points = Counter[str](), Counter[str]()
        self._began = time.monotonic()

    def done(self) -> Done:
        """The tally as it is told in the end."""
        return Done(dict(self.cases), dict(self.points), round(time.monotonic() - self._began, 1))


def tell(failures: Iterator[Failure], tally: Tally) -> NoReturn:
    """Run a campaign to its end, tell each failure as a line of JSON on stdout, and in the last line what was done."""
    failed = False
    for failure in failures:
        failed = True
        print(msgspec.json.encode(failure).decode(), flush=True)
    print(msgspec.json.encode(tally.done()).decode(), flush=True)
    sys.exit(failed)


def campaign(module: str, *words: str) -> tuple[list[Failure], Done]:
    """Run the campaign of a module in a process of its own, as its command does; clean up after it however it ends."""
    command = [sys.executable, "-m", f"tests.torture.{module}", *words]
    with tempfile.TemporaryDirectory(prefix="trailkeep-torture-", dir=arena_directory()) as directory:
        env = {**os.environ, "TMPDIR": directory}
        ended = subprocess.run(command, cwd=TOP, env=env, capture_output=True, text=True, check=False)
    lines = ended.stdout.splitlines()
    assert ended.returncode in {0, 1}, f"{module} ended with {ended.returncode}: {ended.stderr}"
    assert lines, f"{module} said nothing: {ended.stderr}"
    assert "cases" in json.loads(lines[-1]), f"{module} did not come to its end: {ended.stderr}"
    return [msgspec.json.decode(line, type=Failure) for line in lines[:-1]], msgspec.json.decode(lines[-1], type=Done)


def arena_directory() -> str | None:
    """Where temporary directories are made: where TMPDIR says, else in memory, if that can be."""
    return "/dev/shm" if "TMPDIR" not in os.environ and os.access("/dev/shm", os.W_OK) else None


def numbers(text: str) -> list[int]:
    """The seeds that a text such as ``0-4,7`` names."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


class Ended(NamedTuple):
    """How a child ended: its answer, or the signal that killed it."""

    answer: Any
    signal: int | None


class ChildFailed(AssertionError):
    """A child that neither answered nor was killed as planned; the message is its traceback."""


def in_child(work: Callable[[], Any]) -> Ended:
    """Do this in a fork of this process and return what it answers, as JSON has it.

    Raises:
        ChildFailed: it raised, or ended in another way, or took longer than `LONGEST_S`.

    """
    answers, answering = os.pipe()
    gc.freeze()
    pid = os.fork()
    if pid == 0:
        os.close(answers)
        _work(work, answering)
    os.close(answering)
    with os.fdopen(answers, "rb") as pipe:
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == 0:
        return Ended(msgspec.json.decode(said), None)
    if status == -signal.SIGKILL:
        return Ended(None, signal.SIGKILL)
    raise ChildFailed(said.decode(errors="replace") or f"the child ended with {status}")


def _work(work: Callable[[], Any], answering: int) -> NoReturn:
    gc.disable()
    status = 1
    try:
        with in_time():
            answer = msgspec.json.encode(work())
        status = 0
    except BaseException:
        answer = traceback.format_exc().encode()
    view = memoryview(answer)
    while view:
        view = view[os.write(answering, view) :]
    os._exit(status)


@contextmanager
def in_time() -> Iterator[None]:
    """Raise TimeoutError if the block takes longer than `LONGEST_S`."""

    def ring(_: int, __: Any) -> NoReturn:
        raise TimeoutError(f"it took longer than {LONGEST_S} s")

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(LONGEST_S)
    try:
        yield
    finally:
        signal.alarm(0)
