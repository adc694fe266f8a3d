"""`trailkeep` as users call it: in a process of its own, or in this one where only the answer matters."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from entrypoints.cli import main
from persistence.engine import open_engine, writing

TRAILKEEP = str(Path(sys.executable).with_name("trailkeep"))
RENDITION = "90p"

CHANNEL = """
[[channel]]
name = "news"
root = "media"
batch_size = {batch_size}
segment_seconds = 1
wrap = 20
pace = "asap"
availability = "off"
preset = "ultrafast"

[[channel.rendition]]
name = "90p"
width = 160
height = 90
video_kbps = 100
"""


class Store:
    """A database, the media root beside it, and the command line over both."""

    def __init__(self, directory: Path, database: str | None = None) -> None:
        self.directory = directory
        self.database = database or f"sqlite:///{directory / 'log.db'}"
        self.root = directory / "media"
        self.segments = self.root / "news" / RENDITION

    def config(self, batch_size: int) -> Path:
        """A channel of small pictures, as fast as they come."""
        path = self.directory / "news.toml"
        path.write_text(CHANNEL.format(batch_size=batch_size))
        return path

    def command(self, *words: str) -> list[str]:
        return [TRAILKEEP, "--database", self.database, *words]

    def invoke(self, *words: str) -> Result:
        """In this process: quick."""
        return CliRunner().invoke(main, ["--database", self.database, *words])

    def answer(self, *words: str) -> Any:
        """What a command that must succeed says with ``--json``."""
        result = self.invoke(*words, "--json")
        assert result.exit_code == 0, result.output
        return self.read(result)

    @staticmethod
    def read(result: Result) -> Any:
        """The JSON that a command printed, whatever its exit code."""
        return json.loads(result.stdout)

    def process(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """In a process of its own, to its end."""
        return self.spawn(self.command(*words))

    def spawn(self, command: list[str]) -> "subprocess.CompletedProcess[str]":
        """Any command, to its end."""
        return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)

    @contextmanager
    def running(self, *words: str) -> "Iterator[subprocess.Popen[str]]":
        """In a process of its own, whose stdout is read along; it is over when the block is."""
        errors = self.directory / "stderr"
        with (
            errors.open("a") as stderr,
            subprocess.Popen(
                self.command(*words),
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                preexec_fn=_interruptible,  # noqa: PLW1509 - no thread of a test forks meanwhile
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    def events(self) -> list[dict[str, Any]]:
        """The whole log."""
        result = self.invoke("events", "--json")
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    def sql(self, statement: str) -> None:
        """What somebody with another program does to the database."""
        engine = open_engine(self.database)
        with writing(engine).begin() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()

    def drop_guard(self, trigger: str) -> None:
        self.sql(f"DROP TRIGGER {trigger}" + (" ON events" if self.database.startswith("postgres") else ""))

    def names(self) -> set[str]:
        """The segment files on disk."""
        return {path.name for path in self.segments.glob("*.ts")}

    def open(self, *options: str, batch_size: int = 2) -> None:
        """A session for a producer of one's own."""
        words = ("session", "open", "news", "--root", str(self.root), "--rendition", RENDITION)
        self.answer(*words, "--batch-size", str(batch_size), "--availability", "off", *options)

    def produce(self, batches: int = 1) -> None:
        """Batches of a producer of one's own."""
        for _ in range(batches):
            started = self.answer("batch", "start", "news")
            for file in started["files"]:
                Path(file).write_text(f"{started['batch']} {file}")
            self.answer("batch", "complete", "news")


def _interruptible() -> None:
    """Also where the tests themselves run in the background of a shell, which has them ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def names_of(*batches: int, batch_size: int, wrap: int = 20) -> set[str]:
    """The names that the segments of these batches have."""
    return {
        f"{RENDITION}_segment_{number % wrap:03d}.ts"
        for batch in batches
        for number in range(batch * batch_size, (batch + 1) * batch_size)
    }


def of_type(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The events of one type."""
    return [event for event in events if event["type"] == name]
