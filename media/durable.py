"""Small files and directories that are on the disk when a call returns, and what it means when the disk says no."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import time_ns

from domain.errors import FlushFailed, RootFull, RootSuspect, RootUnavailable

_FULL = {errno.ENOSPC, errno.EDQUOT}
_PASSING = {
    *_FULL,
    errno.EROFS,
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOLCK),
    *(errno.EAGAIN, errno.EINTR),
}
"""A disk without room or write-protected, a machine without descriptors, memory or locks, a call to be made again."""

SETTLED_NS = 3 * 10**9
"""Longer than the tick of any filesystem's clock; that of FAT has two seconds."""

MOST_SETTLED = 100_000
"""Directories of which it is remembered that they were flushed."""


def errno_name(error: OSError) -> str:
    """The symbolic error number, for example ``EACCES``."""
    return errno.errorcode.get(error.errno or 0, str(error.errno))


class NotFlushed(OSError):
    """A file of ours could not be flushed to disk: what was written may be lost, and only this error tells of it."""


def is_passing(error: OSError) -> bool:
    """Whether it tells of the state of the disk or the machine, and nothing of the file that was asked for."""
    return error.errno in _PASSING and not isinstance(error, NotFlushed)


@contextmanager
def suspecting(root: str, what: str) -> Iterator[None]:
    """Turn an OSError inside the block into the error of ours that it means: ``what`` says what could not be done.

    Raises:
        RootUnavailable: the disk is full or read-only, or the machine lacks something.
        FlushFailed: it was `NotFlushed`.
        RootSuspect: it was anything else.

    """
    try:
        yield
    except OSError as error:
        if is_passing(error):
            raise unavailable(root, what, error) from error
        kind = FlushFailed if isinstance(error, NotFlushed) else RootSuspect
        raise kind(root, f"{what}: {errno_name(error)}") from error


def unavailable(root: str, what: str, error: OSError) -> RootUnavailable:
    """What an error that `is_passing` means; with the system's own words, for it is what an operator has to mend."""
    kind = RootFull if error.errno in _FULL else RootUnavailable
    return kind(root, f"{what}: {errno_name(error)} ({os.strerror(error.errno or 0)})")


def flush(descriptor: int, root: str, what: str) -> None:
    """Flush a file or a directory to disk, once.

    Raises:
        FlushFailed: it failed. The kernel reports a lost write once and then forgets it, so that a second fsync which
            succeeds would prove nothing: there is none.

    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise FlushFailed(root, f"{what} cannot be flushed to disk: {errno_name(error)}") from error


class SettledDirectories:
    """Flushes directories, unless nothing was added to one, or removed, since that was done by this process.

    A directory's ctime tells, which nobody can set, but not at once: its clock ticks every few milliseconds, and what
    comes within the tick leaves it as it is. So a directory that changed within `SETTLED_NS` is flushed each time.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], int] = {}

    def flush(self, descriptor: int, root: str, what: str) -> None:
        """`flush` an open directory, if need be. Errors as `flush`."""
        status = os.fstat(descriptor)
        directory, changed = (status.st_dev, status.st_ino), status.st_ctime_ns
        if self._known.get(directory) == changed:
            return
        now = time_ns()
        flush(descriptor, root, what)
        if changed < now - SETTLED_NS:
            if len(self._known) >= MOST_SETTLED:
                self._known.clear()
            self._known[directory] = changed


def write_new(directory: int, name: str, content: bytes) -> None:
    """Make a file that does not exist yet and flush its content; its name is durable once the directory is flushed.

    Raises:
        NotFlushed: it could not be flushed.
        OSError: it exists, or it could not be written; for want of room also where only the flush tells of that.
            In each case it is removed again.

    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o644, dir_fd=directory)
    try:
        rest = content
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        flush_new(descriptor)
    except OSError:
        with suppress(OSError):
            os.unlink(name, dir_fd=directory)
        raise
    finally:
        os.close(descriptor)


def flush_new(descriptor: int) -> None:
    """Flush what nobody relies on yet. Where blocks are allocated late, or by a server, this is what finds no room.

    Raises:
        NotFlushed: it could not be flushed.
        OSError: there is no room for it.

    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in _FULL:
            raise
        raise NotFlushed(error.errno, error.strerror) from error


def open_to_read(directory: int, name: str) -> int:
    """Open what bears a name, but no link, and without the wait for a writer that opening a FIFO would be.

    Raises:
        OSError: it is missing or not accessible; ELOOP if it is a link.

    """
    return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)


def read_regular(directory: int, name: str, limit: int) -> bytes | None:
    """The content of a regular file, at most one byte more than ``limit``; None if there is nothing by that name.

    Raises:
        OSError: it cannot be read, or is no regular file (ELOOP for a link, EINVAL otherwise).

    """
    try:
        descriptor = open_to_read(directory, name)
    except FileNotFoundError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return read_at(descriptor, 0, limit + 1)
    finally:
        os.close(descriptor)


def read_at(descriptor: int, start: int, most: int) -> bytes:
    """Bytes of an open file, from one place on: as many as asked for, unless it ends before."""
    content = os.pread(descriptor, most, start)
    while 0 < len(content) < most and (more := os.pread(descriptor, most - len(content), start + len(content))):
        content += more
    return content
