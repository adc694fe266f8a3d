"""Mistakes that a campaign has to find, or it proves nothing.

Each undoes one promise in a process of the tests, by going around the product as the instrument does.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest.mock import patch

from application.ports import ChannelFiles
from application.publisher import Publisher
from application.purger import Purger
from media.segment_root import SegmentRoots

Mistake = Callable[[], AbstractContextManager[Any]]


def _asynchronous_log() -> AbstractContextManager[Any]:
    """A commit that does not wait for the disk."""
    return patch("persistence.sqlite._PRAGMAS", ("synchronous=NORMAL",))


def _unflushed_unlinks() -> AbstractContextManager[Any]:
    """A purge that does not flush the directories from which files went."""
    delete_each = SegmentRoots.delete_each

    def deleting(files: SegmentRoots, root: str, batches: Sequence[ChannelFiles]) -> Any:
        with patch("os.fsync", lambda _: None):
            return delete_each(files, root, batches)

    return patch.object(SegmentRoots, "delete_each", deleting)


def _listed_to_the_end() -> AbstractContextManager[Any]:
    """A purge of what a playlist still lists."""
    carry_out = Purger.carry_out_each

    def carrying_out(purger: Purger, *those: Any) -> Any:
        with patch.object(Publisher, "publish_held", lambda *_: ()):
            return carry_out(purger, *those)

    return patch.object(Purger, "carry_out_each", carrying_out)


def _playlists_in_place() -> AbstractContextManager[Any]:
    """Playlists that are written where they are read."""

    def replace(_: str, draft: Any) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        descriptor = os.open(draft.name, flags, 0o644, dir_fd=draft.directory)
        os.write(descriptor, draft.text.encode())
        os.close(descriptor)

    return patch("media.playlist._replace", replace)


MISTAKES: dict[str, Mistake] = {
    "none": nullcontext,
    "asynchronous-log": _asynchronous_log,
    "unflushed-unlinks": _unflushed_unlinks,
    "listed-to-the-end": _listed_to_the_end,
    "playlists-in-place": _playlists_in_place,
}


def made(mistake: str) -> str:
    """What makes the mistake again on a command line; nothing if there was none."""
    return f" --mistake {mistake}" if mistake != "none" else ""
