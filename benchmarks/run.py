"""`trailkeep run` beside a bare loop of the same ffmpeg commands: what keeping the record costs a producer."""

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

from application.ports import BatchPlan
from benchmarks.measure import Figure, ratio, seconds, take_turns
from domain.events import Naming
from domain.segments import DEFAULT_PATTERN, DEFAULT_WRAP, batch_numbers, expected_files
from entrypoints.encoders import ffmpeg
from media.bars_and_tone import BarsAndTone
from media.command import command_line
from media.encoder_settings import EncoderSettings, RenditionSettings
from media.graph import Size, render
from media.grid import BatchGrid

BATCHES, BATCH_SIZE, SEGMENT_MS = 4, 10, 2000
ROUNDS = 3
OURS, START, BARE = "trailkeep run", "of which: start of the program", "bare ffmpeg loop"
SETTINGS = EncoderSettings(
    renditions=(RenditionSettings(name="v", width=640, height=360, video_kbps=600),), preset="ultrafast"
)
CONFIG = """
[[channel]]
name = "news"
root = "media"
batch_size = {batch_size}
segment_seconds = {segment_seconds}
availability = "off"
pace = "asap"
preset = "ultrafast"
rendition = [{{ name = "v", width = 640, height = 360, video_kbps = 600 }}]
"""


def measure(directory: Path) -> Figure:
    """Seconds of wall time. `run` also verifies, flushes, records, publishes and purges; the loop keeps it all."""
    places = (directory / f"round{number}" for number in count())
    ran: list[Path] = []
    looped: list[Path] = []

    def ours() -> float:
        ran.append(next(places))
        return seconds(_prepared_run(ran[-1]))

    def bare() -> float:
        looped.append(next(places))
        return seconds(_prepared_loop(looped[-1]))

    values = take_turns({OURS: ours, START: lambda: seconds(lambda: _trailkeep("--help")), BARE: bare}, ROUNDS)
    _check_same(ran[-1] / "media" / "news" / "v", looped[-1] / "v")
    return Figure(
        "run",
        f"{BATCHES} batches of {BATCH_SIZE} segments of {SEGMENT_MS // 1000} s, 640x360, x264 ultrafast, no waiting "
        f"between batches; {ROUNDS} rounds",
        "seconds",
        values,
        [ratio(values, OURS, BARE, "<= 1.03")],
    )


def _prepared_run(place: Path) -> Callable[[], None]:
    place.mkdir()
    config = place / "news.toml"
    config.write_text(CONFIG.format(batch_size=BATCH_SIZE, segment_seconds=SEGMENT_MS // 1000))
    database = f"sqlite:///{place / 'trailkeep.db'}"
    return lambda: _trailkeep("--database", database, "run", str(config), "--batches", str(BATCHES))


def _trailkeep(*arguments: str) -> None:
    command = [sys.executable, "-c", "from entrypoints.cli import main; main()", *arguments]
    subprocess.run(command, check=True, capture_output=True)


def _prepared_loop(place: Path) -> Callable[[], None]:
    """The commands that `run` would give, with the lists of closed segments thrown away."""
    (place / "v").mkdir(parents=True)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    commands = [_batch(place, number, nowhere) for number in range(BATCHES)]

    def work() -> None:
        try:
            for command, script in commands:
                subprocess.run(command, input=script, cwd=place, pass_fds=[nowhere], check=True)
        finally:
            os.close(nowhere)

    return work


def _batch(place: Path, batch: int, nowhere: int) -> tuple[list[str], bytes]:
    numbers, naming = batch_numbers(batch, BATCH_SIZE), Naming(pattern=DEFAULT_PATTERN, wrap=DEFAULT_WRAP)
    plan = BatchPlan(
        directory=str(place),
        batch=batch,
        segment_ms=SEGMENT_MS,
        renditions=("v",),
        numbers=numbers,
        files=expected_files(naming, ("v",), numbers),
        first_file_number=numbers[0],
        pattern=naming.pattern,
        wrap=naming.wrap,
    )
    grid, size = BatchGrid(numbers, SEGMENT_MS, SETTINGS.frame_rate), Size(640, 360)
    graph = BarsAndTone().graph(grid, size)
    command = command_line(ffmpeg(), plan, SETTINGS, graph.inputs, {"v": nowhere})
    return command, render(graph, grid, size, [size]).encode()


def _check_same(kept: Path, written: Path) -> None:
    """A run keeps the two newest batches of the loop's and purges the others.

    The encoder's threads decide how sound and picture alternate in a file, so sizes may differ a little.
    """
    newest = sorted(written.iterdir())[-2 * BATCH_SIZE :]
    assert sorted(path.name for path in kept.glob("*.ts")) == [path.name for path in newest]
    ours, theirs = (sum((place / path.name).stat().st_size for path in newest) for place in (kept, written))
    assert abs(ours - theirs) < theirs / 100, f"{ours} bytes beside {theirs}"
