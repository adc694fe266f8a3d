"""The damage campaign: whatever is harmed, it is found or refused, and nothing is purged that was not authorised.

``python -m tests.torture.damage`` does every harm with every seed and prints the table of docs/reference/torture.md.
"""

import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

import structlog
from click.testing import CliRunner, Result

from entrypoints.cli import main
from tests.torture.campaign import arena_directory
from tests.torture.harmed_store import Ground
from tests.torture.harms import ANYWHERE, HARMS

SEEDS = 5
"""How often each harm is done; one to a byte that may be anywhere, `MORE` times as often."""

MORE = 4


class Verdict(StrEnum):
    """What `verify` said."""

    FOUND = "found"
    REFUSED = "refused"
    HARMLESS = "harmless"


CASES = [(kind, seed) for kind in HARMS for seed in range(SEEDS * MORE if kind in ANYWHERE else SEEDS)]
SLICE = [(kind, seed) for kind, seed in CASES if seed < (4 if kind in ANYWHERE else 1)]


class Arena:
    """The ground, and what the undamaged log has `project` purge."""

    def __init__(self, directory: Path) -> None:
        self.ground = Ground(directory)
        assert self._call("verify").exit_code == 0
        assert self._call("project").exit_code == 0
        self.authorised = self.ground.segments - self.ground.segments_now()
        assert len(self.authorised) == 10

    def judge(self, kind: str, seed: int) -> Verdict:
        """Do the harm and see what the product does about it.

        Raises:
            AssertionError: it overlooked the harm, fell over it, or purged what it may not.

        """
        ground = self.ground
        ground.restore()
        HARMS[kind](ground, random.Random(f"{kind} {seed}"))
        there = ground.segments_now()
        verdict = self._verified(kind)
        assert ground.segments_now() == there, "verify deleted a segment"
        for command in ("project", "recover"):
            self._call(command)
            gone = there - ground.segments_now() - self.authorised
            assert not gone, f"{command} deleted {sorted(map(str, gone))}"
        return verdict

    def _verified(self, kind: str) -> Verdict:
        result = self._call("verify")
        if result.exit_code == 0:
            assert kind in ANYWHERE, f"verify overlooked it: {result.stdout}"
            assert self.ground.told() == self.ground.log, "verify says that all is well, but the log is another"
            return Verdict.HARMLESS
        assert result.exit_code in {1, 3}, f"verify ended with {result.exit_code}: {result.stderr}"
        assert result.stderr if result.exit_code == 1 else result.stdout
        return Verdict.REFUSED if result.exit_code == 1 else Verdict.FOUND

    def _call(self, *words: str) -> Result:
        """A command, in this process; an error of ours is one line, and nothing else is ever raised."""
        result = CliRunner().invoke(main, ["--database", self.ground.url, *words])
        error = result.exception
        assert isinstance(error, SystemExit | None), f"{words} raised {error!r}"
        return result


@contextmanager
def arena() -> Iterator[Arena]:
    """An arena on a filesystem in memory, where there is one."""
    directory = Path(tempfile.mkdtemp(prefix="trailkeep-damage-", dir=arena_directory()))
    try:
        yield Arena(directory)
    finally:
        shutil.rmtree(directory)


def table() -> None:
    """Do all of it, and print what became of it."""
    began, verdicts = time.monotonic(), dict[str, Counter[Verdict]]()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with arena() as made:
        for kind, seed in CASES:
            verdicts.setdefault(kind, Counter())[made.judge(kind, seed)] += 1
    print(f"| harm | cases | {' | '.join(Verdict)} |\n| --- |{' --- |' * (len(Verdict) + 1)}")
    for kind, counts in verdicts.items():
        print(f"| {kind.replace('_', ' ')} | {counts.total()} | {' | '.join(str(counts[one]) for one in Verdict)} |")
    total = sum(verdicts.values(), Counter[Verdict]())
    print(f"| all | {total.total()} | {' | '.join(str(total[one]) for one in Verdict)} |")
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    table()
