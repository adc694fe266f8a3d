"""For all campaigns: a quick directory to work in, and what a failing case prints so that it can be replayed.

`make torture` sets TRAILKEEP_TORTURE=1 and runs every case; without it a short slice with fixed seeds runs, as part of
`make test`. A module asks `tests.torture.campaign.FULL` which of the two it is.

A case that fails prints its seed, the commit, and one command that replays it. What is printed by default is the seed
among the test's parameters and the test itself; a test whose case is smaller than that says so before it begins:

    def test_something(arena: Path, replay: Replay) -> None:
        replay.case(seed=7, command="python -m tests.torture.kills --seed 7 --point purge.unlink-segment.after")

A test that is many cases says how many, with `Replay.did`, or with `Replay.skip` if none of them can be done here; and
in the end `make torture` prints what each campaign did.
"""

import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.torture.campaign import FULL, TOP, Failure, arena_directory

REPLAY = pytest.StashKey["Replay"]()

LONGEST = "test_soak.py"
"""It goes by the clock, however many processors there are: it begins at once, and the rest is done beside it."""


class Replay:
    """How the case at hand is run again."""

    def __init__(self, item: pytest.Item) -> None:
        self.cases = self.not_tested = 0
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        self.seed: Any = parameters.get("seed", "none")
        self.command = f"{'TRAILKEEP_TORTURE=1 ' if FULL else ''}.venv/bin/pytest -n 0 '{item.nodeid}'"

    def case(self, *, seed: int, command: str) -> None:
        """Say which case is next."""
        self.seed, self.command = seed, command

    def did(self, cases: int) -> None:
        """Say how many cases the test has done."""
        self.cases += cases

    def skip(self, cases: int, why: str) -> NoReturn:
        """Skip the test, and say how many cases are not tested."""
        self.not_tested += cases
        pytest.skip(f"NOT TESTED: {why}")

    def none_of(self, failures: Sequence[Failure]) -> None:
        """Fail if there is a failure in what a campaign told; the first is the one to replay."""
        if failures:
            first = failures[0]
            self.case(seed=first.seed, command=f".venv/bin/{first.command}")
            pytest.fail(f"{len(failures)} cases do not hold; the first: {first.command}\n{first.why}", pytrace=False)


@pytest.fixture
def replay(request: pytest.FixtureRequest) -> Replay:
    """See `Replay`."""
    return request.node.stash.setdefault(REPLAY, Replay(request.node))


@pytest.fixture
def arena() -> Iterator[Path]:
    """An empty directory on a filesystem in memory, where there is one: kill -9 loses nothing that was written."""
    directory = Path(tempfile.mkdtemp(prefix="trailkeep-torture-", dir=arena_directory()))
    yield directory
    shutil.rmtree(directory)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if FULL:
        items.sort(key=lambda item: item.path.name != LONGEST)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    replay = item.stash.get(REPLAY, None)
    if replay and report.when == "call":
        report.user_properties += [("cases", replay.cases), ("not tested", replay.not_tested)]
    if report.failed and item.path.parent == Path(__file__).parent:
        replay = replay or Replay(item)
        report.sections.append(("replay", f"seed:    {replay.seed}\ncommit:  {commit()}\ncommand: {replay.command}"))
    return report


def commit() -> str:
    """The commit that is tested, with a word if the tree is not that commit."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=TOP, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + (" and changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown: this is no clone"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What each campaign did. A test that says nothing of cases is one."""
    done: dict[str, Counter[str]] = {}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, ()):
            if not (isinstance(report, pytest.TestReport) and report.nodeid.startswith("tests/torture/")):
                continue
            recorded = dict(report.user_properties)
            campaign = done.setdefault(Path(report.fspath).stem.removeprefix("test_").replace("_", " "), Counter())
            campaign[f"tests {outcome}"] += 1
            campaign["cases"] += recorded.get("cases") or outcome != "skipped"
            campaign["cases NOT TESTED"] += recorded.get("not tested") or outcome == "skipped"
            campaign["seconds"] += report.duration
    terminalreporter.section(f"campaigns at {commit()}")
    for name, counts in done.items():
        told = ", ".join(f"{what} {count:.0f}" for what, count in counts.items() if count)
        terminalreporter.write_line(f"{name}: {told}")
