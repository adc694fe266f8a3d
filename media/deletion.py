"""Deletion by identity: one look at the file, in the open directory that it is then unlinked from (R11).

Between the two nobody of ours touches it: purges hold the root, and no batch starts under a name that a kept batch
still needs (R5).
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

from application.ports import ChannelFiles, Deletion
from domain.errors import FlushFailed, Invalid
from domain.events import FileIdentity, RemainingFile
from domain.segments import check_deletable
from media.comparison import identity, is_still
from media.directories import ChannelDirectories, split_file, split_path
from media.durable import errno_name, flush, is_passing, suspecting, unavailable

FLUSHES = 8
"""Directories that are flushed at the same time."""


def delete_each(root: str, batches: Sequence[ChannelFiles]) -> list[Deletion]:
    """Delete those files of channels' batches that still are what they were, then flush their directories (R10, R11).

    All files go before the first flush: what the filesystem's journal takes to the disk for the one, it takes for all.
    A directory is flushed also where its files were gone already: an attempt that died before its flush may have
    unlinked them.

    Raises:
        Invalid: a file is not ``RENDITION/NAME``, or is a playlist (R8); nothing was touched.
        RootSuspect: the root is missing, or a directory could not be flushed: nothing may be recorded as gone.
        RootUnavailable: nothing can be deleted there now; what went before that is absent at the next attempt.

    """
    places = [[_Place(*split_file(check_deletable(one.file)), one) for one in files] for _, files in batches]
    return _delete(root, [(channel, some) for (channel, _), some in zip(batches, places, strict=True)])


def remove(root: str, channel: str, files: Sequence[FileIdentity]) -> Deletion:
    """`delete_each`, for files that are no segments: anywhere below the channel's directory, but not hidden.

    Raises:
        Invalid: a file is hidden or a playlist; nothing was touched.
        RootSuspect: as `delete_each`.

    """
    places = [_Place(*split_path(check_deletable(one.file)), one) for one in files]
    return _delete(root, [(channel, places)])[0]


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


def _delete(root: str, batches: Sequence[tuple[str, Sequence[_Place]]]) -> list[Deletion]:
    with ExitStack() as stack:
        attempts = [
            _Attempt(stack.enter_context(ChannelDirectories(root, one)), one, places) for one, places in batches
        ]
        for attempt in attempts:
            attempt.open()
        for attempt in attempts:
            attempt.delete()
        _flush_each(attempts)
    return [attempt.outcome() for attempt in attempts]


def _flush_each(attempts: "Sequence[_Attempt]") -> None:
    """At the same time: one commit of the filesystem's journal is then enough for all that wait for it.

    A flush that failed is told before anything else that went wrong: it is told once, and nobody can ask again.
    """
    if len(attempts) == 1:
        attempts[0].flush()
        return
    left, errors = iter(attempts), list[Exception]()

    def work() -> None:
        for attempt in left:
            try:
                attempt.flush()
            except Exception as error:  # raised below
                errors.append(error)

    helpers = [threading.Thread(target=work, name="flush") for _ in range(min(FLUSHES, len(attempts)) - 1)]
    started = list[threading.Thread]()
    try:
        with suppress(RuntimeError):  # the machine has no more threads: this one does what is left
            for helper in helpers:
                helper.start()
                started.append(helper)
        work()
    finally:
        for helper in started:
            helper.join()
        for error in errors:
            if isinstance(error, FlushFailed):
                raise error  # also in the place of an interrupt
    for error in errors:
        raise error


def _upwards(directory: str) -> Iterator[str]:
    """The directory and those above it, up to the channel's, which is empty."""
    while directory:
        yield directory
        directory = directory.rpartition("/")[0]
    yield ""


class _Attempt:
    """What an attempt at one batch did so far."""

    def __init__(self, directories: ChannelDirectories, channel: str, places: Sequence[_Place]) -> None:
        self._directories, self._channel, self._places = directories, channel, places
        self.deleted: list[FileIdentity] = []
        self.already_absent: list[str] = []
        self.superseded: list[FileIdentity] = []
        self.remaining: list[RemainingFile] = []

    def open(self) -> None:
        """Open the directories, so that nothing has gone yet if there are no descriptors left for them."""
        for place in self._places:
            with suppress(OSError), self._in_passing(place):
                self._directories.inner(place.directory)

    def delete(self) -> None:
        """Unlink the files that still are what they were."""
        for place in self._places:
            try:
                with self._in_passing(place):
                    self._unlink(self._directories.inner(place.directory), place.name, place.recorded)
            except FileNotFoundError:
                self.already_absent.append(place.recorded.file)
            except OSError as error:
                self.remaining.append(RemainingFile(name=place.recorded.file, errno=errno_name(error)))

    @contextmanager
    def _in_passing(self, place: _Place) -> Iterator[None]:
        """What is of the disk or the machine is no outcome of the file."""
        try:
            yield
        except OSError as error:
            if not is_passing(error):
                raise
            what = f"{self._channel}/{place.recorded.file} cannot be deleted"
            raise unavailable(self._directories.path, what, error) from error

    def _unlink(self, directory: int, name: str, recorded: FileIdentity) -> None:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if is_still(recorded, status):
            os.unlink(name, dir_fd=directory)
            self.deleted.append(recorded)
        else:
            self.superseded.append(identity(recorded.file, status))

    def flush(self) -> None:
        """Flush each directory once that held any of the files."""
        root, left = self._directories.path, {file.name for file in self.remaining}
        gone_from = [place.directory for place in self._places if place.recorded.file not in left]
        if self.already_absent:  # perhaps with a directory, which may have been made again since
            gone_from = sorted({above for directory in gone_from for above in _upwards(directory)}, reverse=True)
        with suspecting(root, f"{self._channel} cannot be opened"):
            flushed = list(map(self._directories.nearest, gone_from))
            if self.already_absent:
                flushed.append(self._directories.root)
            for directory in dict.fromkeys(flushed):
                flush(directory, root, f"a directory of channel {self._channel}")

    def outcome(self) -> Deletion:
        return Deletion(
            deleted=tuple(self.deleted),
            already_absent=tuple(self.already_absent),
            superseded=tuple(self.superseded),
            remaining=tuple(self.remaining),
        )
