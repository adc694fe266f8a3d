"""How the encoder is to encode: what a configuration says of renditions, checked."""

import msgspec

from domain.errors import Invalid
from domain.segments import check_label

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")


class RenditionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rendition: its name, the size of its picture in pixels, and bitrates in kb/s.

    Raises:
        Invalid: a value that the encoder cannot work with.

    """

    name: str
    width: int
    height: int
    video_kbps: int
    audio_kbps: int = 96

    def __post_init__(self) -> None:
        check_label("rendition", self.name)
        for field in ("width", "height"):
            pixels = getattr(self, field)
            if not 32 <= pixels <= 8192 or pixels % 2:
                raise Invalid(f"{self.name}.{field}", pixels, "an even number of pixels from 32 to 8192")
        _check_range(f"{self.name}.video_kbps", self.video_kbps, 16, 200_000, "kb/s")
        _check_range(f"{self.name}.audio_kbps", self.audio_kbps, 16, 512, "kb/s")


class EncoderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All renditions, the x264 preset and the frames a second that they share.

    Raises:
        Invalid: a value that the encoder cannot work with.

    """

    renditions: tuple[RenditionSettings, ...]
    preset: str = "veryfast"
    frame_rate: int = 25

    def __post_init__(self) -> None:
        names = [rendition.name for rendition in self.renditions]
        if not names or len({name.casefold() for name in names}) != len(names):
            raise Invalid("renditions", names, "at least one, and each name once, whatever its case")
        if self.preset not in PRESETS:
            raise Invalid("preset", self.preset, f"one of {', '.join(PRESETS)}")
        _check_range("frame_rate", self.frame_rate, 1, 120, "frames a second")


def _check_range(field: str, value: int, low: int, high: int, unit: str) -> None:
    if not low <= value <= high:
        raise Invalid(field, value, f"{low} to {high} {unit}")
