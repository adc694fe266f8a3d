"""How a batch fails: with a reason that says what to do, and without an ffmpeg left behind."""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from application.ports import EncodedSegment
from domain.errors import EncoderFailed, Invalid
from media.bars_and_tone import BarsAndTone
from media.ffmpeg import FfmpegEncoder, find_ffmpeg
from media.material import SourceLoop
from tests.integration.ffmpeg_media import FFMPEG, a_plan, encode, settings


def bars(ffmpeg: str = FFMPEG) -> FfmpegEncoder:
    return FfmpegEncoder(ffmpeg, settings(), BarsAndTone())


@pytest.fixture
def no_child_is_left() -> Iterator[None]:
    """No process that the test began runs, or waits to be waited for, at its end."""
    before = children()
    yield
    assert children() <= before


def children() -> set[str]:
    """The processes that were begun by this one: other tests have a server."""
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


@pytest.fixture
def clip(clips: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy2(clips / "silent.mkv", tmp_path / "clip.mkv"))


@pytest.fixture
def loop(clip: Path) -> FfmpegEncoder:
    return FfmpegEncoder(FFMPEG, settings(), SourceLoop(FFMPEG, [str(clip)]))


@pytest.mark.rule("R9")
def test_an_exit_code_of_0_is_no_batch(tmp_path: Path) -> None:
    """R9: a program that does nothing and succeeds has not made a batch."""
    with pytest.raises(EncoderFailed, match="ffmpeg made 0 of 2 segments of rendition v1") as failed:
        encode(bars("/bin/true"), a_plan(tmp_path, 0))
    assert failed.value.exit_code == 0


@pytest.mark.rule("R9")
def test_a_segment_that_is_too_short_is_no_segment(tmp_path: Path) -> None:
    """R9: an ffmpeg that is made to end ten frames early succeeds, but not with the batch."""
    lossy, told = tmp_path / "lossy-ffmpeg", list[EncodedSegment]()
    lossy.write_text(f'#!/bin/sh\nsed s/end_frame=50/end_frame=40/ | {FFMPEG} "$@"\n')
    lossy.chmod(stat.S_IRWXU)
    with pytest.raises(EncoderFailed, match=r"^v1_segment_013.ts lasts 600 ms instead of 1000 ms$"):
        bars(str(lossy)).encode(a_plan(tmp_path, 6), lambda: False, told.append)
    assert [segment.number for segment in told] == [12]


def test_what_ffmpeg_says_and_returns_is_in_the_failure(tmp_path: Path) -> None:
    plan = a_plan(tmp_path, 0)
    (tmp_path / "v1").rmdir()
    with pytest.raises(EncoderFailed, match=r"^ffmpeg ended with exit code \d+: \[segment\] Failed to open") as failed:
        encode(bars(), plan)
    assert failed.value.exit_code
    assert "No such file or directory" in failed.value.stderr_tail


def test_a_missing_directory_of_the_channel_is_named(tmp_path: Path) -> None:
    plan = a_plan(tmp_path / "news", 0)
    shutil.rmtree(tmp_path / "news")
    with pytest.raises(EncoderFailed, match=r"could not be started: .*No such file or directory: '.*/news'"):
        encode(bars(), plan)


def a_link(path: Path, precious: Path) -> None:
    path.symlink_to(precious)


def a_link_into_nothing(path: Path, precious: Path) -> None:
    path.symlink_to(precious.with_name("new"))


def another_name(path: Path, precious: Path) -> None:
    os.link(precious, path)


def a_fifo(path: Path, _: Path) -> None:
    os.mkfifo(path)


def a_directory(path: Path, _: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("put", [a_link, a_link_into_nothing, another_name, a_fifo, a_directory])
def test_what_is_not_a_file_of_that_name_alone_is_never_written_through(
    tmp_path: Path, put: Callable[[Path, Path], None]
) -> None:
    plan = a_plan(tmp_path / "channel", 0)
    precious = tmp_path / "precious"
    precious.write_bytes(b"somebody's")
    put(Path(plan.directory, plan.files[1].file), precious)
    with pytest.raises(EncoderFailed, match=r"^v1/v1_segment_001.ts is in the way: it is no regular file, or has"):
        encode(bars(), plan)
    assert precious.read_bytes() == b"somebody's"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["channel", "precious"]


def test_what_a_failed_attempt_left_is_written_anew(tmp_path: Path) -> None:
    plan = a_plan(tmp_path, 0)
    Path(plan.directory, plan.files[1].file).write_bytes(b"half of it")
    assert len(encode(bars(), plan)) == 2


def test_a_rendition_without_settings_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncoderFailed, match=r"renditions: \['v2'\] of the session are not in the encoder's settings"):
        encode(bars(), a_plan(tmp_path, 0, renditions=("v1", "v2")))


def test_a_segment_shorter_than_a_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderFailed, match="segments of 39 ms are shorter than a frame: 1/25 s"):
        encode(bars(), a_plan(tmp_path, 0, segment_ms=39))


def test_material_that_vanished_fails_the_batch_but_not_its_description(
    loop: FfmpegEncoder, clip: Path, tmp_path: Path
) -> None:
    described = loop.describe(1, 2, 1000)
    clip.unlink()
    assert loop.describe(1, 2, 1000) == described
    with pytest.raises(EncoderFailed, match=r"material: '.*clip.mkv' is not allowed: .*No such file or directory"):
        encode(loop, a_plan(tmp_path, 1))


def test_material_that_is_no_longer_media_fails_the_batch(loop: FfmpegEncoder, clip: Path, tmp_path: Path) -> None:
    clip.write_text("no media")
    loop.describe(1, 2, 1000)
    with pytest.raises(EncoderFailed, match=r"material: .* must be media that ffmpeg can read: .*Invalid data"):
        encode(loop, a_plan(tmp_path, 1))


def test_material_is_what_the_log_says_of_it(loop: FfmpegEncoder, clips: Path, clip: Path, tmp_path: Path) -> None:
    """A file that is replaced after the batch was described fails the batch; the next description tells the new one."""
    described = loop.describe(1, 2, 1000)
    shutil.copy2(clips / "a.mp4", clip)
    with pytest.raises(EncoderFailed, match="must not change while a batch is made of it"):
        encode(loop, a_plan(tmp_path, 1))
    label, position = loop.describe(1, 2, 1000)
    assert label != described[0]
    assert position == "clip.mkv@0.200"
    encode(loop, a_plan(tmp_path, 1))


def test_a_loop_that_a_batch_would_play_too_often_is_refused(loop: FfmpegEncoder, tmp_path: Path) -> None:
    with pytest.raises(EncoderFailed, match=r"material: 'clip.mkv' is not allowed: too short"):
        encode(loop, a_plan(tmp_path, 0, batch_size=40))


@pytest.mark.usefixtures("no_child_is_left")
def test_stopping_ends_ffmpeg(tmp_path: Path) -> None:
    told: list[EncodedSegment] = []
    with pytest.raises(EncoderFailed, match=r"^stopped$") as failed:
        bars().encode(a_plan(tmp_path, 0, batch_size=900), lambda: bool(told), told.append)
    assert failed.value.exit_code != 0
    assert len(list((tmp_path / "v1").iterdir())) < 900


@pytest.mark.usefixtures("no_child_is_left")
def test_a_caller_that_fails_leaves_no_ffmpeg(tmp_path: Path) -> None:
    def fail(segment: EncodedSegment) -> None:
        raise LookupError(segment.number)

    with pytest.raises(LookupError):
        bars().encode(a_plan(tmp_path, 0, batch_size=900), lambda: False, fail)


def test_ffmpeg_must_be_an_executable_file(tmp_path: Path) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\n")
    for wanted in (str(program), str(tmp_path / "none"), str(tmp_path), ""):
        with pytest.raises(Invalid, match=r"ffmpeg: '.*' is not allowed: must be an executable file"):
            find_ffmpeg(wanted)
    program.chmod(stat.S_IRWXU)
    assert find_ffmpeg(str(program)) == str(program)


def test_ffmpeg_is_looked_for_along_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy("/bin/true", tmp_path / "ffmpeg-of-mine")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_ffmpeg("ffmpeg-of-mine") == str(tmp_path / "ffmpeg-of-mine")


def test_without_a_wish_ffmpeg_is_that_of_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "imageio_ffmpeg" in find_ffmpeg(None)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/nowhere/ffmpeg")
    with pytest.raises(Invalid, match="/nowhere/ffmpeg"):
        find_ffmpeg(None)
