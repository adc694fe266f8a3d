"""Deletion by identity: one look at the file, in the open directory that it is then unlinked from (R11).

Between the two nobody of ours touches it: purges hold the root, and no batch starts under a name that a kept batch
still needs (R5).
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from application.ports import Deletion
from domain.errors import Invalid
from domain.events import FileIdentity, RemainingFile
from domain.segments import check_deletable
from media.comparison import identity, is_still
from media.directories import ChannelDirectories, split_file, split_path
from media.durable import errno_name, flush, is_passing, suspecting, unavailable


def delete(root: str, channel: str, files: Sequence[FileIdentity]) -> Deletion:
    """Delete those files that still are what they were, then flush each of their directories once (R10, R11).

    A directory is flushed also where its files were gone already: an attempt that died before its flush may have
    unlinked them.

    Raises:
        Invalid: a file is not ``RENDITION/NAME``, or is a playlist (R8); nothing was touched.
        RootSuspect: the root is missing, or a directory could not be flushed: nothing may be recorded as gone.
        RootUnavailable: nothing can be deleted there now; what went before that is absent at the next attempt.

    """
    return _delete(root, channel, [_Place(*split_file(check_deletable(one.file)), one) for one in files])


def remove(root: str, channel: str, files: Sequence[FileIdentity]) -> Deletion:
    """`delete`, for files that are no segments: anywhere below the channel's directory, but not hidden.

    Raises:
        Invalid: a file is hidden or a playlist; nothing was touched.
        RootSuspect: as `delete`.

    """
    return _delete(root, channel, [_Place(*split_path(check_deletable(one.file)), one) for one in files])


def removable(root: str, channel: str, files: Sequence[FileIdentity]) -> tuple[FileIdentity, ...]:
    """Those of the files that `remove` would delete: regular, still what they were, and with a name to call them by.

    Raises:
        RootSuspect: the root is missing.

    """
    found: list[FileIdentity] = []
    with ChannelDirectories(root, channel) as directories:
        for file in files:
            with suppress(Invalid, OSError):
                directory, name = split_path(check_deletable(file.file))
                if is_still(file, os.stat(name, dir_fd=directories.inner(directory), follow_symlinks=False)):
                    found.append(file)
    return tuple(found)


class _Place(NamedTuple):
    """Where a file is, and what it was."""

    directory: str
    name: str
    recorded: FileIdentity


def _delete(root: str, channel: str, places: Sequence[_Place]) -> Deletion:
    attempt = _Attempt()
    with ChannelDirectories(root, channel) as directories:
        for place in places:
            try:
                attempt.delete(directories.inner(place.directory), place.name, place.recorded)
            except FileNotFoundError:
                attempt.already_absent.append(place.recorded.file)
            except OSError as error:
                if is_passing(error):  # this is of the disk: it is no outcome of the file
                    raise unavailable(root, f"{channel}/{place.recorded.file} cannot be deleted", error) from error
                attempt.remaining.append(RemainingFile(name=place.recorded.file, errno=errno_name(error)))
        left = {file.name for file in attempt.remaining}
        gone_from = [place.directory for place in places if place.recorded.file not in left]
        if attempt.already_absent:  # perhaps with a directory, which may have been made again since
            gone_from = sorted({above for directory in gone_from for above in _upwards(directory)}, reverse=True)
        with suspecting(root, f"{channel} cannot be opened"):
            flushed = list(map(directories.nearest, gone_from))
            if attempt.already_absent:
                flushed.append(directories.root)
            for directory in dict.fromkeys(flushed):
                flush(directory, root, f"a directory of channel {channel}")
    return attempt.outcome()


def _upwards(directory: str) -> Iterator[str]:
    """The directory and those above it, up to the channel's, which is empty."""
    while directory:
        yield directory
        directory = directory.rpartition("/")[0]
    yield ""


class _Attempt:
    """What an attempt at a purge did so far."""

    def __init__(self) -> None:
        self.deleted: list[FileIdentity] = []
        self.already_absent: list[str] = []
        self.superseded: list[FileIdentity] = []
        self.remaining: list[RemainingFile] = []

    def delete(self, directory: int, name: str, recorded: FileIdentity) -> None:
        """Unlink the file if it still is what it was. Raises OSError if it cannot be looked at or unlinked."""
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if is_still(recorded, status):
            os.unlink(name, dir_fd=directory)
            self.deleted.append(recorded)
        else:
            self.superseded.append(identity(recorded.file, status))

    def outcome(self) -> Deletion:
        return Deletion(
            deleted=tuple(self.deleted),
            already_absent=tuple(self.already_absent),
            superseded=tuple(self.superseded),
            remaining=tuple(self.remaining),
        )
