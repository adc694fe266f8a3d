"""The directories below a media root, opened component by component: no symbolic link is followed below the root.

The root's own path is the operator's choice, and the kernel resolves it, links and mounts included. Below it every name
is looked up in a directory that is held open, so that a link which is moved into the way is an error, not a way out.
"""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Self

from domain.errors import Invalid, Refused, RootSuspect
from domain.root import check_path
from domain.segments import check_below, check_label
from media.durable import errno_name, is_passing, suspecting, unavailable

LONGEST = 255
"""Bytes of one name (NAME_MAX)."""

_held = threading.local()
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_IN_THE_PLACE = {
    "ENOTDIR": "a link or a file is in the place of its directory",
    "EXDEV": "another filesystem is mounted on its directory, and the root's marker cannot vouch for that one",
}


def split_file(file: str) -> tuple[str, str]:
    """Rendition and name of a file that is given relative to its channel's directory.

    Raises:
        Invalid: it is anything but ``RENDITION/NAME``.

    """
    rendition, _, name = file.partition("/")
    if not file.isprintable() or not all(_is_name(one) and len(one.encode()) <= LONGEST for one in (rendition, name)):
        rule = f"RENDITION/NAME: two names of printable characters, at most {LONGEST} bytes each, neither '.' nor '..'"
        raise Invalid("file", file, rule)
    return rendition, name


def split_path(file: str) -> tuple[str, str]:
    """Directory and name of a file that is anywhere below its channel's directory, and given relative to that.

    Raises:
        Invalid: as `check_below`.

    """
    directory, _, name = check_below(file).rpartition("/")
    return directory, name


def open_beneath(parent: int, name: str) -> int:
    """Open a directory in an open directory of the same filesystem.

    Another filesystem may be unmounted while the root stays: its files would look deleted, and the root's marker, which
    is to tell the two apart (R17), would still be there.

    Raises:
        Invalid: it is no name of an entry, and would lead elsewhere or nowhere.
        OSError: it is missing or not accessible; ENOTDIR if it is a link or a file, EXDEV if it is a mount point.

    """
    if not _is_name(name):
        raise Invalid("directory", name, "one name, without a slash or a zero byte, and neither '.' nor '..'")
    descriptor = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    if os.fstat(descriptor).st_dev != os.fstat(parent).st_dev:
        os.close(descriptor)
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    return descriptor


@contextmanager
def opened_root(root: str) -> Iterator[int]:
    """The root's directory, open: the one that this thread works in (`working_in`), or else what is at the path now.

    Raises:
        Invalid: the path is not absolute.
        RootSuspect: it is missing, not accessible or not a directory.
        RootUnavailable: it cannot be opened now.

    """
    held = _worked_in(root)
    if held is not None:
        yield held
        return
    with opened_anew(root) as descriptor:
        yield descriptor


def _worked_in(root: str) -> int | None:
    """The root's directory, if this thread works in it."""
    held: dict[str, int] = getattr(_held, "roots", {})
    return held.get(root)


def _open_root(root: str) -> int:
    check_path(root)
    with suspecting(root, "its directory cannot be opened"):
        try:
            return os.open(root, _DIRECTORY)
        except FileNotFoundError as error:
            raise RootSuspect(root, "it is missing; is the disk mounted?") from error


@contextmanager
def opened_anew(root: str) -> Iterator[int]:
    """What is at the root's path now, open. Errors as `opened_root`."""
    descriptor = _open_root(root)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def working_in(root: str, descriptor: int) -> Iterator[None]:
    """Have this thread's work below the root done in this open directory, whatever comes to be at its path meanwhile.

    So the disk that proves to be ours is the one that is worked on. If it is unmounted (lazily, for it is in use) or
    mounted over in between, there is an empty directory at the path, in which everything looks deleted (R17).
    """
    before: dict[str, int] = getattr(_held, "roots", {})
    _held.roots = {**before, root: descriptor}
    try:
        yield
    finally:
        _held.roots = before


@contextmanager
def staying(root: str) -> Iterator[None]:
    """`working_in` what is at the root's path now. Errors as `opened_root`."""
    with opened_anew(root) as descriptor, working_in(root, descriptor):
        yield


def _is_name(name: str) -> bool:
    """Whether this can name an entry of a directory, and leads nowhere else."""
    return name not in {"", ".", ".."} and "/" not in name and "\0" not in name


class ChannelDirectories:
    """The directories of one channel; each is opened once, when it is first asked for, and closed at the end."""

    def __init__(self, root: str, channel: str) -> None:
        self.path, self._name = root, check_label("channel", channel)
        self._stack = ExitStack()
        self._channel: int | None = None
        self._inner: dict[str, int] = {}

    def __enter__(self) -> Self:
        """Errors as `opened_root`."""
        held = _worked_in(self.path)
        self.root = self._keep(_open_root(self.path)) if held is None else held
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def channel(self) -> int:
        """The channel's directory. Errors as `open_beneath`."""
        if self._channel is None:
            self._channel = self._keep(open_beneath(self.root, self._name))
        return self._channel

    def rendition(self, name: str) -> int:
        """The directory of one of its renditions.

        Raises:
            Invalid: none can have the name.
            OSError: as `open_beneath`.

        """
        return self.inner(check_label("rendition", name))

    def inner(self, path: str) -> int:
        """The directory at a path below it, empty for its own. Errors as `open_beneath`, for each part of the path."""
        if not path:
            return self.channel()
        if path not in self._inner:
            above, _, name = path.rpartition("/")
            self._inner[path] = self._keep(open_beneath(self.inner(above), name))
        return self._inner[path]

    def nearest(self, path: str) -> int:
        """The directory at the path or, where that is missing, the one whose entries say so."""
        with suppress(FileNotFoundError):
            return self.inner(path)
        return self.nearest(path.rpartition("/")[0]) if path else self.root

    def make_channel(self) -> None:
        """Make the channel's directory, unless it is there. It is durable when what is in it is (`SegmentRoots.sync`).

        Raises:
            Refused: it may not be made, or something else is in its place.
            RootUnavailable: it cannot be made now.

        """
        with _refusing(self.path, "channel", self._name):
            try:
                self.channel()
            except FileNotFoundError:
                _make(self.root, self._name)
                self.channel()

    def make_rendition(self, name: str) -> None:
        """Make a rendition's directory in the channel's, as `make_channel` does."""
        with _refusing(self.path, "rendition", name):
            try:
                self.rendition(name)
            except FileNotFoundError:
                _make(self.channel(), name)
                self.rendition(name)

    def _keep(self, descriptor: int) -> int:
        self._stack.callback(os.close, descriptor)
        return descriptor


def _make(parent: int, name: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=parent)


@contextmanager
def _refusing(root: str, field: str, value: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_passing(error):
            raise unavailable(root, f"the directory of {field} {value} cannot be made", error) from error
        name = errno_name(error)
        reason = _IN_THE_PLACE.get(name, f"its directory cannot be made: {name}")
        raise Refused("R20", field, value, reason) from error
