"""Clips made by ffmpeg for the encoder to play, plans for it, and ffmpeg again to read what it made."""

import csv
import itertools
import subprocess
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from application.ports import BatchPlan, EncodedSegment
from domain.events import Naming
from domain.segments import DEFAULT_PATTERN, batch_numbers, expected_files, file_number
from media.encoder_settings import EncoderSettings, RenditionSettings
from media.ffmpeg import FfmpegEncoder, find_ffmpeg

FFMPEG = find_ffmpeg(None)
LUMA_STEP, LUMA_STEPS = 2, 100
"""In the clips of `a_ramp` frame n is a grey of luma 20 + 2n, so that a decoded frame tells which one it was."""


def make(*arguments: str | Path) -> None:
    """Run ffmpeg to make a file."""
    subprocess.run([FFMPEG, "-hide_banner", "-nostdin", "-v", "fatal", "-y", *map(str, arguments)], check=True)


def read(*arguments: str | Path) -> bytes:
    """Run ffmpeg and return what it wrote to standard output; it must have nothing to warn of."""
    command = [FFMPEG, "-hide_banner", "-nostdin", "-v", "warning", *map(str, arguments), "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert not done.stderr.decode()
    assert done.returncode == 0
    return done.stdout


def a_ramp(path: Path, seconds: float, *codecs: str, rate: int = 25, first: int = 0, sound: bool = True) -> Path:
    """A clip whose frames are told from one another by their luma, with a tone of 1 kHz."""
    luma = f"lum='20+{LUMA_STEP}*mod({first}+N,{LUMA_STEPS})':cb=128:cr=128"
    inputs = ["-f", "lavfi", "-i", f"color=c=black:s=64x36:r={rate},format=yuv420p,geq={luma}"]
    if sound:
        inputs += ["-f", "lavfi", "-i", "sine=frequency=1000:sample_rate=48000"]
    make(*inputs, "-t", str(seconds), "-g", "30", *codecs, path)
    return path


def settings(*renditions: str, width: int = 64, height: int = 36, frame_rate: int = 25) -> EncoderSettings:
    return EncoderSettings(
        renditions=tuple(
            RenditionSettings(name=name, width=width, height=height, video_kbps=800) for name in renditions or ("v1",)
        ),
        preset="ultrafast",
        frame_rate=frame_rate,
    )


def a_plan(
    directory: Path,
    batch: int,
    *,
    batch_size: int = 2,
    segment_ms: int = 1000,
    wrap: int = 1000,
    renditions: Sequence[str] = ("v1",),
) -> BatchPlan:
    """The plan of a batch, with the directories made."""
    for rendition in renditions:
        (directory / rendition).mkdir(parents=True, exist_ok=True)
    naming, numbers = Naming(pattern=DEFAULT_PATTERN, wrap=wrap), batch_numbers(batch, batch_size)
    return BatchPlan(
        directory=str(directory),
        batch=batch,
        segment_ms=segment_ms,
        renditions=tuple(renditions),
        numbers=numbers,
        files=expected_files(naming, renditions, numbers),
        first_file_number=file_number(naming, numbers[0]),
        pattern=naming.pattern,
        wrap=wrap,
    )


def encode(encoder: FfmpegEncoder, plan: BatchPlan) -> tuple[EncodedSegment, ...]:
    return encoder.encode(plan, lambda: False, lambda segment: None)


def encode_batches(encoder: FfmpegEncoder, directory: Path, batches: range, **plan: int) -> list[Path]:
    """Make these batches of one rendition and return their files in order."""
    files = []
    for batch in batches:
        made = a_plan(directory, batch, **plan)
        encode(encoder, made)
        files += [directory / file.file for file in made.files]
    return files


def joined(files: Sequence[Path]) -> Path:
    """The segments one after the other, as a player reads them."""
    path = files[0].with_name("joined.ts")
    path.write_bytes(b"".join(file.read_bytes() for file in files))
    return path


class Packet(NamedTuple):
    """A packet as it stands in the file: times in 1/90000 s."""

    pts: int
    keyframe: bool


def packets(path: Path, stream: str) -> list[Packet]:
    """The packets of a stream (``v`` or ``a``) in the order of presentation."""
    listing = read("-copyts", "-i", path, "-map", f"0:{stream}", "-c", "copy", "-f", "framecrc").decode()
    rows = [row for row in csv.reader(listing.splitlines()) if not row[0].startswith("#")]
    return sorted(Packet(int(row[2]), " F=0x0" not in row) for row in rows)


def steps(times: Sequence[Packet]) -> set[int]:
    """The distances between packets."""
    return {later.pts - earlier.pts for earlier, later in itertools.pairwise(times)}


def ramp_frames(path: Path) -> list[int]:
    """Which frames of a ramp the frames of a file show."""
    grey = read("-i", path, "-map", "0:v", "-vf", "scale=4:4:flags=area,setsar=1", "-f", "rawvideo", "-pix_fmt", "gray")
    return [round((value * 219 / 255 + 16 - 20) / LUMA_STEP) for value in grey[::16]]


def samples(path: Path) -> Sequence[float]:
    """The sound of a file, mixed to one channel."""
    return array("f", read("-i", path, "-map", "0:a", "-ac", "1", "-f", "f32le"))
