"""The segments below local media roots: looked at, flushed to disk, listed and deleted.

Deletion is by identity: one look at the file, in the open directory that it is then unlinked from. Between the two
nobody of ours touches it: purges hold the root, and no batch starts under a name that a kept batch still needs (R5).
"""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import PurePath

from application.ports import Deletion, FoundFile, Marker, MediaFiles
from domain.errors import Invalid, Refused
from domain.events import FileIdentity, RemainingFile
from domain.segments import check_label
from media import locks, marker_file
from media.directories import ChannelDirectories, open_beneath, opened_root, split_file
from media.durable import errno_name, flush, open_to_read, suspecting
from media.playlist_text import PLAYLIST_SUFFIX


class SegmentRoots(MediaFiles):
    """`MediaFiles` on directories of this machine."""

    def read_marker(self, root: str) -> Marker | None:
        """See `marker_file.read`."""
        return marker_file.read(root)

    def adopt(self, root: str, marker: Marker) -> Marker:
        """See `marker_file.adopt`."""
        return marker_file.adopt(root, marker)

    def exclusive(self, root: str) -> AbstractContextManager[None]:
        """See `locks.exclusive`."""
        return locks.exclusive(root)

    def producing(self, root: str, channel: str) -> AbstractContextManager[None]:
        """See `locks.producing`."""
        return locks.producing(root, channel)

    def prepare(self, root: str, channel: str, renditions: Sequence[str]) -> None:
        """Make the directories of a channel, durably.

        Raises:
            Refused: one cannot be made, or a link or a file is in its place.
            RootSuspect: the root is missing, or a directory could not be flushed.

        """
        with ChannelDirectories(root, channel) as directories:
            directories.make_channel()
            for rendition in renditions:
                directories.make_rendition(rendition)

    def find(self, root: str, channel: str, files: Sequence[str]) -> dict[str, FoundFile]:
        """Those of the files that exist.

        Raises:
            Invalid: a file is not ``RENDITION/NAME``.
            RootSuspect: it cannot be known, because a directory is not accessible or a link is in its place.

        """
        places = [(file, *split_file(file)) for file in files]
        found = {}
        with ChannelDirectories(root, channel) as directories:
            for file, rendition, name in places:
                with suspecting(root, f"{channel}/{file} cannot be looked at"), suppress(FileNotFoundError):
                    status = os.stat(name, dir_fd=directories.rendition(rendition), follow_symlinks=False)
                    found[file] = _found(file, status)
        return found

    def sync(self, root: str, channel: str, files: Sequence[str]) -> dict[str, FoundFile]:
        """Flush the files, then their directories from the innermost outwards; return what they are after that (R9).

        Files that do not exist are not in the answer; what is not a regular file is, but is not flushed.

        Raises:
            Invalid: a file is not ``RENDITION/NAME``.
            Refused: a file cannot be opened.
            RootSuspect: something could not be flushed, or a directory is not accessible.

        """
        found = self.find(root, channel, files)
        with ChannelDirectories(root, channel) as directories:
            for file, what in found.items():
                if what.regular:
                    rendition, name = split_file(file)
                    found[file] = _flushed(root, directories.rendition(rendition), file, name)
            for rendition in dict.fromkeys(split_file(file)[0] for file in found):
                flush(directories.rendition(rendition), root, f"{channel}/{rendition}")
            if found:
                flush(directories.channel(), root, channel)
                flush(directories.root, root, "its directory")
        return found

    def delete(self, root: str, channel: str, files: Sequence[FileIdentity]) -> Deletion:
        """Delete those files that still are what they were, then flush each of their directories once (R10, R11).

        A directory is flushed also where its files were gone already: an attempt that died before its flush may have
        unlinked them.

        Raises:
            Invalid: a file is not ``RENDITION/NAME``, or is a playlist (R8); nothing was touched.
            RootSuspect: the root is missing, or a directory could not be flushed: nothing may be recorded as gone.

        """
        places = [(*_deletable(identity.file), identity) for identity in files]
        attempt = _Attempt()
        with ChannelDirectories(root, channel) as directories:
            for rendition, name, identity in places:
                try:
                    attempt.delete(directories.rendition(rendition), name, identity)
                except FileNotFoundError:
                    attempt.already_absent.append(identity.file)
                except OSError as error:
                    attempt.remaining.append(RemainingFile(name=identity.file, errno=errno_name(error)))
            for directory in _reachable(directories, dict.fromkeys(rendition for rendition, _, _ in places)):
                flush(directory, root, f"a directory of channel {channel}")
        return attempt.outcome()

    def list_files(self, root: str, channel: str) -> Iterator[FileIdentity]:
        """Everything below the channel's directory but directories, playlists and what is hidden by a leading dot.

        The order is that of the names. A name that is not UTF-8 is given with its odd bytes escaped.

        Raises:
            RootSuspect: the root is missing, or a directory is not accessible.

        """
        with ChannelDirectories(root, channel) as directories, suspecting(root, f"{channel} cannot be listed"):
            try:
                top = directories.channel()
            except FileNotFoundError:
                return
            yield from _listing(top, "")

    def path(self, root: str, channel: str, file: str) -> str:
        """The absolute path of a file that `list_files` gave, or of the channel's directory, if ``file`` is empty.

        Raises:
            Invalid: it would lead out of the channel's directory.

        """
        below = PurePath(file)
        if below.is_absolute() or ".." in below.parts:
            raise Invalid("file", file, "a path below the channel's directory")
        return str(PurePath(root, check_label("channel", channel), below))

    def free_bytes(self, root: str) -> int:
        """Bytes that an unprivileged process can still write below the root.

        Raises:
            RootSuspect: the root is missing, or does not say.

        """
        with opened_root(root) as directory, suspecting(root, "its free space is not known"):
            status = os.statvfs(directory)
        return status.f_bavail * status.f_frsize


class _Attempt:
    """What an attempt at a purge did so far."""

    def __init__(self) -> None:
        self.deleted: list[FileIdentity] = []
        self.already_absent: list[str] = []
        self.superseded: list[FileIdentity] = []
        self.remaining: list[RemainingFile] = []

    def delete(self, directory: int, name: str, identity: FileIdentity) -> None:
        """Unlink the file if it still is what it was. Raises OSError if it cannot be looked at or unlinked."""
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISREG(status.st_mode) and _identity(identity.file, status) == identity:
            os.unlink(name, dir_fd=directory)
            self.deleted.append(identity)
        else:
            self.superseded.append(_identity(identity.file, status))

    def outcome(self) -> Deletion:
        return Deletion(
            deleted=tuple(self.deleted),
            already_absent=tuple(self.already_absent),
            superseded=tuple(self.superseded),
            remaining=tuple(self.remaining),
        )


def _deletable(file: str) -> tuple[str, str]:
    rendition, name = split_file(file)
    if name.endswith(PLAYLIST_SUFFIX):
        raise Invalid("file", file, "purging deletes segments, never playlists (R8)")
    return rendition, name


def _reachable(directories: ChannelDirectories, renditions: Iterable[str]) -> list[int]:
    """The directories that hold, or would hold, the renditions; each once, without those that cannot be opened."""
    found: dict[int, None] = {}
    for rendition in renditions:
        with suppress(OSError):
            found[directories.nearest(rendition)] = None
    return list(found)


def _identity(file: str, status: os.stat_result) -> FileIdentity:
    return FileIdentity(file=file, size=status.st_size, mtime_ns=status.st_mtime_ns, inode=status.st_ino)


def _found(file: str, status: os.stat_result) -> FoundFile:
    return FoundFile(_identity(file, status), stat.S_ISREG(status.st_mode))


def _flushed(root: str, directory: int, file: str, name: str) -> FoundFile:
    """Flush one file and tell what it is then; it may have become something else since it was looked at."""
    try:
        descriptor = open_to_read(directory, name)
    except OSError as error:
        raise Refused("R9", "file", file, f"it cannot be opened: {errno_name(error)}") from error
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            flush(descriptor, root, file)
        return _found(file, os.fstat(descriptor))
    finally:
        os.close(descriptor)


def _listing(directory: int, prefix: str) -> Iterator[FileIdentity]:
    for name in sorted(os.listdir(directory)):
        if name.startswith(".") or name.endswith(PLAYLIST_SUFFIX):
            continue
        with suppress(FileNotFoundError):
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                yield _identity(prefix + _printable(name), status)
                continue
            inner = open_beneath(directory, name)
            try:
                yield from _listing(inner, f"{prefix}{_printable(name)}/")
            finally:
                os.close(inner)


def _printable(name: str) -> str:
    return os.fsencode(name).decode(errors="backslashreplace")
