"""A producer of one's own: the shell script of the docs, with a real ffmpeg, as a user would run it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "howto" / "own-encoder.sh"
BATCH_SIZE = 3


class Producer:
    """The script over a store and a media root of its own."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "media"
        self.segments = self.root / "news" / "180p"
        self.environment = {key: value for key, value in os.environ.items() if key != "TRAILKEEP_DATABASE_URL"} | {
            "TRAILKEEP_HOME": str(directory / "home"),
            "TRAILKEEP_FFMPEG": imageio_ffmpeg.get_ffmpeg_exe(),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def run(self, batches: int, **environment: str) -> "subprocess.CompletedProcess[str]":
        return self._process("sh", str(SCRIPT), "news", str(self.root), str(batches), **environment)

    def history(self) -> list[dict[str, Any]]:
        answer = self._process("trailkeep", "history", "news", "--json")
        assert answer.returncode == 0, answer.stderr
        rows: list[dict[str, Any]] = json.loads(answer.stdout)
        return rows

    def verify(self) -> int:
        return self._process("trailkeep", "verify").returncode

    def names(self) -> set[str]:
        return {path.name for path in self.segments.glob("*.ts")}

    def _process(self, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            words,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )


def names_of(*batches: int) -> set[str]:
    return {
        f"180p_segment_{number:03d}.ts"
        for batch in batches
        for number in range(batch * BATCH_SIZE, (batch + 1) * BATCH_SIZE)
    }


@pytest.mark.timeout(300)
@pytest.mark.rule("R3")
@pytest.mark.rule("R4")
def test_a_producer_of_ones_own_keeps_the_newest_two_batches_and_a_failed_one_deletes_nothing(tmp_path: Path) -> None:
    """R3, R4."""
    producer = Producer(tmp_path)

    made = producer.run(4)
    assert made.returncode == 0, made.stderr
    assert producer.names() == names_of(2, 3)

    failed = producer.run(1, SOURCE="no_such_source")
    assert failed.returncode == 1, failed.stderr
    assert producer.history()[-1]["state"] == "failed"
    assert producer.names() == names_of(2, 3)

    again = producer.run(1)
    assert again.returncode == 0, again.stderr
    assert producer.history()[-1]["attempt"] == 2
    assert producer.names() == names_of(3, 4)
    assert producer.verify() == 0
