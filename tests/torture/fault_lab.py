"""Where faults are tried out: a warm process with the shim in it, which forks a child for each case.

The first child lives while calls fail, the second looks at what is left, lives on without faults, and looks again.

One case, and what came of it:

    python -m tests.torture.fault_lab --life produced --call write --error ENOSPC --at 17
"""

import argparse
import ctypes
import errno
import gc
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from ctypes import c_char_p, c_int, c_long, c_uint
from io import StringIO
from pathlib import Path

import msgspec
import structlog

from entrypoints.bootstrap import opened, prepare_embedded
from tests.torture.campaign import LONGEST_S, TOP, arena_directory
from tests.torture.fault_judge import look, unfinished, unheld, unrepeated, wrong
from tests.torture.fault_life import BATCHES, LIVES, Place, lived, trust_again

SOURCE = Path(__file__).with_name("fault_shim.c")
CALLS = ("open", "read", "write", "fsync", "unlink", "rename", "mkdir", "truncate")
"""What the shim can make fail, in the order of its kinds; each stands for its variants, fsync for fdatasync too."""

PROPER_ENDS = {0, 1, 4}
"""Done, an error, refused by a rule: what a command may end with when its disk fails."""

_WITH_A_TRACEBACK = 70


class Fault(msgspec.Struct, frozen=True):
    """Calls to fail: from number ``at`` on ``times`` of them, counted from 1; at 0 none."""

    life: str
    call: str
    error: str
    at: int
    times: int = 1

    def command(self) -> str:
        """What runs this case alone."""
        given = f"--life {self.life} --call {self.call} --error {self.error} --at {self.at} --times {self.times}"
        return f"python -m tests.torture.fault_lab {given}"


class Found(msgspec.Struct):
    """What came of it: how many calls there were, the first that failed, and everything that is not as it should be.

    ``unflushed`` is what a flush failed of that the same process did not make again.
    """

    seen: dict[str, int] = {}
    place: str = ""
    unflushed: str = ""
    code: int = 0
    said: str = ""
    wrong: list[str] = []


class NoCompilerError(Exception):
    """The shim cannot be made here."""


def shim(directory: Path) -> Path:
    """The shim, compiled into the directory.

    Raises:
        NoCompilerError: there is no C compiler, or it does not compile it.

    """
    made = directory / "fault_shim.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(made), str(SOURCE), "-ldl"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise NoCompilerError("there is no C compiler, cc") from error
    except subprocess.CalledProcessError as error:
        raise NoCompilerError(error.stderr) from error
    return made


class Lab:
    """The warm process, and the pipe to it."""

    def __init__(self, library: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.torture.fault_lab", "--serve"],
            cwd=TOP,
            env={**os.environ, "LD_PRELOAD": str(library)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, fault: Fault) -> Found:
        """Try one case."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(fault).decode() + "\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline(), type=Found)

    def close(self) -> None:
        self._process.communicate()


@contextmanager
def laboratory() -> Iterator[Lab]:
    """A lab of one's own."""
    with tempfile.TemporaryDirectory(prefix="trailkeep-faults-") as directory:
        lab = Lab(shim(Path(directory)))
        try:
            yield lab
        finally:
            lab.close()


# Inside the lab.


def serve() -> None:
    """Try cases, a line each, until there are no more."""
    structlog.configure(
        processors=[structlog.dev.ConsoleRenderer(colors=False)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    with tempfile.TemporaryDirectory(prefix="trailkeep-faults-", dir=arena_directory()) as directory:
        bench = Path(directory)
        _warm_up(bench)
        for line in sys.stdin:
            fault = msgspec.json.decode(line, type=Fault)
            place = _place(bench, fault.life)
            print(msgspec.json.encode(_tried(fault, place)).decode(), flush=True)
            shutil.rmtree(place.directory)


def _place(bench: Path, life: str) -> Place:
    directory = bench / life
    directory.mkdir()
    if life != "born":
        shutil.copy(bench / "blank.db", directory / "log.db")
    return Place(directory)


def _warm_up(bench: Path) -> None:
    """Make the database that lives begin with, and live each here once, so that no child has to import anything."""
    prepare_embedded(f"sqlite:///{bench / 'blank.db'}", lambda _: None)
    for life, live in LIVES.items():
        place = _place(bench, life)
        with redirect_stderr(StringIO()):
            live(place)
        shutil.rmtree(place.directory)
    gc.collect()
    gc.freeze()


def _tried(fault: Fault, place: Place) -> Found:
    with _notes() as acknowledged, _notes() as report, _notes() as looked:
        code, said = _forked(lambda: _fail_in(fault, place._replace(witness=acknowledged), report))
        found = msgspec.json.decode(_content(report) or b"{}", type=Found)
        found.code, found.said, found.wrong = code, said, list(_improper(code, said))
        ids = _content(acknowledged).decode().split()
        code, said = _forked(lambda: _go_on(fault, found, place, ids, looked))
        found.wrong += msgspec.json.decode(_content(looked) or b"[]", type=list[str])
        found.wrong += [f"without faults: {one}" for one in _improper(code, said)]
        if found.wrong:
            found.said += f"--- without faults, exit code {code}\n{said}"
    return found


def _improper(code: int, said: str) -> Iterator[str]:
    if code == -signal.SIGALRM:
        yield f"it did not end within {LONGEST_S} s"
    elif code not in PROPER_ENDS:
        yield f"it ended with {code}"
    if "Traceback (most recent call last)" in said:
        yield "it told of a traceback"


def _fail_in(fault: Fault, place: Place, report: int) -> int:
    library = ctypes.CDLL(None)
    library.fault_arm.argtypes = [c_char_p, c_uint, c_long, c_long, c_int, c_char_p]
    library.fault_place.restype = library.fault_unflushed.restype = c_char_p
    library.fault_seen.restype = c_long
    number, kinds = getattr(errno, fault.error), 1 << CALLS.index(fault.call)
    library.fault_arm(os.fsencode(place.directory), kinds, fault.at, fault.times, number, b"")
    try:
        return LIVES[fault.life](place)
    finally:
        seen = {call: library.fault_seen(kind) for kind, call in enumerate(CALLS)}
        place_failed, unflushed = os.fsdecode(library.fault_place()), os.fsdecode(library.fault_unflushed())
        os.write(report, msgspec.json.encode(Found(seen=seen, place=place_failed, unflushed=unflushed)))


def _go_on(fault: Fault, failed: Found, place: Place, acknowledged: Sequence[str], looked: int) -> int:
    """Look, live on without faults (an hour later, so that nothing has to be waited for), and look again."""
    before = look(place)
    found = list(wrong(before, acknowledged))
    if fault.times == 1:
        # Of an interrupted flush nothing was lost, and Python repeats it by itself (PEP 475).
        found += unrepeated(failed.unflushed, place) if fault.error == "EINTR" else unheld(before, failed.place, place)
    later = place._replace(late=3600.0)
    trust_again(later, before.events)
    code = LIVES[fault.life](later)
    after = look(place)
    found += [f"without faults: {one}" for one in wrong(after, acknowledged)]
    goal = 0 if fault.life == "born" else BATCHES
    with lived(later), opened(place.url) as app:
        found += [f"without faults: {one}" for one in unfinished(before, after, app, goal)]
    os.write(looked, msgspec.json.encode(found))
    return code if fault.life == "produced" else 0


def _forked(work: Callable[[], int]) -> tuple[int, str]:
    """Do something in a child: its exit code, negative for a signal, and what it said on stderr."""
    with _notes() as said:
        sys.stdout.flush()
        child = os.fork()
        if not child:
            os.dup2(said, 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            signal.alarm(LONGEST_S)
            code = _WITH_A_TRACEBACK
            try:
                code = work()
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status), _content(said).decode(errors="replace")


@contextmanager
def _notes() -> Iterator[int]:
    """A file that has no name, for what a child leaves."""
    descriptor = os.memfd_create("notes")
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _content(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def main() -> None:
    """Serve, or try one case and tell everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--life", choices=LIVES, default="produced")
    parser.add_argument("--call", choices=CALLS, default="write")
    parser.add_argument("--error", default="EIO")
    parser.add_argument("--at", type=int, default=0, help="0: nothing fails, the calls are counted")
    parser.add_argument("--times", type=int, default=1)
    given = vars(parser.parse_args())
    if given.pop("serve"):
        serve()
        return
    with laboratory() as lab:
        found = lab.run(Fault(**given))
    print(found.said)
    print(f"calls: {found.seen}; the first that failed: {found.place or 'none'}; exit code {found.code}")
    print("\n".join(found.wrong) or "nothing is wrong")
    sys.exit(bool(found.wrong))


if __name__ == "__main__":
    main()
