"""What is read from media files, and which files are refused as material."""

import os
from pathlib import Path

import pytest

from domain.errors import Invalid
from media.bars_and_tone import BarsAndTone
from media.ffmpeg import FfmpegEncoder
from media.material import SourceLoop
from media.probe import FfmpegProbe, read_clip
from tests.integration.ffmpeg_media import FFMPEG, a_ramp, encode_batches, make, settings


@pytest.mark.parametrize(
    ("name", "duration_ms", "has_sound", "indexed"),
    [("a.mp4", 1800, True, True), ("silent.mkv", 600, False, True), ("c.ts", 1400, False, False)],
)
def test_a_clip_lasts_as_long_as_its_picture(
    clips: Path, name: str, duration_ms: int, has_sound: bool, indexed: bool
) -> None:
    clip = read_clip(FFMPEG, str(clips / name))
    assert (clip.name, clip.duration_ms, clip.has_sound, clip.indexed) == (name, duration_ms, has_sound, indexed)


def test_a_duration_is_known_to_the_millisecond_also_of_a_long_clip(tmp_path: Path) -> None:
    """Only the end is read, so the sum of 1,001 frames of 1/24 s is found without listing them."""
    clip = a_ramp(tmp_path / "long.mp4", 1001 / 24, "-c:v", "libx264", "-preset", "ultrafast", rate=24)
    assert read_clip(FFMPEG, str(clip)).duration_ms == 41_708


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("none.mp4", "must be a file that can be read: No such file or directory"),
        (".", "must be a regular file"),
        ("text.mp4", "must be media that ffmpeg can read: .*Invalid data"),
        ("sound.mp3", "must have a picture"),
        ("still.png", "must have a known duration: remux it"),
    ],
)
@pytest.mark.rule("R20")
def test_a_file_that_cannot_be_played_is_refused_by_name(clips: Path, name: str, rule: str) -> None:
    """R20: field, value and rule, before anything is made."""
    with pytest.raises(Invalid, match=f"^material: '.*{name}' is not allowed: {rule}"):
        SourceLoop(FFMPEG, [str(clips / "a.mp4"), str(clips / name)])


@pytest.mark.rule("R20")
def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ts")
    with pytest.raises(Invalid, match="must be a regular file"):
        SourceLoop(FFMPEG, [str(tmp_path / "pipe.ts")])
    assert FfmpegProbe(FFMPEG).duration_ms(str(tmp_path / "pipe.ts")) is None


@pytest.mark.rule("R20")
def test_a_clip_of_a_single_frame_is_refused(tmp_path: Path) -> None:
    clip = a_ramp(tmp_path / "frame.mp4", 0.04, "-c:v", "libx264")
    with pytest.raises(Invalid, match="must last 100 ms or more, not 40"):
        SourceLoop(FFMPEG, [str(clip)])


def test_material_is_at_least_one_file() -> None:
    with pytest.raises(Invalid, match="material"):
        SourceLoop(FFMPEG, [])


def test_a_name_that_is_no_text_can_be_played_and_written_down(clips: Path, tmp_path: Path) -> None:
    clip = Path(os.fsdecode(os.fsencode(tmp_path) + b"/100% \xff.mkv"))
    clip.write_bytes((clips / "silent.mkv").read_bytes())
    encoder = FfmpegEncoder(FFMPEG, settings(), SourceLoop(FFMPEG, [str(clip)]))
    label, position = encoder.describe(0, 1, 200)
    assert label.startswith("100% \\udcff.mkv #")
    assert position == "100% \\udcff.mkv@0.200"
    assert encode_batches(encoder, tmp_path, range(1))


def test_segments_are_measured_by_their_picture(tmp_path: Path) -> None:
    segments = encode_batches(FfmpegEncoder(FFMPEG, settings(), BarsAndTone()), tmp_path, range(2), segment_ms=1040)
    assert [FfmpegProbe(FFMPEG).duration_ms(str(segment)) for segment in segments] == [1040] * 4


def test_fragments_and_packed_audio_are_measured(clips: Path, tmp_path: Path) -> None:
    fragment, packed = tmp_path / "fragment.mp4", tmp_path / "packed.aac"
    make("-i", clips / "a.mp4", "-c", "copy", "-movflags", "+frag_keyframe+empty_moov+delay_moov", fragment)
    make("-f", "lavfi", "-i", "sine=frequency=1000:sample_rate=48000", "-t", "1.024", "-c:a", "aac", packed)
    assert FfmpegProbe(FFMPEG).duration_ms(str(fragment)) == 1800
    assert FfmpegProbe(FFMPEG).duration_ms(str(packed)) in range(1024, 1067)


def test_what_is_no_segment_is_not_even_given_to_ffmpeg(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.ts").touch()
    (tmp_path / "one.ts").write_bytes(b"\x47")
    (tmp_path / "link.ts").symlink_to(clips / "c.ts")
    os.mkfifo(tmp_path / "fifo.ts")
    probe = FfmpegProbe("/nowhere/ffmpeg")
    for path in (
        clips / "text.mp4",
        clips / "still.png",
        tmp_path / "empty.ts",
        tmp_path / "one.ts",
        tmp_path / "link.ts",
        tmp_path / "fifo.ts",
        tmp_path,
        tmp_path / "none",
    ):
        assert probe.duration_ms(str(path)) is None


def test_what_begins_like_a_segment_and_is_none_has_no_duration(tmp_path: Path) -> None:
    (tmp_path / "noise.ts").write_bytes(b"\x47" * 1000)
    (tmp_path / "noise.m4s").write_bytes(b"\0\0\0\x10styp" + b"\0" * 100)
    assert FfmpegProbe(FFMPEG).duration_ms(str(tmp_path / "noise.ts")) is None
    assert FfmpegProbe(FFMPEG).duration_ms(str(tmp_path / "noise.m4s")) is None
