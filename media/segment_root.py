"""The segments below local media roots: looked at, flushed to disk, listed and deleted."""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import lru_cache
from pathlib import PurePath

from application.ports import ChannelFiles, Comparison, Deletion, FoundFile, Marker, MediaFiles
from domain.errors import Invalid, Refused
from domain.events import FileIdentity
from domain.segments import DEEPEST, PLAYLIST_SUFFIX, check_label
from media import locks, marker_file, space
from media.comparison import compare, identity
from media.deletion import delete_each, removable, remove
from media.directories import ChannelDirectories, open_beneath, split_file, staying
from media.durable import SettledDirectories, errno_name, flush, is_passing, open_to_read, suspecting, unavailable


class SegmentRoots(MediaFiles):
    """`MediaFiles` on directories of this machine."""

    def __init__(self) -> None:
        self._settled = SettledDirectories()

    def read_marker(self, root: str) -> Marker | None:
        """See `marker_file.read`."""
        return marker_file.read(root)

    def adopt(self, root: str, marker: Marker) -> Marker:
        """See `marker_file.adopt`."""
        return marker_file.adopt(root, marker)

    def mark(self, root: str, marker: Marker) -> None:
        """See `marker_file.replace`."""
        marker_file.replace(root, marker)

    def device(self, root: str) -> str:
        """See `marker_file.device`."""
        return marker_file.device(root)

    def staying(self, root: str) -> AbstractContextManager[None]:
        """See `directories.staying`."""
        return staying(root)

    def exclusive(self, root: str) -> AbstractContextManager[None]:
        """See `locks.exclusive`."""
        return locks.exclusive(root)

    def producing(self, root: str, channel: str) -> AbstractContextManager[None]:
        """See `locks.producing`."""
        return locks.producing(root, channel)

    def prepare(self, root: str, channel: str, renditions: Sequence[str]) -> None:
        """Make the directories of a channel. `sync` makes them durable, with what is in them.

        Raises:
            Refused: one cannot be made, or a link or a file is in its place.
            RootSuspect: the root is missing.

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
        places = _places(files)
        with ChannelDirectories(root, channel) as directories:
            return _find(directories, channel, places)

    def sync(self, root: str, channel: str, files: Sequence[str]) -> dict[str, FoundFile]:
        """Flush the files, then their directories from the innermost outwards; return what they are after that (R9).

        Files that do not exist are not in the answer; what is not a regular file is, but is not flushed.

        Raises:
            Invalid: a file is not ``RENDITION/NAME``.
            Refused: a file cannot be opened.
            RootSuspect: something could not be flushed, or a directory is not accessible.

        """
        places = _places(files)
        with ChannelDirectories(root, channel) as directories:
            found = _find(directories, channel, places)
            with suspecting(root, f"{channel} cannot be opened"):
                for file, what in found.items():
                    if what.regular:
                        rendition, name = places[file]
                        found[file] = _flushed(root, directories.rendition(rendition), file, name)
                for rendition in dict.fromkeys(places[file][0] for file in found):
                    flush(directories.rendition(rendition), root, f"{channel}/{rendition}")
                if found:
                    self._settled.flush(directories.channel(), root, channel)
                    self._settled.flush(directories.root, root, "its directory")
        return found

    def compare(self, root: str, channel: str, files: Sequence[FileIdentity]) -> Comparison:
        """See `comparison.compare`."""
        return compare(root, channel, files)

    def delete_each(self, root: str, batches: Sequence[ChannelFiles]) -> list[Deletion]:
        """See `deletion.delete_each`."""
        return delete_each(root, batches)

    def remove(self, root: str, channel: str, files: Sequence[FileIdentity]) -> Deletion:
        """See `deletion.remove`."""
        return remove(root, channel, files)

    def removable(self, root: str, channel: str, files: Sequence[FileIdentity]) -> tuple[FileIdentity, ...]:
        """See `deletion.removable`."""
        return removable(root, channel, files)

    def list_files(self, root: str, channel: str) -> Iterator[FileIdentity]:
        """Everything below the channel's directory but directories, playlists and what is hidden by a leading dot.

        The order is that of the names. A name that is not UTF-8 is given with its odd bytes escaped. A directory that
        lies deeper than `DEEPEST` is given itself, and not what is in it.

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
        above = _channel_path(root, check_label("channel", channel))
        parts = file.split("/")
        if file.startswith("/") or ".." in parts:
            raise Invalid("file", file, "a path below the channel's directory")
        return str(PurePath(above, file)) if {"", "."} & set(parts) else f"{above}/{file}"

    def free_bytes(self, root: str) -> int:
        """See `space.free_bytes`."""
        return space.free_bytes(root)

    def try_writing(self, root: str, channel: str) -> None:
        """See `space.try_writing`."""
        space.try_writing(root, channel)


@lru_cache(maxsize=1024)
def _channel_path(root: str, channel: str) -> str:
    return str(PurePath(root, channel))


def _places(files: Sequence[str]) -> dict[str, tuple[str, str]]:
    return {file: split_file(file) for file in files}


def _find(directories: ChannelDirectories, channel: str, places: Mapping[str, tuple[str, str]]) -> dict[str, FoundFile]:
    found = {}
    for file, (rendition, name) in places.items():
        with suspecting(directories.path, f"{channel}/{file} cannot be looked at"), suppress(FileNotFoundError):
            status = os.stat(name, dir_fd=directories.rendition(rendition), follow_symlinks=False)
            found[file] = _found(file, status)
    return found


def _found(file: str, status: os.stat_result) -> FoundFile:
    return FoundFile(identity(file, status), stat.S_ISREG(status.st_mode))


def _flushed(root: str, directory: int, file: str, name: str) -> FoundFile:
    """Flush one file and tell what it is then; it may have become something else since it was looked at."""
    try:
        descriptor = open_to_read(directory, name)
    except OSError as error:
        if is_passing(error):
            raise unavailable(root, f"{file} cannot be opened", error) from error
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
            if not stat.S_ISDIR(status.st_mode) or prefix.count("/") >= DEEPEST:
                yield identity(prefix + _printable(name), status)
                continue
            inner = open_beneath(directory, name)
            try:
                yield from _listing(inner, f"{prefix}{_printable(name)}/")
            finally:
                os.close(inner)


def _printable(name: str) -> str:
    return os.fsencode(name).decode(errors="backslashreplace")
