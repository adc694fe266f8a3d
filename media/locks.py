"""Locks on directories, between threads and between processes alike; the kernel takes them back from the dead.

A flock belongs to the descriptor that was opened for it, so that nobody holds a lock twice: taking one again before it
is released waits for oneself.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from domain.errors import Refused
from media.directories import ChannelDirectories, opened_anew, working_in
from media.durable import suspecting


@contextmanager
def exclusive(root: str) -> Iterator[None]:
    """Hold a media root, and work in the directory that is held; wait for it as long as another holds it.

    Raises:
        RootSuspect: it is missing, or its filesystem cannot lock.

    """
    with ExitStack() as stack:
        while True:
            descriptor = stack.enter_context(opened_anew(root))
            with suspecting(root, "its directory cannot be locked"):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                # While we waited, another directory may have been mounted or moved to the path.
                if os.path.samestat(os.fstat(descriptor), os.stat(root)):  # noqa: PTH116 asked for each batch
                    break
            stack.close()
        stack.callback(fcntl.flock, descriptor, fcntl.LOCK_UN)
        stack.enter_context(working_in(root, descriptor))
        yield


@contextmanager
def producing(root: str, channel: str) -> Iterator[None]:
    """Hold a channel, whose directory is made if it is missing; never wait for it.

    Raises:
        Refused: another process, or another thread of this one, holds it.
        RootSuspect: the root is missing, or its filesystem cannot lock.

    """
    with ChannelDirectories(root, channel) as directories:
        directories.make_channel()
        descriptor = directories.channel()
        with suspecting(root, f"the directory of channel {channel} cannot be locked"):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Refused("R20", "channel", channel, "another process produces it") from error
        try:
            yield
        finally:
            # Closing is not enough: a child between fork and exec has the descriptor too.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
