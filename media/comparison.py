"""How files compare with what was recorded of them: one look at each, through descriptors, and nothing is touched."""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress

from application.ports import Comparison
from domain.events import FileIdentity
from media.directories import ChannelDirectories, split_file


def identity(file: str, status: os.stat_result) -> FileIdentity:
    """What a file is (R11)."""
    return FileIdentity(file=file, size=status.st_size, mtime_ns=status.st_mtime_ns, inode=status.st_ino)


def is_still(recorded: FileIdentity, status: os.stat_result) -> bool:
    """Whether what was looked at is the regular file that was recorded."""
    return stat.S_ISREG(status.st_mode) and identity(recorded.file, status) == recorded


def compare(root: str, channel: str, files: Sequence[FileIdentity]) -> Comparison:
    """Compare each file; one that cannot be looked at (a directory is not accessible) is in no list.

    Raises:
        Invalid: a file is not ``RENDITION/NAME``.
        RootSuspect: the root is missing.

    """
    places = [(*split_file(file.file), file) for file in files]
    absent, changed = list[str](), list[FileIdentity]()
    with ChannelDirectories(root, channel) as directories:
        for rendition, name, recorded in places:
            with suppress(OSError):
                try:
                    status = os.stat(name, dir_fd=directories.rendition(rendition), follow_symlinks=False)
                except FileNotFoundError:
                    absent.append(recorded.file)
                    continue
                if not is_still(recorded, status):
                    changed.append(identity(recorded.file, status))
    return Comparison(tuple(absent), tuple(changed))
