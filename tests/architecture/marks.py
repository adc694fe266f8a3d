"""What tests say they show by their marks, read from the tests without running them."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent.parent


class Marked(NamedTuple):
    """A test or a class of tests, and what stands in its marks of one kind: the rules, or the invariants."""

    where: str
    shown: tuple[str, ...]


def marked(kind: str, tests: Path = TESTS) -> Iterator[Marked]:
    """Everything that is marked by name. The generated histories, marked as a whole, count for none alone."""
    for path in sorted(tests.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                shown = tuple(one for mark in node.decorator_list for one in _arguments(mark, kind))
                if shown:
                    yield Marked(f"{path.relative_to(tests)}:{node.lineno}", shown)


def _arguments(mark: ast.expr, kind: str) -> Iterator[str]:
    if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Attribute) and mark.func.attr == kind:
        yield from (str(one.value) for one in mark.args if isinstance(one, ast.Constant))
