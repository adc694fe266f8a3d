"""Whether the disk of a media root takes more: what it says is free, and a block that is really written.

What it says is not enough: it may be out of inodes, over a quota, or read-only, with bytes free.
"""

import os
from contextlib import suppress

from media.directories import ChannelDirectories, opened_root
from media.durable import suspecting, write_new

PROBE_FILE = ".trailkeep-probe"
"""Hidden, so that it is no orphan; what a crash leaves of it goes with the next one."""

_BLOCK_BYTES = 4096


def free_bytes(root: str) -> int:
    """Bytes that an unprivileged process can still write below the root.

    Raises:
        RootUnavailable: the root is missing, or does not say.

    """
    with opened_root(root) as directory, suspecting(root, "its free space is not known"):
        status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def try_writing(root: str, channel: str) -> None:
    """Write a block to a file in the channel's directory, flush it, and remove it again.

    Where that directory is missing there is nothing to try: who starts a batch makes it.

    Raises:
        RootUnavailable: the disk takes no file, or no block.
        RootSuspect: the root is missing, a directory is not accessible, or the block was lost.

    """
    with (
        ChannelDirectories(root, channel) as directories,
        suspecting(root, f"{channel} takes no new file"),
    ):
        try:
            directory = directories.channel()
        except FileNotFoundError:
            return
        with suppress(FileNotFoundError):
            os.unlink(PROBE_FILE, dir_fd=directory)
        write_new(directory, PROBE_FILE, os.urandom(_BLOCK_BYTES))
        os.unlink(PROBE_FILE, dir_fd=directory)
