"""`trailkeep demo`: what a newcomer sees first."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.command_line import TRAILKEEP


def shown(directory: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    words = [
        TRAILKEEP,
        "demo",
        "--batches",
        "5",
        "--batch-size",
        "2",
        "--segment-seconds",
        "1",
        "--dir",
        str(directory),
    ]
    return subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, **environment})


@pytest.mark.rule("R2", "R3", "R4")
def test_the_demo_tells_the_rule_fails_once_on_purpose_and_leaves_commands_that_work(tmp_path: Path) -> None:
    done = shown(tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "\\n" not in done.stdout
    assert (
        "While batch N is generated, N-1 stays. N-2 goes only after N has completed. A failure deletes nothing:"
        in lines
    )
    assert "batch 3 fails on purpose, once, and is tried again under its number." in lines
    assert any(line.startswith("Availability is off here, since") for line in lines)
    assert [line for line in lines if "BatchFailed" in line and "batch 3, attempt 1" in line]
    assert "        0 purged   1 purged   2 purging   3 kept   4 kept  " not in lines
    assert "        0 purged   1 purged   2 purged   3 kept   4 kept  " in lines
    commands = [line.strip() for line in lines if line.startswith("  ") and " --database " in line]
    said = [
        subprocess.run(shlex.split(command), capture_output=True, text=True, check=True).stdout for command in commands
    ]
    assert [re.sub(r".* \S+\.db (\w+).*", r"\1", command) for command in commands] == [
        "explain",
        "history",
        "events",
        "replay",
        "verify",
    ]
    assert "purged: R3: batch 2 completed" in said[0]
    assert said[-1].endswith("everything agrees\n")


@pytest.mark.rule("R20")
def test_without_an_ffmpeg_the_demo_makes_nothing(tmp_path: Path) -> None:
    done = shown(tmp_path / "demo", TRAILKEEP_FFMPEG="/no/ffmpeg")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ffmpeg: '/no/ffmpeg' is not allowed")
    assert list(tmp_path.iterdir()) == []
