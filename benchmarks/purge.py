"""Delete batches of files: by identity, as a purge does, beside the bare calls that it cannot do without."""

import os
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from benchmarks.measure import Contender, Figure, per_second, ratio, take_turns
from domain.events import FileIdentity
from media.segment_root import SegmentRoots

FILES, BATCHES, SIZE = 20, 50, 16 * 1024
ROUNDS = 9
OURS, BARE = "Trailkeep", "unlink, and one fsync a batch"


def measure(directory: Path) -> Figure:
    """Files a second, without the events around each batch."""
    made = count()
    values = take_turns({OURS: _ours(directory, made), BARE: _bare(directory, made)}, ROUNDS)
    return Figure(
        "purge",
        f"{BATCHES} batches of {FILES} files of {SIZE // 1024} KiB a round, {ROUNDS} rounds",
        "files/s",
        values,
        [ratio(values, OURS, BARE, ">= 0.8")],
    )


def _ours(directory: Path, made: "count[int]") -> Contender:
    def once() -> float:
        channel = f"c{next(made)}"
        roots, batches = SegmentRoots(), _written(directory, channel)

        def work() -> None:
            for batch in batches:
                assert len(roots.delete_each(str(directory), [(channel, batch)])[0].deleted) == FILES

        return per_second(FILES * BATCHES, work)

    return once


def _bare(directory: Path, made: "count[int]") -> Contender:
    def once() -> float:
        channel = f"c{next(made)}"
        batches = [[directory / channel / one.file for one in batch] for batch in _written(directory, channel)]
        descriptor = os.open(directory / channel / "v", os.O_RDONLY | os.O_DIRECTORY)

        def work() -> None:
            for batch in batches:
                for path in batch:
                    os.unlink(path)  # noqa: PTH108 the cheapest call there is
                os.fsync(descriptor)

        try:
            return per_second(FILES * BATCHES, work)
        finally:
            os.close(descriptor)

    return once


def _written(directory: Path, channel: str) -> list[Sequence[FileIdentity]]:
    """The batches of a new channel, on disk."""
    roots, names = SegmentRoots(), [f"v/v_segment_{number:04d}.ts" for number in range(FILES * BATCHES)]
    roots.prepare(str(directory), channel, ["v"])
    for name in names:
        with (directory / channel / name).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, SIZE)  # has its blocks now, as a file that was flushed
    roots.sync(str(directory), channel, names[:1])
    found = roots.find(str(directory), channel, names)
    identities = [found[name].identity for name in names]
    return [identities[first : first + FILES] for first in range(0, len(identities), FILES)]
