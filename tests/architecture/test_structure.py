"""The shape of the code: who imports whom, what the core may reach for; and each rule and invariant has its test."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

from tests.architecture.marks import marked

ROOT = Path(__file__).parent.parent.parent
PROTOCOL = ROOT / "docs" / "explanation" / "deletion-protocol.md"
PACKAGES = ("domain", "application", "persistence", "media", "entrypoints")
LONGEST_MODULE = 250
CATALOGUES = {"domain/events.py", "application/ports.py"}
"""Lists of definitions, looked up one at a time."""

RULES = {f"R{number}" for number in range(1, 21)}
NOT_YET = {"R12": "holds are not built yet"}

PURE = {"collections", "contextlib", "enum", "functools", "hashlib", "itertools", "re", "typing", "msgspec"}
"""What cannot tell the time, make an id, or see the machine."""
MAY_IMPORT = {
    "domain": {*PURE, "transitions", "domain"},
    "application": {*PURE, "structlog", "threading", "domain", "application"},
}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    """The top packages that a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield (node.module or "").partition(".")[0]


def called(tree: ast.AST) -> Iterator[str]:
    return (node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name))


def test_the_import_contracts_hold(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == EXIT_STATUS_SUCCESS


@pytest.mark.rule("R14")
@pytest.mark.parametrize("package", MAY_IMPORT)
def test_the_core_reaches_for_no_clock_no_fresh_id_and_no_file(package: str) -> None:
    """R14: a replay is a function of the log; so time, ids and facts of the disk arrive as arguments."""
    for path in modules(package):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert set(imported(tree)) <= MAY_IMPORT[package], path
        assert not set(called(tree)) & {"open", "input", "print", "exec", "eval", "__import__"}, path


def test_no_module_is_too_long_to_be_read_at_once() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for package in PACKAGES
        for path in modules(package)
    }
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_MODULE and path not in CATALOGUES} == {}


class TestRules:
    """Each promise of the product has a test that carries its number."""

    def test_every_rule_has_a_test(self) -> None:
        shown = {rule for one in marked("rule") for rule in one.shown}
        assert RULES - shown - NOT_YET.keys() == set()

    def test_no_test_shows_a_rule_that_does_not_exist_or_is_not_built(self) -> None:
        assert [one for one in marked("rule") if not set(one.shown) <= RULES - NOT_YET.keys()] == []


class TestInvariants:
    """So has each invariant of the deletion protocol, as docs/explanation/deletion-protocol.md numbers them."""

    @pytest.fixture
    def numbered(self) -> list[str]:
        _, _, rest = PROTOCOL.read_text(encoding="utf-8").partition("\n## Invariants\n")
        return re.findall(r"^(\d+)\. ", rest.partition("\n## ")[0], re.MULTILINE)

    def test_they_are_numbered_from_one_on(self, numbered: list[str]) -> None:
        assert numbered == [str(number) for number in range(1, len(numbered) + 1)]
        assert numbered

    def test_every_invariant_has_a_test(self, numbered: list[str]) -> None:
        shown = {number for one in marked("invariant") for number in one.shown}
        assert set(numbered) - shown == set()

    def test_no_test_shows_an_invariant_that_the_protocol_does_not_have(self, numbered: list[str]) -> None:
        assert [one for one in marked("invariant") if not set(one.shown) <= set(numbered)] == []
