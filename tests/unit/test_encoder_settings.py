from typing import Any

import msgspec
import pytest

from domain.errors import Invalid
from media.encoder_settings import EncoderSettings, RenditionSettings


def a_rendition(**values: Any) -> RenditionSettings:
    return RenditionSettings(**({"name": "hd", "width": 320, "height": 180, "video_kbps": 400} | values))


@pytest.mark.rule("R20")
@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("name", "h/d", "rendition"),
        ("width", 321, "hd.width"),
        ("width", 0, "hd.width"),
        ("height", 8194, "hd.height"),
        ("video_kbps", 0, "hd.video_kbps"),
        ("audio_kbps", -1, "hd.audio_kbps"),
        ("audio_kbps", 1000, "hd.audio_kbps"),
    ],
)
def test_a_rendition_that_cannot_be_encoded_is_refused_by_field(field: str, value: Any, named: str) -> None:
    """R20: the message names the field, the value and what must hold."""
    with pytest.raises(Invalid) as refused:
        a_rendition(**{field: value})
    assert (refused.value.field, refused.value.value) == (named, value)
    assert refused.value.rule


@pytest.mark.rule("R20")
@pytest.mark.parametrize(
    ("field", "value"),
    [("renditions", ()), ("preset", "quick"), ("frame_rate", 0), ("frame_rate", 121)],
)
def test_settings_that_cannot_be_used_are_refused_by_field(field: str, value: Any) -> None:
    """R20"""
    with pytest.raises(Invalid, match=f"^{field}: "):
        EncoderSettings(**({"renditions": (a_rendition(),)} | {field: value}))


def test_a_rendition_is_named_once_whatever_its_case() -> None:
    with pytest.raises(Invalid, match="each name once"):
        EncoderSettings(renditions=(a_rendition(name="hd"), a_rendition(name="HD")))


def test_a_configuration_is_checked_while_it_is_read() -> None:
    raw = {"renditions": [{"name": "hd", "width": 321, "height": 180, "video_kbps": 400}]}
    with pytest.raises(Invalid, match=r"hd\.width: 321"):
        msgspec.convert(raw, EncoderSettings)
