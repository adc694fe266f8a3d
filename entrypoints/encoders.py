"""From a channel's configuration to its encoder."""

import os
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from domain.errors import Invalid
from entrypoints.places import expanded
from entrypoints.settings import ChannelConfig, milliseconds
from entrypoints.toml_errors import of_channel
from media.bars_and_tone import BarsAndTone
from media.encoder_settings import EncoderSettings, RenditionSettings
from media.ffmpeg import FfmpegEncoder, find_ffmpeg
from media.graph import Graph, Size
from media.grid import BatchGrid
from media.material import SourceLoop


def ffmpeg() -> str:
    """The ffmpeg to use: TRAILKEEP_FFMPEG, or the one that was installed with Trailkeep."""
    return find_ffmpeg(os.environ.get("TRAILKEEP_FFMPEG") or None)


def encoder_for(channel: ChannelConfig, directory: Path) -> FfmpegEncoder:
    """The channel's encoder; relative source files are relative to ``directory``.

    Raises:
        Invalid: a setting or a source file cannot be used.

    """
    with of_channel(channel.name):
        settings = EncoderSettings(renditions=channel.rendition, preset=channel.preset, frame_rate=channel.frame_rate)
        segment_ms = milliseconds("segment_seconds", Decimal(channel.segment_seconds))
        if not BatchGrid(range(1), segment_ms, settings.frame_rate).holds_frames:
            raise Invalid(
                "segment_seconds", str(channel.segment_seconds), f"a frame or more: 1/{settings.frame_rate} s"
            )
        return FfmpegEncoder(ffmpeg(), settings, _material(channel.source.files, directory))


def picture_encoder(rendition: str) -> FfmpegEncoder:
    """The demo's encoder: the test picture, small and quick."""
    return FfmpegEncoder(ffmpeg(), _small(rendition), BarsAndTone())


def _material(files: Sequence[str], directory: Path) -> BarsAndTone | SourceLoop:
    if not files:
        return BarsAndTone()
    paths = [directory / expanded("source.files", file) for file in files]
    for path in paths:
        if not path.is_file():
            raise Invalid("source.files", str(path), "an existing media file")
    return SourceLoop(ffmpeg(), [str(path) for path in paths])


class _NoMedia(BarsAndTone):
    """A source that vanished: ffmpeg itself fails on it, with an exit code and a reason."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def graph(self, grid: BatchGrid, size: Size) -> Graph:  # noqa: ARG002
        """See `Material.graph`."""
        return Graph(("-i", f"file:{self._path}"), ("[0:v]null[picture]", "[0:a]anull[sound]"))


def broken_encoder(rendition: str, place: Path) -> FfmpegEncoder:
    """The demo's encoder with a source that is not there."""
    return FfmpegEncoder(ffmpeg(), _small(rendition), _NoMedia(place / "source-that-went-away.mp4"))


def _small(rendition: str) -> EncoderSettings:
    return EncoderSettings(
        renditions=(RenditionSettings(name=rendition, width=640, height=360, video_kbps=600),), preset="ultrafast"
    )
