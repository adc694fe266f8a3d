"""What the machine grants a process."""

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
CODE = """
import resource
from entrypoints.world import allow_descriptors
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 200))
allow_descriptors()
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_a_worker_may_open_as_many_files_as_the_machine_grants() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=PROJECT, check=True, capture_output=True, text=True)
    assert done.stdout == "(200, 200)\n"
