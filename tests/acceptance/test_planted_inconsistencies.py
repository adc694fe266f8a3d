"""What is planted, `verify` finds, names, and tells by its exit code; and it finds nothing else."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from entrypoints.cli import main
from tests.acceptance.planted import ALONE, PLANTS, Finding, World, told
from tests.snapshots import Snapshot

SEED = 20261123
TOGETHER = 100


class Planted:
    """The world, put back before each test, and what `verify` says of it."""

    def __init__(self, world: World, snapshot: Snapshot) -> None:
        self.world, self._snapshot = world, snapshot

    def restore(self) -> None:
        self._snapshot.restore()
        self.world.start_again()

    def verify(self, *options: str) -> tuple[int, dict[str, Any]]:
        result = CliRunner().invoke(main, ["--database", self.world.url, "verify", "--json", *options])
        assert isinstance(result.exception, SystemExit | None), result.exception
        assert result.stdout, result.stderr
        return result.exit_code, json.loads(result.stdout)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    directory = tmp_path_factory.mktemp("planted")
    world = World(directory / "world")
    world.directory.mkdir()
    world.build()
    return Planted(world, Snapshot(world.directory, directory / "aside"))


@pytest.fixture
def planted(built: Planted) -> Planted:
    built.restore()
    return built


def compare(expected: list[Finding], report: dict[str, Any]) -> None:
    """Each expectation is told, and everything that is told was expected.

    But what is missing in a log that is not whole the journals may tell once more.
    """
    findings = list(told(report))
    assert [one for one in expected if not any(one.told_by(finding) for finding in findings)] == []
    others = [finding for finding in findings if not any(one.told_by(finding) for one in expected)]
    assert [(kind, text) for kind, text in others if report["log"]["ok"] or not is_told_twice(kind, text)] == []


def is_told_twice(kind: str, text: str) -> bool:
    return kind == "journal" and "it lost events" in text


def assert_several_find_the_same(planted: Planted, code: int, report: dict[str, Any]) -> None:
    """All but the notes, of which some tell of what takes long."""
    again, told_again = planted.verify("--processes", "3")
    assert (again, told_again | {"notes": ()}) == (code, report | {"notes": ()})


def test_where_nothing_is_planted_nothing_is_found(planted: Planted) -> None:
    code, report = planted.verify()
    assert list(told(report)) == []
    assert (code, report["ok"]) == (0, True)
    assert report["checked"] == 7 * 16 + 2 * 16 + 3 * 8 + 8 * 4 + 2 * 2 + 3 * 2
    assert_several_find_the_same(planted, code, report)


@pytest.mark.rule("R15", "R17", "R11")
@pytest.mark.parametrize("kind", PLANTS)
def test_what_is_planted_is_found_and_nothing_else(planted: Planted, kind: str) -> None:
    """R11, R15, R17."""
    expected = PLANTS[kind](planted.world, random.Random(f"{SEED} {kind}"))
    code, report = planted.verify()
    compare(expected, report)
    assert (code, report["ok"]) == (3, False)


@pytest.mark.parametrize("seed", range(SEED, SEED + 3))
def test_a_hundred_inconsistencies_are_each_named(planted: Planted, seed: int) -> None:
    rng = random.Random(seed)
    kinds = [kind for kind in PLANTS if kind not in ALONE]
    assert len(kinds) >= 12
    expected: list[Finding] = []
    count, exhausted = 0, set[str]()
    while count < TOGETHER and len(exhausted) < len(kinds):
        for kind in rng.sample(kinds, len(kinds)):
            if count == TOGETHER or kind in exhausted:
                continue
            try:
                expected += PLANTS[kind](planted.world, rng)
            except IndexError:  # there is no place left for it
                exhausted.add(kind)
            else:
                count += 1
    assert count == TOGETHER
    code, report = planted.verify()
    compare(expected, report)
    assert code == 3
    assert_several_find_the_same(planted, code, report)


@pytest.mark.parametrize("kind", ["lost_file", "fifo", "link", "directory", "unix_socket", "orphan"])
@pytest.mark.parametrize("level", ["presence", "size"])
def test_a_look_at_presence_sees_what_is_no_file_too(planted: Planted, kind: str, level: str) -> None:
    expected = PLANTS[kind](planted.world, random.Random(SEED))
    _, report = planted.verify("--level", level)
    compare(expected, report)


@pytest.mark.parametrize(
    ("kind", "levels"),
    [("other_size", ["size", "identity"]), ("other_time", ["identity"]), ("other_inode", ["identity"])],
)
def test_each_level_sees_what_it_looks_at(planted: Planted, kind: str, levels: list[str]) -> None:
    PLANTS[kind](planted.world, random.Random(SEED))
    seen = [level for level in ("presence", "size", "identity") if planted.verify("--level", level)[0] == 3]
    assert seen == levels


def test_verify_changes_nothing(planted: Planted) -> None:
    """Neither a row nor a file, whatever it finds."""
    rng = random.Random(SEED)
    for kind in ("lost_file", "missing_playlist", "altered_row_of_a_batch", "missing_marker", "altered_line"):
        PLANTS[kind](planted.world, rng)

    def state() -> tuple[object, ...]:
        directory: Path = planted.world.directory
        files = {path: path.lstat().st_mtime_ns for path in directory.rglob("*") if "log.db" not in path.name}
        tables = planted.world.sql("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return files, [planted.world.sql(f"SELECT * FROM {name} ORDER BY 1") for (name,) in tables]

    before = state()
    assert planted.verify()[0] == 3
    assert state() == before
