"""The power cut campaign: the power goes at a failure point; then the next mount, recovery, and the rest of the life.

    python -m tests.torture.power_cuts --kind ext4 --seeds 0-19
    python -m tests.torture.power_cuts --kind xfs --seeds 7 --points purge.fsync-rendition.before

Database and media are on two filesystems: on one, each commit of the database would flush the directories as well, and
a missing flush would not show. The seed chooses the life, and which occurrence of each point is meant. At a point that
only a process meets that finds what a killed one left, it is that process's power that goes. Each case that fails is a
line of JSON on stdout; the last line says what was done. It takes root and loop devices.
"""

import argparse
import os
import signal
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.torture.arena import Arena
from tests.torture.campaign import Failure, Tally, arena_directory, numbers, tell
from tests.torture.disks import KINDS, Filesystem, unshare_mounts
from tests.torture.failure_points import POINTS
from tests.torture.mistakes import MISTAKES, made
from tests.torture.scenario import Place, at_point, kill_at
from tests.torture.stages import Met, chosen, cut_off, lived, points_of, recovered

LEFTOVERS = {
    "adopt.unlink-temporary": "adopt.create-temporary.after",
    "shorten.unlink-copy": "shorten.create-copy.after",
    "publish.unlink-playlist": "publish.create-playlist.after",
    "publish.unlink-master": "publish.create-master.after",
}
"""The effects that only a process has that finds what a killed one left; and where that one is killed."""

KILLED, CUT = "journal.write-journal.after", "purge.fsync-rendition.after"
"""What a killed process wrote and did not flush is there for the next one, until the power goes: for each line."""


class PowerCuts:
    """The cases of some seeds and points, on filesystems of one kind."""

    def __init__(self, kind: str, directory: Path, mistake: str = "none") -> None:
        self._kind, self._directory, self._mistake = kind, directory, mistake
        self._stack = ExitStack()
        self.tally = Tally()

    def __enter__(self) -> Self:
        self._disks = [
            self._stack.enter_context(Filesystem(self._kind, self._directory / f"{name}.image", self._directory / name))
            for name in ("database", "media")
        ]
        database, media = (disk.mounted for disk in self._disks)
        self._arena = Arena(self._directory, Place(database / "log.db", media))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, seeds: Sequence[int], points: Sequence[str] | None, line: int = 0) -> Iterator[Failure]:
        """Run the cases; all that there are, if no points are given. What does not hold is yielded.

        With a ``line`` there is one case alone: a kill after that line of the journal, and a cut of the next process.
        """
        for seed in seeds:
            try:
                life = lived(self._arena, seed)
            except Exception:
                yield self._failure(seed, POINTS[0])  # which lives it, too, before anything else
                continue
            self.tally.points.update(life.points)
            for point, number in _cases(life, points, line):
                self.tally.cases["power cuts"] += 1
                try:
                    self._cut(seed, point, life, number, surely=number == line)  # after the last lines no purge comes
                except Exception:
                    yield self._failure(seed, point, number)

    def _cut(self, seed: int, point: str, life: Met, line: int, *, surely: bool) -> None:
        self._arena.begin()
        for disk in self._disks:
            disk.settle()
        left = KILLED if line else LEFTOVERS.get(point.rpartition(".")[0])
        if left:
            cut_off(self._arena, seed, kill_at(left, line or chosen(seed, left, life.points)))
        occurrence = 1 if left else chosen(seed, point, life.points)
        lose_power = at_point(point, occurrence, self._lose_power)
        cut_off(self._arena, seed, lose_power, self._mistake, surely=surely)
        for disk in self._disks:
            disk.unmount()
            disk.mount()
        met = recovered(self._arena, seed, end=life.standing, boot=2)
        self.tally.points.update(points_of(met.trace + met.later))

    def _failure(self, seed: int, point: str, line: int = 0) -> Failure:
        which = f"--line {line}" if line else f"--points {point}"
        command = f"python -m tests.torture.power_cuts --kind {self._kind} --seeds {seed} {which}"
        return Failure(seed, command + made(self._mistake), traceback.format_exc())

    def _lose_power(self) -> None:
        for disk in self._disks:
            disk.cut()
        os.kill(os.getpid(), signal.SIGKILL)


def _cases(life: Met, points: Sequence[str] | None, line: int) -> list[tuple[str, int]]:
    """Where the power goes, and after which line of the journal a process was killed before; 0 for none."""
    if line:
        return [(CUT, line)]
    cases = [(point, 0) for point in points or POINTS]
    return cases if points else [*cases, *((CUT, number) for number in range(1, life.points[KILLED] + 1))]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.power_cuts", description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=KINDS, default="ext4")
    parser.add_argument("--seeds", type=numbers, default="0-19", help="such as 0-4,7")
    parser.add_argument("--points", type=lambda text: text.split(","), help="with commas; all that there are, if none")
    parser.add_argument("--line", type=int, default=0, help="kill after this line of the journal, then cut")
    parser.add_argument("--mistake", choices=MISTAKES, default="none", help="a mistake that has to be found")
    given = parser.parse_args()
    unshare_mounts()
    with (
        tempfile.TemporaryDirectory(prefix="trailkeep-torture-", dir=arena_directory()) as directory,
        PowerCuts(given.kind, Path(directory), given.mistake) as cuts,
    ):
        tell(cuts.run(given.seeds, given.points, given.line), cuts.tally)


if __name__ == "__main__":
    main()
