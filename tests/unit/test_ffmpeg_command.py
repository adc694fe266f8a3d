from pathlib import Path

import pytest

from application.ports import BatchPlan
from domain.events import Naming
from domain.segments import batch_numbers, expected_files, file_number
from media.command import command_line
from media.encoder_settings import EncoderSettings, RenditionSettings
from media.graph import Graph, Size, render
from media.grid import BatchGrid

RENDITIONS = ("low", "high")
SETTINGS = EncoderSettings(
    renditions=(
        RenditionSettings(name="high", width=640, height=360, video_kbps=900),
        RenditionSettings(name="low", width=320, height=180, video_kbps=300, audio_kbps=64),
    )
)


def a_plan(batch: int, batch_size: int = 5, wrap: int = 12) -> BatchPlan:
    naming, numbers = Naming(pattern="{rendition}-%05d.ts", wrap=wrap), batch_numbers(batch, batch_size)
    return BatchPlan(
        directory="/media/news",
        batch=batch,
        segment_ms=2000,
        renditions=RENDITIONS,
        numbers=numbers,
        files=expected_files(naming, RENDITIONS, numbers),
        first_file_number=file_number(naming, numbers[0]),
        pattern=naming.pattern,
        wrap=wrap,
    )


def outputs(plan: BatchPlan) -> list[dict[str, str]]:
    """The options of each output by name; the file is under ``file``."""
    command = command_line("ffmpeg", plan, SETTINGS, ("-i", "file:clip.mp4"), {"low": 7, "high": 9})
    arguments = iter(command[command.index("pipe:0") + 1 :])
    found: list[dict[str, str]] = [{}]
    for argument in arguments:
        if argument.startswith("-"):
            found[-1].setdefault(argument, next(arguments))
        else:
            found[-1]["file"] = argument
            found.append({})
    return found[:-1]


@pytest.mark.rule("R5")
def test_there_is_one_cut_less_than_segments() -> None:
    """R5: no further cut, no further file: a surplus segment would take the name of a kept one."""
    assert [output["-segment_frames"] for output in outputs(a_plan(3))] == ["50,100,150,200"] * 2


@pytest.mark.rule("R5")
def test_a_batch_of_one_segment_is_never_cut() -> None:
    """R5: without any cut ffmpeg would cut every two seconds."""
    (low, _) = outputs(a_plan(3, batch_size=1))
    assert int(low["-segment_frames"]) > 10**9
    assert "-force_key_frames" not in low


def test_keyframes_are_forced_at_the_cuts() -> None:
    assert outputs(a_plan(3))[0]["-force_key_frames"] == "2000000us,4000000us,6000000us,8000000us"


def test_each_rendition_has_its_own_settings_files_and_list() -> None:
    low, high = outputs(a_plan(2))
    assert (low["-b:v"], low["-b:a"], low["-segment_list"], low["file"]) == ("300k", "64k", "pipe:7", "low/low-%05d.ts")
    assert (high["-b:v"], high["-b:a"], high["-segment_list"], high["file"]) == (
        "900k",
        "96k",
        "pipe:9",
        "high/high-%05d.ts",
    )
    assert {output["-segment_start_number"] for output in (low, high)} == {"10"}
    assert {output["-segment_wrap"] for output in (low, high)} == {"12"}


def test_timestamps_begin_with_the_time_of_the_session() -> None:
    assert outputs(a_plan(10_000))[0]["-output_ts_offset"] == "100000000000us"


def test_no_path_of_the_channel_is_in_the_command() -> None:
    """A directory may have a '%' in its name, which ffmpeg would take for a number's place."""
    assert not any(Path(output["file"]).is_absolute() for output in outputs(a_plan(0)))


def test_only_sizes_other_than_the_greatest_are_scaled_once_more() -> None:
    graph = Graph((), ("a[picture]", "b[sound]"))
    text = render(graph, BatchGrid(range(5), 2000, 25), Size(640, 360), [Size(320, 180), Size(640, 360)])
    assert "[p0]scale" in text
    assert "[p1]null[v1]" in text
