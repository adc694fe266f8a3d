"""What the encoder makes, read back by ffmpeg itself."""

import math
from pathlib import Path

import pytest

from media.bars_and_tone import BarsAndTone
from media.ffmpeg import FfmpegEncoder
from media.material import SourceLoop
from tests.integration.ffmpeg_media import (
    FFMPEG,
    a_plan,
    encode,
    encode_batches,
    joined,
    packets,
    ramp_frames,
    read,
    samples,
    settings,
    steps,
)

TS_CLOCK = 90_000
DELAY = 126_000  # the mpegts muxer puts everything 1.4 s later: twice its delay of 0.7 s


def bars(**options: int) -> FfmpegEncoder:
    return FfmpegEncoder(FFMPEG, settings(**options), BarsAndTone())


def loop_of(*clips: Path) -> FfmpegEncoder:
    return FfmpegEncoder(FFMPEG, settings(), SourceLoop(FFMPEG, [str(clip) for clip in clips]))


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.rule("R1")
def test_a_batch_has_its_segments_in_every_rendition_and_they_are_told_as_they_are_closed(tmp_path: Path) -> None:
    plan, told = a_plan(tmp_path, 3, renditions=("low", "high")), []
    encoder = FfmpegEncoder(FFMPEG, settings("high", "low"), BarsAndTone())
    made = encoder.encode(plan, lambda: False, told.append)
    assert [(segment.rendition, segment.number) for segment in made] == [
        ("low", 6),
        ("low", 7),
        ("high", 6),
        ("high", 7),
    ]
    assert {segment.duration_ms for segment in made} == {1000}
    assert sorted(told, key=made.index) == list(made)
    for file in plan.files:
        assert (tmp_path / file.file).stat().st_size > 0
    assert len(list(tmp_path.glob("*/*"))) == 4


def test_renditions_have_the_sizes_they_were_given(tmp_path: Path) -> None:
    encoder = FfmpegEncoder(FFMPEG, settings("wide", width=96, height=32), BarsAndTone())
    encode(encoder, a_plan(tmp_path, 0, batch_size=1, renditions=("wide",)))
    segment = tmp_path / "wide/wide_segment_000.ts"
    frame = read("-i", segment, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray")
    assert len(frame) == 96 * 32


@pytest.mark.rule("R5")
def test_names_wrap_within_a_batch_and_no_other_file_is_touched(tmp_path: Path) -> None:
    """R5: with 5 segments a batch and 12 names, batch 2 ends under names of batch 0; the others stay as they are."""
    encoder, directory, before = bars(), tmp_path / "v1", {}
    for batch in range(5):
        plan = a_plan(tmp_path, batch, batch_size=5, segment_ms=200, wrap=12)
        encode(encoder, plan)
        after = contents(directory)
        written = {name for name in after if before.get(name) != after[name]}
        assert written == {file.name for file in plan.files}
        before = after
    assert len(before) == 12


def test_without_a_wrap_numbers_outgrow_their_digits(tmp_path: Path) -> None:
    encode(bars(), a_plan(tmp_path, 499, segment_ms=200, wrap=0))
    encode(bars(), a_plan(tmp_path, 500, segment_ms=200, wrap=0))
    assert set(contents(tmp_path / "v1")) == {f"v1_segment_{number}.ts" for number in (998, 999, 1000, 1001)}


@pytest.mark.parametrize("first", [0, 7, 47_720, 10_000_000])
def test_picture_and_sound_run_on_from_batch_to_batch(tmp_path: Path, first: int) -> None:
    """Also where timestamps of 33 bits wrap (26.5 hours, in batch 47,721), and years later."""
    segments = encode_batches(bars(), tmp_path, range(first, first + 3))
    stream = joined(segments)
    picture, sound = packets(stream, "v"), packets(stream, "a")
    assert (len(picture), steps(picture)) == (6 * 25, {TS_CLOCK // 25})
    assert (round(len(sound) * 1024 / 48_000), steps(sound)) == (6, {1024 * TS_CLOCK // 48_000})
    assert (picture[0].pts - DELAY - first * 2 * TS_CLOCK) % 2**33 == 0
    assert 0 <= sound[0].pts - picture[0].pts < 1024 * TS_CLOCK // 48_000


@pytest.mark.parametrize(("segment_ms", "frame_rate"), [(1001, 25), (700, 24), (333, 29)])
def test_segments_that_are_no_whole_number_of_frames_do_not_drift(
    tmp_path: Path, segment_ms: int, frame_rate: int
) -> None:
    segments = encode_batches(bars(frame_rate=frame_rate), tmp_path, range(1000, 1003), segment_ms=segment_ms)
    picture = packets(joined(segments), "v")
    assert steps(picture) <= {TS_CLOCK // frame_rate, -(-TS_CLOCK // frame_rate)}
    assert 0 <= picture[0].pts - DELAY - 2000 * segment_ms * 90 < TS_CLOCK / frame_rate
    assert 0 <= picture[-1].pts + TS_CLOCK // frame_rate - DELAY - 2006 * segment_ms * 90 <= TS_CLOCK / frame_rate


def test_each_segment_begins_with_a_keyframe_at_its_bound(tmp_path: Path) -> None:
    for number, segment in enumerate(encode_batches(bars(), tmp_path, range(2), batch_size=3)):
        first = packets(segment, "v")[0]
        assert first.keyframe
        assert first.pts == DELAY + number * TS_CLOCK


def test_clips_of_all_kinds_are_played_in_a_loop_without_losing_a_frame(clips: Path, tmp_path: Path) -> None:
    """1.8 s, 0.6 s and 1.4 s in batches of 2 s: crossings fall anywhere, the second clip is shorter than a segment."""
    names = ("a.mp4", "silent.mkv", "c.ts")
    shown = []
    for batch in range(4):  # a new encoder each time, as after a restart
        shown += ramp_frames(
            joined(encode_batches(loop_of(*(clips / name for name in names)), tmp_path, range(batch, batch + 1)))
        )
    cycle = [*range(45), *range(45, 60), *range(60, 95)]
    assert shown == [cycle[frame % len(cycle)] for frame in range(200)]


def test_a_clip_shorter_than_a_segment_is_played_several_times(clips: Path, tmp_path: Path) -> None:
    shown = ramp_frames(joined(encode_batches(loop_of(clips / "silent.mkv"), tmp_path, range(1, 3))))
    assert shown == [45 + frame % 15 for frame in range(50, 150)]


def test_a_batch_can_play_a_clip_some_forty_times(clips: Path, tmp_path: Path) -> None:
    files = encode_batches(loop_of(clips / "silent.mkv"), tmp_path, range(1), batch_size=24)
    assert ramp_frames(joined(files)) == [45 + frame % 15 for frame in range(600)]


def test_sound_has_no_seam_between_batches(clips: Path, tmp_path: Path) -> None:
    """In a pure tone each sample follows from the two before; the bound of the batches is no exception."""
    stream = joined(encode_batches(loop_of(clips / "tone.mkv"), tmp_path, range(2)))
    heard = samples(stream)
    turn = 2 * math.cos(2 * math.pi * 1000 / 48_000)
    surprise = [abs(heard[i + 1] - turn * heard[i] + heard[i - 1]) for i in range(1, len(heard) - 1)]
    at_bound = max(surprise[2 * 48_000 - 2048 : 2 * 48_000 + 2048])
    assert max(heard) > 0.1
    assert at_bound < 0.002


def test_a_silent_clip_has_silence_and_the_next_one_its_sound(clips: Path, tmp_path: Path) -> None:
    stream = joined(encode_batches(loop_of(clips / "silent.mkv", clips / "a.mp4"), tmp_path, range(1)))
    heard = samples(stream)
    begins = next(i for i, sample in enumerate(heard) if abs(sample) > 0.05)
    assert abs(begins - 0.6 * 48_000) < 1024


DIGITS = """
### ..# ### ### #.# ### ### ### ### ###
#.# ..# ..# ..# #.# #.. #.. ..# #.# #.#
#.# ..# ..# ..# #.# #.. #.. ..# #.# #.#
#.# ..# ### ### ### ### ### ..# ### ###
#.# ..# #.. ..# ..# ..# #.# ..# #.# ..#
#.# ..# #.. ..# ..# ..# #.# ..# #.# ..#
### ..# ### ### ..# ### ### ..# ### ###
"""


def test_bars_show_the_time_of_the_session(tmp_path: Path) -> None:
    """Frame 18 of the second 95,585 is 26 hours, 33 minutes, 5 seconds and 18 frames."""
    encoder = FfmpegEncoder(FFMPEG, settings(width=312, height=176), BarsAndTone())
    file = encode_batches(encoder, tmp_path, range(95_585, 95_586), batch_size=1)[0]
    picture = read("-i", file, "-vf", "select=eq(n\\,18)", "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray")

    def lit(column: int, row: int) -> str:
        x, y = 78 + 4 * column + 2, 66 + 4 * row + 2
        return "#" if picture[y * 312 + x] > 128 else "."

    font = [["".join(line.split()[digit]) for line in DIGITS.split("\n")[1:-1]] for digit in range(10)]
    shown = [
        [lit(place, row) + lit(place + 1, row) + lit(place + 2, row) for row in range(2, 9)]
        for place in (1, 5, 11, 15, 21, 25, 31, 35)
    ]
    assert [font.index(digit) for digit in shown] == [2, 6, 3, 3, 0, 5, 1, 8]


def test_a_player_reads_the_segments_of_several_batches_as_one_stream(clips: Path, tmp_path: Path) -> None:
    segments = encode_batches(loop_of(clips / "a.mp4"), tmp_path, range(3))
    listed = "".join(f"#EXTINF:1.0,\n{segment}\n" for segment in segments)
    playlist = tmp_path / "v1.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n{listed}#EXT-X-ENDLIST\n")
    assert read("-i", playlist, "-f", "null") == b""
