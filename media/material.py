"""Media files as material: played one after the other, again and again, at any time of the session."""

import contextlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from domain.errors import Invalid
from media.graph import SOUND_FORMAT, Graph, Size
from media.grid import SAMPLE_RATE, SAMPLES_PER_MS, BatchGrid
from media.probe import Clip, read_clip

MAX_PIECES = 50  # each is an input of ffmpeg's: an open file with its decoders
FURTHER_BACK = 10 * SAMPLE_RATE  # samples: keyframes of a transport stream are taken to be no further apart


class Piece(NamedTuple):
    """A stretch of a clip that is played without a break; ``start`` is in the clip, all is in samples."""

    clip: Clip
    start: int
    length: int
    played_at: int


def play(clips: Sequence[Clip], at: int, length: int) -> Iterator[Piece]:
    """The pieces that fill ``length`` samples from sample ``at`` of the session, when the clips are played in a loop.

    The loop begins with sample 0; the time before is filled as well, from the end of the loop.
    """
    lengths = [clip.duration_ms * SAMPLES_PER_MS for clip in clips]
    end, start, index = at + length, at % sum(lengths), 0
    while start >= lengths[index]:
        start -= lengths[index]
        index += 1
    while at < end:
        piece = Piece(clips[index], start, min(lengths[index] - start, end - at), at)
        yield piece
        at, start, index = at + piece.length, 0, (index + 1) % len(clips)


class SourceLoop:
    """The files ``paths``, which may differ in everything, and need not have sound, played in a loop.

    Raises:
        Invalid: there is none, or one of them cannot be used.

    """

    def __init__(self, ffmpeg: str, paths: Sequence[str]) -> None:
        if not paths:
            raise Invalid("material", list(paths), "at least one file")
        self._ffmpeg = ffmpeg
        self._clips = tuple(read_clip(ffmpeg, str(Path(path).absolute())) for path in paths)

    def refresh(self) -> None:
        """Look at the files again; one that cannot be used now is taken to be as it was."""
        self._clips = tuple(self._usable(clip) for clip in self._clips)

    def check(self) -> None:
        """Make sure that all files are there and as they were at the last look.

        Raises:
            Invalid: one is not.

        """
        for clip in self._clips:
            if self._look(clip) != clip:
                raise Invalid("material", clip.path, "must not change while a batch is made of it")

    def title(self) -> str:
        """The first file's name, and how many follow."""
        first, *others = self._clips
        return f"{first.name} and {len(others)} more" if others else first.name

    def facts(self) -> tuple[str, ...]:
        """Paths, sizes and times of change."""
        return tuple(f"{clip.path!r} {clip.size} {clip.mtime_ns}" for clip in self._clips)

    def position(self, at_ms: int) -> str:
        """The file that is played at a time of the session, and how far it is, in seconds."""
        piece = next(play(self._clips, at_ms * SAMPLES_PER_MS, 1))
        return f"{piece.clip.name}@{piece.start / SAMPLE_RATE:.3f}"

    def graph(self, grid: BatchGrid, size: Size) -> Graph:
        """An input for each piece, brought to one size and rate, cut to the frame and to the sample, and joined.

        Raises:
            Invalid: the loop is so short that a batch would take too many inputs.

        """
        pieces = tuple(islice(play(self._clips, grid.encoded_from, grid.encoded_samples), MAX_PIECES + 1))
        if len(pieces) > MAX_PIECES:
            raise Invalid("material", self.title(), f"too short: a batch would play more than {MAX_PIECES} files")
        inputs: list[str] = []
        chains: list[str] = []
        pictures = 0
        for number, piece in enumerate(pieces):
            inputs += _input(piece)
            if picture := _picture(number, piece, grid, size):
                chains.append(f"{picture}[picture{pictures}]")
                pictures += 1
            chains.append(f"{_sound(number, piece)}[sound{number}]")
        chains.append("".join(f"[picture{i}]" for i in range(pictures)) + f"concat=n={pictures}:v=1:a=0[picture]")
        chains.append("".join(f"[sound{i}]" for i in range(len(pieces))) + f"concat=n={len(pieces)}:v=0:a=1[sound]")
        return Graph(tuple(inputs), tuple(chains))

    def _look(self, clip: Clip) -> Clip:
        with contextlib.suppress(OSError):
            status = Path(clip.path).stat()
            if (status.st_size, status.st_mtime_ns) == (clip.size, clip.mtime_ns):
                return clip
        return read_clip(self._ffmpeg, clip.path)

    def _usable(self, clip: Clip) -> Clip:
        with contextlib.suppress(Invalid):
            return self._look(clip)
        return clip


def _input(piece: Piece) -> tuple[str, ...]:
    """The piece's file from the keyframe before the piece; timestamps are relative to the start of the piece.

    Where ffmpeg cannot find that keyframe it begins anywhere, and gives no picture until the next one: it is sent
    further back there, and what it reads too much is dropped like the rest before the piece.
    """
    back = 0 if piece.clip.indexed else min(piece.start, FURTHER_BACK)
    seek = ("-noaccurate_seek", "-ss", f"{_micros(piece.start - back)}us") if piece.start > back else ()
    shift = ("-itsoffset", f"-{_micros(back)}us") if back else ()
    return (*shift, *seek, "-i", f"file:{piece.clip.path}")


def _picture(number: int, piece: Piece, grid: BatchGrid, size: Size) -> str | None:
    """The frames of the batch that begin while the piece is played; a clip that ends early stands still."""
    first = max(grid.first_frame, grid.frame_after(piece.played_at))
    frames = min(grid.end_frame, grid.frame_after(piece.played_at + piece.length)) - first
    if frames <= 0:
        return None
    phase = _micros(grid.sample_at(first) - piece.played_at) / 1_000_000
    return (
        f"[{number}:V:0]fps={grid.frame_rate}:start_time={phase:.6f},tpad=stop=-1:stop_mode=clone,"
        f"trim=end_frame={frames},{size.fit()}"
    )


def _sound(number: int, piece: Piece) -> str:
    """The samples of the piece; silence where the clip has none."""
    source = (
        f"[{number}:a:0]aresample={SAMPLE_RATE}:async=1:first_pts=0,{SOUND_FORMAT},apad"
        if piece.clip.has_sound
        else f"anullsrc=sample_rate={SAMPLE_RATE},{SOUND_FORMAT}"
    )
    return f"{source},atrim=end_sample={piece.length},asetpts=N"  # apad alone gives no times


def _micros(samples: int) -> int:
    return round(samples * 1_000_000 / SAMPLE_RATE)
