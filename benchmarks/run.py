"""`trailkeep run` beside a bare loop of the same ffmpeg commands: what keeping the record costs a producer."""

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import msgspec

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

BATCH_SIZE, SEGMENT_MS = 10, 2000
OURS, ENDS, BARE = "trailkeep run", "of which: its start and its end", "bare ffmpeg loop"
EACH = "of which: for each batch"
CONFIG = """
[[channel]]
name = "news"
root = "media"
batch_size = {batch_size}
segment_seconds = {segment_seconds}
availability = "off"
pace = "asap"
preset = "ultrafast"
rendition = [{{ name = "v", width = {width}, height = {height}, video_kbps = {kbps} }}]
"""


class Load(msgspec.Struct, frozen=True):
    """How much is encoded, and how often."""

    name: str
    batches: int
    picture: RenditionSettings
    rounds: int

    @property
    def settings(self) -> EncoderSettings:
        """Those of the bare loop, as the configuration gives them to `run`."""
        return EncoderSettings(renditions=(self.picture,), preset="ultrafast")


SHORT = Load("run", 4, RenditionSettings(name="v", width=640, height=360, video_kbps=600), 5)
LONG = Load("run, longer", 12, RenditionSettings(name="v", width=1280, height=720, video_kbps=2500), 2)
LARGE = Load("run, 1080p", 12, RenditionSettings(name="v", width=1920, height=1080, video_kbps=5000), 3)


def measure(directory: Path, load: Load = SHORT) -> Figure:
    """Seconds of wall time. `run` also verifies, flushes, records, publishes and purges; the loop keeps it all.

    The store is there before. Start and end are those of `project`, which finds nothing to do in it.
    """
    places = (directory / f"round{number}" for number in count())
    ran: list[Path] = []
    looped: list[Path] = []

    def ours() -> float:
        ran.append(next(places))
        return seconds(_prepared_run(ran[-1], load))

    def ends() -> float:
        return seconds(lambda: _trailkeep("--database", _database(directory), "project"))

    def bare() -> float:
        looped.append(next(places))
        return seconds(_prepared_loop(looped[-1], load))

    ends()  # makes the store, and the bytecode of a program that was never started
    values = take_turns({OURS: ours, ENDS: ends, BARE: bare}, load.rounds)
    _check_same(ran[-1] / "media" / "news" / "v", looped[-1] / "v")
    turns = zip(values[OURS], values[ENDS], values[BARE], strict=True)
    values[EACH] = [(whole - fixed - encoding) / load.batches for whole, fixed, encoding in turns]
    return Figure(
        load.name,
        f"{load.batches} batches of {BATCH_SIZE} segments of {SEGMENT_MS // 1000} s, {load.picture.width}x"
        f"{load.picture.height}, x264 ultrafast, no waiting between batches; {load.rounds} rounds",
        "seconds",
        values,
        [ratio(values, OURS, BARE, "<= 1.03")],
    )


def measure_longer(directory: Path) -> Figure:
    """The same with more batches and a larger picture."""
    return measure(directory, LONG)


def measure_large(directory: Path) -> Figure:
    """The same with the picture that most channels have."""
    return measure(directory, LARGE)


def _prepared_run(place: Path, load: Load) -> Callable[[], None]:
    place.mkdir()
    config, picture = place / "news.toml", load.picture
    config.write_text(
        CONFIG.format(
            batch_size=BATCH_SIZE,
            segment_seconds=SEGMENT_MS // 1000,
            width=picture.width,
            height=picture.height,
            kbps=picture.video_kbps,
        )
    )
    _trailkeep("--database", _database(place), "db", "upgrade")
    return lambda: _trailkeep("--database", _database(place), "run", str(config), "--batches", str(load.batches))


def _database(place: Path) -> str:
    return f"sqlite:///{place / 'trailkeep.db'}"


def _trailkeep(*arguments: str) -> None:
    command = [sys.executable, "-c", "from entrypoints.start import main; main()", *arguments]
    # As it is installed: with the bytecode of the last start.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, check=True, capture_output=True, env=environment)


def _prepared_loop(place: Path, load: Load) -> Callable[[], None]:
    """The commands that `run` would give, with the lists of closed segments thrown away."""
    (place / "v").mkdir(parents=True)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    commands = [_batch(place, number, load, nowhere) for number in range(load.batches)]

    def work() -> None:
        try:
            for command, script in commands:
                # In a session of its own, as `run` has it: the kernel shares a busy machine out by session.
                subprocess.run(command, input=script, cwd=place, pass_fds=[nowhere], check=True, start_new_session=True)
        finally:
            os.close(nowhere)

    return work


def _batch(place: Path, batch: int, load: Load, nowhere: int) -> tuple[list[str], bytes]:
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
    grid = BatchGrid(numbers, SEGMENT_MS, load.settings.frame_rate)
    size = Size(load.picture.width, load.picture.height)
    graph = BarsAndTone().graph(grid, size)
    command = command_line(ffmpeg(), plan, load.settings, graph.inputs, {"v": nowhere})
    return command, render(graph, grid, size, [size]).encode()


def _check_same(kept: Path, written: Path) -> None:
    """A run keeps the two newest batches of the loop's and purges the others.

    The encoder's threads decide how sound and picture alternate in a file, so sizes may differ a little.
    """
    newest = sorted(written.iterdir())[-2 * BATCH_SIZE :]
    assert sorted(path.name for path in kept.glob("*.ts")) == [path.name for path in newest]
    ours, theirs = (sum((place / path.name).stat().st_size for path in newest) for place in (kept, written))
    assert abs(ours - theirs) < theirs / 100, f"{ours} bytes beside {theirs}"
