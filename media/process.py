"""A child process that is read while it runs, ended in order, and cannot outlive its parent.

The child dies with the parent by a lifeline: a pipe whose writing end the parent alone holds. However the parent ends,
the kernel closes that end, and by F_SETOWN, F_SETSIG and O_ASYNC (Linux, fcntl(2)) sends the child SIGKILL. The usual
way, PR_SET_PDEATHSIG, has to be asked for within the child: by Python code between fork and exec, which is not safe in
a program with threads, or by an interposed process, which costs 20 ms and more a batch; and it fires when the *thread*
that made the child ends. The lifeline is tied before the child is given its script, so one that was not tied in time
has nothing to do and ends by itself.
"""

import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Self

from domain.errors import EncoderFailed

POLL_SECONDS = 0.1
GRACE_SECONDS = 5.0
TAIL_BYTES = 4096


class Ended(NamedTuple):
    """How a child ended: its exit code (negative: a signal), its last words, and whether it was stopped."""

    exit_code: int
    stderr_tail: str
    stopped: bool


class _Pipe:
    """A pipe that is closed at the end of a block.

    Raises:
        EncoderFailed: no descriptor is left for it.

    """

    def __init__(self) -> None:
        try:
            self.reading, self.writing = os.pipe()
        except OSError as error:
            raise EncoderFailed(f"an encoder could not be started: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.reading)
        self.leave_to_child()

    def leave_to_child(self) -> None:
        """Close the parent's writing end: the pipe ends when the child's does."""
        if self.writing >= 0:
            os.close(self.writing)
            self.writing = -1


class LinePipe(_Pipe):
    """A pipe that a child writes lines into; each is handed on as soon as it is complete."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        super().__init__()
        self._on_line, self._rest = on_line, b""

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._on_line(os.fsdecode(line))


class _Tail:
    """The end of what a child says."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> None:
        self._data = (self._data + data)[-TAIL_BYTES:]

    def text(self) -> str:
        return self._data.decode(errors="ignore").strip()


class _Stop:
    """Ends a child in order when it is told to: SIGTERM once, SIGKILL if it is still there after the grace."""

    def __init__(self, process: subprocess.Popen[bytes], stopped: Callable[[], bool]) -> None:
        self._process, self._stopped = process, stopped
        self._kill_at: float | None = None

    @property
    def begun(self) -> bool:
        return self._kill_at is not None

    def poll(self) -> None:
        if self._kill_at is None and self._stopped():
            self._kill_at = time.monotonic() + GRACE_SECONDS
            self._process.terminate()
        elif self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._process.kill()


def run(
    command: Sequence[str], *, script: str, directory: str, pipes: Sequence[LinePipe], stopped: Callable[[], bool]
) -> Ended:
    """Run a command in a directory, with ``script`` on its standard input, until it ends or ``stopped`` becomes true.

    ``script`` must fit a pipe (64 KiB). ``stopped`` is asked ten times a second or more.

    Raises:
        EncoderFailed: it cannot be started.

    """
    with _Pipe() as words, _started(command, directory, words, pipes) as process:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(script.encode())
        return _attend(process, words.reading, pipes, _Stop(process, stopped))


@contextlib.contextmanager
def _started(
    command: Sequence[str], directory: str, words: _Pipe, pipes: Sequence[LinePipe]
) -> Iterator[subprocess.Popen[bytes]]:
    with _Pipe() as lifeline:
        descriptors = (lifeline.reading, *(pipe.writing for pipe in pipes))
        with _spawn(command, directory, words.writing, descriptors) as process:
            try:
                _tie(lifeline.reading, process.pid)
                for pipe in (words, *pipes):
                    pipe.leave_to_child()
                yield process
            finally:
                process.kill()


def _spawn(command: Sequence[str], directory: str, words: int, descriptors: Sequence[int]) -> subprocess.Popen[bytes]:
    # What can be opened for it is: of its own Python 3.11.2 leaves some open, where no descriptor is left for the rest.
    try:
        with open(os.devnull, "wb") as nothing:  # noqa: PTH123 no path of ours
            return subprocess.Popen(  # noqa: S603 the caller made the command of checked values
                command,
                cwd=directory,
                stdin=subprocess.PIPE,
                stdout=nothing,
                stderr=words,
                pass_fds=descriptors,
                start_new_session=True,  # Ctrl-C in a terminal reaches the parent, which ends the child in order
            )
    except OSError as error:
        raise EncoderFailed(f"{command[0]} could not be started: {error}") from error


def _tie(lifeline: int, pid: int) -> None:
    if sys.platform == "linux":
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, pid)
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC)


def _attend(process: subprocess.Popen[bytes], words: int, pipes: Sequence[LinePipe], stop: _Stop) -> Ended:
    tail = _Tail()
    with selectors.PollSelector() as selector:  # needs no descriptor of its own
        selector.register(words, selectors.EVENT_READ, tail.feed)
        for pipe in pipes:
            selector.register(pipe.reading, selectors.EVENT_READ, pipe.feed)
        while selector.get_map():
            for key, _ in selector.select(POLL_SECONDS):
                if data := os.read(key.fd, 65536):
                    key.data(data)
                else:
                    selector.unregister(key.fd)
            stop.poll()
    while process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL_SECONDS)
        stop.poll()
    return Ended(process.returncode, tail.text(), stop.begun)
