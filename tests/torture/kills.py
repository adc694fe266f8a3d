"""The kill campaign: kill -9 at a failure point, recovery, and kill -9 again at each point of that recovery.

    python -m tests.torture.kills --seeds 0-19                                     # all of it
    python -m tests.torture.kills --seeds 7 --points purge.unlink-segment.after    # one point, and its recovery
    python -m tests.torture.kills --seeds 7 --points purge.unlink-segment.after --again seal.save.before

The seed chooses the life, and which occurrence of each point is meant. Each case that fails is a line of JSON on
stdout; the last line says what was done.
"""

import argparse
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.torture.arena import Arena
from tests.torture.campaign import Failure, Tally, arena_directory, numbers, tell
from tests.torture.failure_points import POINTS
from tests.torture.mistakes import MISTAKES, made
from tests.torture.scenario import kill_at
from tests.torture.stages import Choice, Met, Reach, choices, cut_off, lived, points_of, recovered, recovery_cut_off

NONE, EACH, EVERY = "none", "each", "every"


class Kills:
    """The cases of some seeds and points.

    ``again`` says where recovery is killed, after each kill: at ``every`` point that it meets; at ``each`` that leaves
    what no other one leaves, and only if the first kill did so as well; at ``none``; or at one point.
    """

    def __init__(self, directory: Path, again: str = EACH, mistake: str = "none") -> None:
        self._arena, self._again, self._mistake = Arena(directory), again, mistake
        self.tally = Tally()

    def run(self, seeds: Sequence[int], points: Sequence[str] | None) -> Iterator[Failure]:
        """Run the cases; all points of each life, if none are given. What does not hold is yielded."""
        for seed in seeds:
            try:
                life = lived(self._arena, seed)
            except Exception:
                yield self._failure(seed, POINTS[0], NONE)  # which lives it, too, before anything else
                continue
            self.tally.points.update(life.points)
            meant = choices(seed, life.trace)
            for point in points or meant:
                self.tally.cases["kills"] += 1
                try:
                    met = self._kill(seed, point, meant[point].occurrence, life)
                except Exception:
                    yield self._failure(seed, point, NONE)
                    continue
                meant_again = choices(seed, met.trace)
                for again in self._agains(meant[point], meant_again):
                    self.tally.cases["second kills"] += 1
                    try:
                        self._kill_again(seed, kill_at(again, meant_again[again].occurrence), met)
                    except Exception:
                        yield self._failure(seed, point, again)

    def _kill(self, seed: int, point: str, occurrence: int, life: Met) -> Met:
        self._arena.begin()
        cut_off(self._arena, seed, kill_at(point, occurrence), self._mistake)
        self._arena.keep()
        met = recovered(self._arena, seed, end=life.standing)
        self.tally.points.update(points_of(met.trace + met.later))
        return met

    def _kill_again(self, seed: int, reach: Reach, met: Met) -> None:
        self._arena.put_back()
        recovery_cut_off(self._arena, seed, reach)
        standing = recovered(self._arena, seed).standing
        assert standing == met.standing, "it recovers to the same, however often it is killed"

    def _agains(self, first: Choice, meant: dict[str, Choice]) -> list[str]:
        if self._again == EVERY:
            return list(meant)
        if self._again == EACH:
            return [again for again, choice in meant.items() if first.alone and choice.alone]
        return [again for again in meant if again == self._again]

    def _failure(self, seed: int, point: str, again: str) -> Failure:
        command = f"python -m tests.torture.kills --seeds {seed} --points {point} --again {again}"
        return Failure(seed, command + made(self._mistake), traceback.format_exc())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.kills", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=numbers, default="0-19", help="such as 0-4,7")
    parser.add_argument(
        "--points", type=lambda text: text.split(","), help="with commas; all that a life meets, if none"
    )
    parser.add_argument("--again", choices=(NONE, EACH, EVERY, *POINTS), default=EACH, help="where recovery is killed")
    parser.add_argument("--mistake", choices=MISTAKES, default="none", help="a mistake that has to be found")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trailkeep-torture-", dir=arena_directory()) as directory:
        kills = Kills(Path(directory), given.again, given.mistake)
        tell(kills.run(given.seeds, given.points), kills.tally)


if __name__ == "__main__":
    main()
