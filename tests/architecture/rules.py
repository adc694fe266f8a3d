"""The rules that tests say they show, read from the tests without running them."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent.parent


class Marked(NamedTuple):
    """A test or a class of tests, and the rules in its ``@pytest.mark.rule``."""

    where: str
    rules: tuple[str, ...]


def marked(tests: Path = TESTS) -> Iterator[Marked]:
    """Everything that is marked by name. The generated histories, marked as a whole, count for no single rule."""
    for path in sorted(tests.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                rules = tuple(rule for mark in node.decorator_list for rule in _rules(mark))
                if rules:
                    yield Marked(f"{path.relative_to(tests)}:{node.lineno}", rules)


def _rules(mark: ast.expr) -> Iterator[str]:
    if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Attribute) and mark.func.attr == "rule":
        yield from (str(one.value) for one in mark.args if isinstance(one, ast.Constant))
