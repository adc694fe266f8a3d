"""A media root on disk with segments in it, and the means to see what was done to it from outside."""

import fcntl
import functools
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from domain.events import FileIdentity
from tests.torture.disks import Filesystem, what_is_missing

CHANNEL, RENDITION = "news", "v1"
PROJECT = Path(__file__).parents[2]
NOBODY = 65534


def a_file(
    root: Path, file: str = "v1/v1_segment_000.ts", content: bytes = b"segment", channel: str = CHANNEL
) -> FileIdentity:
    """Write a file of the channel and tell what it is."""
    path = root / channel / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return identity_of(root, file, channel)


def a_batch(root: Path, size: int = 5, rendition: str = RENDITION, channel: str = CHANNEL) -> tuple[FileIdentity, ...]:
    """Write the files of batch 0 in one rendition."""
    names = (f"{rendition}/{rendition}_segment_{number:03d}.ts" for number in range(size))
    return tuple(a_file(root, name, channel=channel) for name in names)


def identity_of(root: Path, file: str, channel: str = CHANNEL) -> FileIdentity:
    """What a file of the channel, or a link in its place, is now."""
    status = (root / channel / file).lstat()
    return FileIdentity(file=file, size=status.st_size, mtime_ns=status.st_mtime_ns, inode=status.st_ino)


# What somebody else does to a file.


def longer(path: Path) -> None:
    path.write_bytes(b"another segment")


def newer(path: Path) -> None:
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def another_file(path: Path) -> None:
    status = path.stat()
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_link_to_the_same_file(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


CHANGES = [longer, newer, another_file, a_directory, a_fifo, a_link_to_the_same_file]
"""Afterwards it is not the file that it was."""


def names(root: Path, folder: str = f"{CHANNEL}/{RENDITION}") -> list[str]:
    """Everything in a directory below the root, hidden or not."""
    return sorted(path.name for path in (root / folder).iterdir())


def is_locked(directory: Path) -> bool:
    """Whether somebody holds the directory."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def started(code: str, *arguments: str, under: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Run Python code that knows this project in a process of its own, with pipes to its input and output."""
    return subprocess.Popen(
        [*under, sys.executable, "-B", "-c", code, *arguments],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@functools.cache
def strace_problem() -> str:
    """Why strace is of no use here; empty if it is."""
    try:
        subprocess.run(
            ["strace", "-o", os.devnull, sys.executable, "-c", ""], check=True, capture_output=True, text=True
        )
    except OSError as error:
        return str(error)
    except subprocess.CalledProcessError as error:
        return str(error.stderr).strip()
    return ""


def traced(code: str, *arguments: str, log: Path, calls: str, inject: str = "") -> tuple[int, list[str], str]:
    """Run Python code under strace: its exit code, the system calls seen (descriptors with their paths), its output.

    ``inject`` is strace's, for example ``fsync:error=EIO:when=2``. Skips where strace is not there or may not trace.
    """
    if problem := strace_problem():
        pytest.skip(f"NOT TESTED: system calls cannot be watched: {problem}")
    # Some architectures lack some of the calls: a question mark makes strace forgive that.
    command = ["strace", "-f", "-y", "-o", str(log), "-e", "trace=?" + calls.replace(",", ",?")]
    if inject:
        command += ["-e", "inject=?" + inject.replace(",", ",?")]
    process = started(code, *arguments, under=command)
    output, errors = process.communicate()
    lines = [line.split(maxsplit=1)[1] for line in log.read_text().splitlines()]
    return process.returncode, [line for line in lines if not line.startswith(("+++", "---"))], output + errors


def steps(calls: list[str], root: Path) -> list[str]:
    """The calls on what is below the root, as ``call place``; the place is relative to the root."""
    found = [re.match(r"(\w+)\((?:\d+<([^>]*)>)?(?:, \"([^\"]*)\")?", call) for call in calls]
    return [
        f"{re.sub('at2?$', '', match[1])} {Path(match[2], match[3] or '').relative_to(root)}"
        for match in found
        if match and (match[2] or "").startswith(str(root))
    ]


@contextmanager
def unprivileged() -> Iterator[None]:
    """Do without the rights of root, which would ignore the modes of files."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def mode(path: Path, mode: int) -> Iterator[None]:
    """Give the path other permissions for a while."""
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


@contextmanager
def reachable_root() -> Iterator[Path]:
    """A media root that an unprivileged user can reach, but not write to."""
    with tempfile.TemporaryDirectory() as path:
        root = Path(path, "media")
        root.mkdir()
        for directory in (Path(path), root):
            directory.chmod(0o755)
        with unprivileged():
            if not os.access(root, os.X_OK, effective_ids=True):
                pytest.skip(f"NOT TESTED: {root} cannot be reached without the rights of root")
        yield root


@contextmanager
def mounted_disk(kind: str, path: Path, *options: str) -> Iterator[Filesystem]:
    """A real filesystem of its own at the path; skips where none can be made."""
    if missing := what_is_missing(kind):
        pytest.skip(f"NOT TESTED: there is no {kind} here: {missing}")
    with Filesystem(kind, path.with_suffix(".image"), path, *options) as disk:
        yield disk


@contextmanager
def mounted_tmpfs(path: Path, options: str = "size=1m") -> Iterator[Path]:
    """A small filesystem of its own at the path; skips where none can be mounted."""
    path.mkdir(parents=True, exist_ok=True)
    try:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"NOT TESTED: no filesystem can be mounted here: {error}")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)
