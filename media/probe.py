"""What ffmpeg can tell about a media file: there is no ffprobe in the wheel, so packets are listed and measured."""

import os
import re
import stat
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from domain.errors import Invalid

TIMEOUT_SECONDS = 60
TAIL_SECONDS = 10  # of a clip are enough to find the end of its picture
MIN_CLIP_MS = 100

_START = re.compile(r"Duration: \d[\d:.]*, start: (-?\d+\.\d+)")


class Clip(NamedTuple):
    """A file of the material: what it is, how long its picture lasts, and whether it has sound.

    ``indexed`` says that ffmpeg can go straight to the keyframe before any time of it.
    """

    path: str
    size: int
    mtime_ns: int
    duration_ms: int
    has_sound: bool
    indexed: bool

    @property
    def name(self) -> str:
        """The name of the file, fit to be written down whatever its bytes are."""
        return Path(self.path).name.encode(errors="backslashreplace").decode()


class Track(NamedTuple):
    """The packets of one stream: ``video`` or ``audio``, and the seconds at which they begin and end."""

    kind: str
    start: Fraction
    end: Fraction


def read_clip(ffmpeg: str, path: str) -> Clip:
    """Look at a file of the material. A clip lasts from the start of the file to the end of its picture.

    Raises:
        Invalid: it is missing, cannot be read, is not media, or has no picture of a known length.

    """
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise Invalid("material", path, "must be a regular file")
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise Invalid("material", path, f"must be a file that can be read: {error.strerror}") from error
    listing = _list_packets(ffmpeg, path, "-sseof", f"-{TAIL_SECONDS}", "-copyts")
    if listing is None or listing.returncode != 0:
        said = listing.stderr.strip().splitlines()[-1:] if listing else ["it did not answer"]
        raise Invalid("material", path, f"must be media that ffmpeg can read: {''.join(said)}")
    tracks = {track.kind: track for track in read_framecrc(listing.stdout)}
    return Clip(
        path=path,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        duration_ms=_duration_ms(path, listing.stderr, tracks.get("video")),
        has_sound="audio" in tracks,
        indexed="Input #0, mpegts," not in listing.stderr,
    )


def _duration_ms(path: str, said: str, picture: Track | None) -> int:
    start = _START.search(said)
    if not start:
        raise Invalid("material", path, "must have a known duration: remux it into a container such as mp4 or mkv")
    if not picture:
        raise Invalid("material", path, f"must have a picture, with a keyframe in the last {TAIL_SECONDS} s")
    duration_ms = round((picture.end - Fraction(start[1])) * 1_000_000) // 1000
    if duration_ms < MIN_CLIP_MS:
        raise Invalid("material", path, f"must last {MIN_CLIP_MS} ms or more, not {duration_ms}")
    return duration_ms


class FfmpegProbe:
    """Measures segments that somebody else made, by the first and the last packet of picture, or else of sound."""

    def __init__(self, ffmpeg: str) -> None:
        self._ffmpeg = ffmpeg

    def duration_ms(self, path: str) -> int | None:
        """Milliseconds; None if it is not MPEG-TS, MP4 or packed audio (RFC 8216 section 3), or cannot be measured.

        A process is started only for a file that begins like one of these.
        """
        if not begins_like_segment(path):
            return None
        listing = _list_packets(self._ffmpeg, path)
        tracks = list(read_framecrc(listing.stdout)) if listing and listing.returncode == 0 else []
        if not tracks:
            return None
        track = next((track for track in tracks if track.kind == "video"), tracks[0])
        return round((track.end - track.start) * 1000)


def begins_like_segment(path: str) -> bool:
    """Whether a regular file begins as a segment of one of the formats that HLS plays does, by its first bytes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        head = os.read(descriptor, 189)
    finally:
        os.close(descriptor)
    transport_stream = head[:1] == b"\x47" and len(head) >= 188 and head[188:] in {b"", b"\x47"}
    fragment = head[4:8] in {b"ftyp", b"styp", b"moov", b"moof", b"sidx", b"emsg", b"prft"}
    packed_audio = head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0") or head[:2] == b"\x0b\x77"
    return transport_stream or fragment or packed_audio


def read_framecrc(listing: str) -> Iterator[Track]:
    """The streams in the output of ffmpeg's framecrc muxer that have packets with a time, in their order."""
    time_bases: dict[str, Fraction] = {}
    kinds: dict[str, str] = {}
    spans: dict[str, list[tuple[int, int]]] = {}
    for line in listing.splitlines():
        if header := re.match(r"#(tb|media_type) (\d+): (\S+)", line):
            if header[1] == "tb":
                time_bases[header[2]] = Fraction(header[3])
            else:
                kinds[header[2]] = header[3]
        elif packet := re.match(r"(\d+), +\S+, +(-?\d{1,18}), +(\d+),", line):  # a missing time has 19 digits
            start = int(packet[2])
            spans.setdefault(packet[1], []).append((start, start + int(packet[3])))
    for stream, times in sorted(spans.items()):
        starts, ends = zip(*times, strict=True)
        yield Track(kinds[stream], min(starts) * time_bases[stream], max(ends) * time_bases[stream])


def _list_packets(ffmpeg: str, path: str, *input_options: str) -> subprocess.CompletedProcess[str] | None:
    """List the packets of the first picture and the first sound; None if that takes too long."""
    command = [ffmpeg, "-hide_banner", "-nostdin", "-nostats", *input_options, "-i", f"file:{Path(path).absolute()}"]
    command += ["-map", "0:V:0?", "-map", "0:a:0?", "-c", "copy", "-f", "framecrc", "pipe:1"]
    try:
        return subprocess.run(  # noqa: S603 the command is made here
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
