"""The encoder: one ffmpeg a batch, which makes the segments of every rendition."""

import csv
import hashlib
import re
import shutil
import signal
import stat
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from decimal import Decimal
from pathlib import Path

import imageio_ffmpeg
import msgspec

from application.ports import BatchPlan, EncodedSegment
from domain.errors import EncoderFailed, Invalid
from media.command import command_line
from media.encoder_settings import EncoderSettings
from media.graph import Material, Size, render
from media.grid import BatchGrid
from media.process import Ended, LinePipe, run


def find_ffmpeg(override: str | None) -> str:
    """The absolute path of the ffmpeg to use, version 7 or newer: the one that was chosen, or that of the wheel.

    ``override`` is a path, or a name to look for along PATH.

    Raises:
        Invalid: there is no such program, or it may not be executed.

    """
    try:
        wanted = override if override is not None else imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise Invalid("ffmpeg", None, "must be given: imageio-ffmpeg has none for this machine") from error
    if not (found := shutil.which(wanted)):
        raise Invalid("ffmpeg", wanted, "must be an executable file, or the name of one on PATH")
    return str(Path(found).absolute())


class FfmpegEncoder:
    """Makes batches of `material` as MPEG-TS segments with H.264 and AAC, as fast as it can.

    Timestamps are those of the session's clock, so they run on from batch to batch; what a batch holds depends on its
    number alone, so it is the same after a restart.
    """

    def __init__(self, ffmpeg: str, settings: EncoderSettings, material: Material) -> None:
        self._ffmpeg, self._settings, self._material = ffmpeg, settings, material

    def describe(self, batch: int, segments_before: int, segment_ms: int) -> tuple[str, str]:  # noqa: ARG002
        """Label and position of the material that the batch would be made from: ``("a.mp4 #1a2b3c4d", "a.mp4@2.500")``.

        The label changes with the settings and with the files: their paths, sizes and times of change.
        """
        self._material.refresh()
        facts = msgspec.json.encode((self._settings, self._material.facts()))
        label = f"{self._material.title()} #{hashlib.sha256(facts).hexdigest()[:8]}"
        return label, self._material.position(segments_before * segment_ms)

    def encode(
        self, plan: BatchPlan, stopped: Callable[[], bool], on_segment: Callable[[EncodedSegment], None]
    ) -> tuple[EncodedSegment, ...]:
        """Make the batch, calling ``on_segment`` for each segment as it is closed.

        Raises:
            EncoderFailed: the material changed since it was described, something that is not ours to overwrite bears
                a name of the batch, ffmpeg failed or made something else than the batch, or ``stopped`` became true.

        """
        grid = BatchGrid(plan.numbers, plan.segment_ms, self._settings.frame_rate)
        if not grid.holds_frames:
            raise EncoderFailed(f"segments of {plan.segment_ms} ms are shorter than a frame: 1/{grid.frame_rate} s")
        _check_in_the_way(plan)
        inputs, script = self._graph(plan, grid)
        progress = [_Progress(plan, grid, rendition, on_segment) for rendition in plan.renditions]
        with ExitStack() as stack:
            pipes = [stack.enter_context(LinePipe(rendition.closed)) for rendition in progress]
            lists = {rendition: pipe.writing for rendition, pipe in zip(plan.renditions, pipes, strict=True)}
            command = command_line(self._ffmpeg, plan, self._settings, inputs, lists)
            ended = run(command, script=script, directory=plan.directory, pipes=pipes, stopped=stopped)
        _check_ended(ended, progress)
        return tuple(segment for rendition in progress for segment in rendition.segments)

    def _graph(self, plan: BatchPlan, grid: BatchGrid) -> tuple[tuple[str, ...], str]:
        """Input arguments and the filter graph; the picture is brought to the greatest size first."""
        sizes = self._sizes(plan)
        canvas = max(sizes, key=lambda size: size.width * size.height)
        try:
            self._material.check()
            graph = self._material.graph(grid, canvas)
        except Invalid as error:
            raise EncoderFailed(str(error)) from error
        return graph.inputs, render(graph, grid, canvas, sizes)

    def _sizes(self, plan: BatchPlan) -> list[Size]:
        by_name = {rendition.name: Size(rendition.width, rendition.height) for rendition in self._settings.renditions}
        if missing := [name for name in plan.renditions if name not in by_name]:
            raise EncoderFailed(f"renditions: {missing} of the session are not in the encoder's settings")
        return [by_name[name] for name in plan.renditions]


def _check_in_the_way(plan: BatchPlan) -> None:
    """A link would be written through, a FIFO waited for, and a file overwritten under all of its names."""
    for file in plan.files:
        with suppress(FileNotFoundError):
            status = Path(plan.directory, file.file).lstat()
            if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
                raise EncoderFailed(
                    f"{file.file} is in the way: it is no regular file, or has another name too, and stays as it is"
                )


class _Progress:
    """What ffmpeg tells of one rendition: each segment as it is closed, against what was planned."""

    def __init__(
        self, plan: BatchPlan, grid: BatchGrid, rendition: str, on_segment: Callable[[EncodedSegment], None]
    ) -> None:
        self.rendition, self.segments, self.problem = rendition, list[EncodedSegment](), ""
        self._expected = [file for file in plan.files if file.rendition == rendition]
        self._grid, self._on_segment = grid, on_segment
        self._end = Decimal(grid.start_us) / 1_000_000

    def closed(self, line: str) -> None:
        """Take a line of csv: name, start and end in seconds. Of the first segment ffmpeg says it started at 0."""
        if self.problem:
            return
        name, _, end = next(csv.reader([line]))
        expected, start, self._end = self._expected[len(self.segments)], self._end, Decimal(end)
        planned_ms = self._grid.duration_ms(expected.number)
        duration_ms = round((self._end - start) * 1000)
        if name != expected.name:
            self.problem = f"ffmpeg wrote {name!r} instead of {expected.name!r}"
        elif abs(duration_ms - planned_ms) > 1:
            self.problem = f"{name} lasts {duration_ms} ms instead of {planned_ms} ms"
        else:
            self.segments.append(EncodedSegment(self.rendition, expected.number, duration_ms))
            self._on_segment(self.segments[-1])

    def missing(self) -> str:
        """What is wrong when all is over; empty if nothing is."""
        if not self.problem and len(self.segments) < len(self._expected):
            return f"ffmpeg made {len(self.segments)} of {len(self._expected)} segments of rendition {self.rendition}"
        return self.problem


def _check_ended(ended: Ended, progress: Sequence[_Progress]) -> None:
    if ended.stopped:
        raise EncoderFailed("stopped", ended.exit_code, ended.stderr_tail)
    if ended.exit_code:
        raise EncoderFailed(f"ffmpeg {_how(ended)}", ended.exit_code, ended.stderr_tail)
    for rendition in progress:
        if problem := rendition.missing():
            raise EncoderFailed(problem, ended.exit_code, ended.stderr_tail)


def _how(ended: Ended) -> str:
    """How it ended, and the first thing that it said: what follows is mostly a consequence."""
    if ended.exit_code < 0:
        return f"was ended by {signal.Signals(-ended.exit_code).name}"
    first = ended.stderr_tail.partition("\n")[0]
    return f"ended with exit code {ended.exit_code}: {re.sub(' @ 0x[0-9a-f]+', '', first)}"
