"""What the machine grants a process."""

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
CODE = """
import resource
from entrypoints import world
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 200))
for world.DESCRIPTORS in (100, 65536, 64):
    world.allow_descriptors()
    print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_a_worker_may_open_as_many_files_as_the_machine_grants_within_reason() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=PROJECT, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["(100, 200)", "(200, 200)", "(200, 200)"]
