"""The last step of `make coverage`: the branches of each package that the tests took, and whether they are enough.

The figure that coverage can fail for counts lines and branches together, over all packages.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import PurePath

COVERAGE = [sys.executable, "-m", "coverage", "json", "-q", "-o", "-"]
LEAST = 0.95


def main() -> int:
    """Print a line for each package; 1 if one of them has too few."""
    report = json.loads(subprocess.run(COVERAGE, stdout=subprocess.PIPE, text=True, check=True).stdout)
    taken, branches = Counter[str](), Counter[str]()
    for name, module in report["files"].items():
        package = PurePath(name).parts[0]
        taken[package] += module["summary"]["covered_branches"]
        branches[package] += module["summary"]["num_branches"]
    for package, count in branches.items():
        print(f"{package}: {taken[package]} of {count} branches, {taken[package] / count:.1%}")
    return any(taken[package] < LEAST * count for package, count in branches.items())


if __name__ == "__main__":
    sys.exit(main())
