"""Small files and directories that are on the disk when a call returns, and what it means when the disk says no."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from domain.errors import FlushFailed, RootSuspect


def errno_name(error: OSError) -> str:
    """The symbolic error number, for example ``EACCES``."""
    return errno.errorcode.get(error.errno or 0, str(error.errno))


@contextmanager
def suspecting(root: str, what: str) -> Iterator[None]:
    """Turn an OSError inside the block into RootSuspect: ``what`` says what could not be done."""
    try:
        yield
    except OSError as error:
        raise RootSuspect(root, f"{what}: {errno_name(error)}") from error


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


def write_new(directory: int, name: str, content: bytes) -> None:
    """Make a file that does not exist yet and flush its content; its name is durable once the directory is flushed.

    Raises:
        OSError: it exists, or it could not be written; then it is removed again.

    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, 0o644, dir_fd=directory), "wb") as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                os.unlink(name, dir_fd=directory)
            raise


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
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(limit + 1)
    finally:
        os.close(descriptor)
