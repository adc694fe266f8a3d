"""Mutation testing of what decides on deletions: `make mutation` runs mutmut and compares what survived with the page.

docs/reference/mutation.md shows every survivor as a diff below the name of its function, and judges it. The run fails
if the page and the survivors differ.
"""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from shutil import rmtree

TOP = Path(__file__).parents[1]
PAGE = TOP / "docs" / "reference" / "mutation.md"
MUTANTS = TOP / "mutants"
MUTMUT = Path(sys.executable).with_name("mutmut")

Mutant = tuple[str, tuple[str, ...]]
"""A function, and the lines of it that were taken away (-) and put there (+)."""


def mutmut(*arguments: str) -> str:
    """What mutmut answers."""
    return subprocess.run([MUTMUT, *arguments], cwd=TOP, stdout=subprocess.PIPE, text=True, check=True).stdout


def changed(diff: str) -> tuple[str, ...]:
    """The changed lines of a diff, wherever they are indented to."""
    lines = [line for line in diff.splitlines() if line.startswith(("-", "+")) and not line.startswith(("---", "+++"))]
    return tuple(f"{line[0]} {line[1:].strip()}" for line in lines)


def survivors() -> Iterator[Mutant]:
    """Every mutant that no test failed for: also those that no test reaches, or that only ran out of time."""
    for result in mutmut("results").splitlines():
        name, _, status = result.strip().partition(": ")
        if status != "killed":
            function = re.sub(r"\.x[_ǁ]", ".", name.partition("__mutmut_")[0]).replace("ǁ", ".")
            yield function, changed(mutmut("show", name))


def judged(page: str) -> Iterator[Mutant]:
    """Every mutant that the page shows."""
    for function, text in re.findall(r"^### `([\w.]+)`\n(.*?)(?=^##|\Z)", page, re.DOTALL | re.MULTILINE):
        for diff in re.findall(r"^```diff\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            yield function, changed(diff)


def show(title: str, mutants: Iterable[Mutant]) -> None:
    """Print the mutants in the form of the page."""
    for function, lines in mutants:
        print(f"\n{title}:\n\n### `{function}`\n", "```diff", *lines, "```", sep="\n")


def main() -> int:
    """From nothing: mutmut keeps the verdicts of a function that did not change, although its tests may have."""
    rmtree(MUTANTS, ignore_errors=True)
    subprocess.run([MUTMUT, "run", *sys.argv[1:]], cwd=TOP, check=True)
    mutmut("export-cicd-stats")
    figures = json.loads((MUTANTS / "mutmut-cicd-stats.json").read_text(encoding="utf-8"))
    print(", ".join(f"{count} {name}" for name, count in figures.items() if count))
    found, known = Counter(survivors()), Counter(judged(PAGE.read_text(encoding="utf-8")))
    show("survived and is judged", (found & known).elements())
    show("SURVIVED AND IS NOT JUDGED", (found - known).elements())
    show("IS JUDGED AND DOES NOT SURVIVE", (known - found).elements())
    return found != known


if __name__ == "__main__":
    sys.exit(main())
