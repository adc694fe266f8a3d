"""The child process itself: read without end, ended in order, and gone with its parent."""

import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from domain.errors import EncoderFailed
from media import process
from media.process import Ended, LinePipe, run
from tests.integration.ffmpeg_media import FFMPEG

PROJECT = Path(__file__).parents[2]


def shell(script: str, *, stopped_by: str = "never") -> tuple[Ended, list[str]]:
    """Run a shell that writes lines to descriptor 3; a certain line stops it."""
    lines: list[str] = []
    with LinePipe(lines.append) as pipe:
        command = ["/bin/sh", "-s", str(pipe.writing)]
        script = f"exec 3>/dev/fd/$1\n{script}"  # a POSIX shell knows descriptors of one digit
        return run(command, script=script, directory="/", pipes=[pipe], stopped=lambda: stopped_by in lines), lines


def test_lines_are_handed_on_and_the_exit_code_is_told() -> None:
    ended, lines = shell("echo one >&3; printf 'tw' >&3; echo o >&3; exit 3")
    assert lines == ["one", "two"]
    assert ended == Ended(exit_code=3, stderr_tail="", stopped=False)


def test_a_child_that_says_very_much_does_not_wait_and_its_last_words_are_kept() -> None:
    ended, _ = shell("head -c 1000000 /dev/zero | tr '\\0' x >&2; echo the end >&2")
    assert len(ended.stderr_tail.encode()) <= 4096
    assert ended.stderr_tail.endswith("xxx" + "the end")


@contextmanager
def no_descriptor_left_but(number: int) -> Iterator[None]:
    """This process may open so many files, and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1000), hard))
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for _ in range(number):
            os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in taken:
            os.close(descriptor)


@pytest.mark.parametrize("number", range(10))
def test_a_child_that_no_descriptor_is_left_for_has_failed_and_leaves_none_open(number: int) -> None:
    """It takes ten and more; whichever cannot be had."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    with (
        no_descriptor_left_but(number),
        pytest.raises(EncoderFailed, match=r"could not be started: .*Too many open files"),
    ):
        shell("exit 0")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_last_words_that_are_no_text_are_still_told() -> None:
    ended, _ = shell(r"printf 'a\377b' >&2")
    assert ended.stderr_tail == "ab"


def test_a_signal_that_ended_the_child_is_told() -> None:
    ended, _ = shell("kill -SEGV $$")
    assert ended.exit_code == -signal.SIGSEGV


def test_a_child_that_is_stopped_can_end_in_order() -> None:
    ended, lines = shell("trap 'echo bye >&3; exit 0' TERM; echo up >&3; while :; do :; done", stopped_by="up")
    assert ended == Ended(0, "", stopped=True)
    assert lines == ["up", "bye"]


def test_a_child_that_will_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.0)
    ended, _ = shell("trap '' TERM; echo up >&3; while :; do :; done", stopped_by="up")
    assert ended == Ended(-signal.SIGKILL, "", stopped=True)


def test_a_program_that_cannot_be_started_is_named() -> None:
    with pytest.raises(EncoderFailed, match=r"/nowhere/ffmpeg could not be started: .*No such file"):
        run(["/nowhere/ffmpeg"], script="", directory="/", pipes=[], stopped=lambda: False)


def test_no_descriptor_is_left_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    shell("echo one >&3")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


PARENT = """
import sys
from pathlib import Path
from media.bars_and_tone import BarsAndTone
from media.ffmpeg import FfmpegEncoder
from tests.integration.ffmpeg_media import FFMPEG, a_plan, settings

encoder = FfmpegEncoder(FFMPEG, settings(), BarsAndTone())
plan = a_plan(Path(sys.argv[1]), 0, batch_size=5000)
encoder.encode(plan, lambda: False, lambda segment: print(segment.number, flush=True))
"""


@contextmanager
def an_encoding_parent(directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process that encodes a long batch, and the descriptor by which its ffmpeg's end is told."""
    command = [sys.executable, "-c", PARENT, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=PROJECT) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"0\n"
        (child,) = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        ended = os.pidfd_open(int(child))
        try:
            yield parent, ended
        finally:
            parent.kill()
            os.close(ended)


@pytest.mark.skipif(sys.platform != "linux", reason="the lifeline is Linux's F_SETSIG")
def test_a_parent_that_is_killed_leaves_no_ffmpeg(tmp_path: Path) -> None:
    with an_encoding_parent(tmp_path) as (parent, ended):
        assert select.select([ended], [], [], 0)[0] == []
        parent.kill()
        assert select.select([ended], [], [], 30)[0] == [ended]


def test_an_ffmpeg_whose_parent_died_before_it_was_told_anything_ends_by_itself() -> None:
    command = [FFMPEG, "-nostdin", "-v", "error", "-/filter_complex", "pipe:0", "-f", "null", "-"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode != 0


def test_ctrl_c_in_a_terminal_does_not_reach_ffmpeg_by_itself() -> None:
    _, lines = shell("cut -d ' ' -f 6 /proc/$$/stat >&3")
    assert int(lines[0]) != os.getsid(0)
