"""From a channel's configuration to its encoder."""

import os
from pathlib import Path

from media.ffmpeg import FfmpegEncoder

from entrypoints.settings import ChannelConfig
from media.process import find_ffmpeg


def ffmpeg() -> str:
    """The ffmpeg to use: TRAILKEEP_FFMPEG, or the one that was installed with Trailkeep."""
    return find_ffmpeg(os.environ.get("TRAILKEEP_FFMPEG"))


def encoder_for(channel: ChannelConfig, directory: Path) -> FfmpegEncoder:
    """The channel's encoder; relative source files are relative to ``directory``."""
    raise NotImplementedError
