"""The command line of a batch: what ffmpeg is told to make of the filter graph, and where to put it."""

from collections.abc import Iterator, Mapping

from application.ports import BatchPlan
from media.encoder_settings import EncoderSettings, RenditionSettings
from media.grid import BatchGrid

NEVER = 2**31 - 2  # a frame that no batch reaches, and the greatest that ffmpeg takes


def command_line(
    ffmpeg: str,
    plan: BatchPlan,
    settings: EncoderSettings,
    inputs: tuple[str, ...],
    lists: Mapping[str, int],
) -> list[str]:
    """The arguments for the batch. The filter graph is read from standard input; paths are relative to the channel.

    ``lists`` has the renditions in the order of the graph's outputs, and for each the descriptor that ffmpeg tells of
    the segments that it closed.
    """
    grid = BatchGrid(plan.numbers, plan.segment_ms, settings.frame_rate)
    by_name = {rendition.name: rendition for rendition in settings.renditions}
    command = [ffmpeg, "-hide_banner", "-nostdin", "-v", "error", *inputs, "-/filter_complex", "pipe:0"]
    for output, (name, descriptor) in enumerate(lists.items()):
        command += ["-map", f"[v{output}]", "-map", f"[a{output}]", "-map_metadata", "-1"]
        command += _codecs(by_name[name], settings, grid)
        command += _timestamps(grid)
        command += _segments(plan, grid, descriptor)
        command.append(f"{name}/{plan.pattern.replace('{rendition}', name)}")
    return command


def _codecs(rendition: RenditionSettings, settings: EncoderSettings, grid: BatchGrid) -> Iterator[str]:
    rate = rendition.video_kbps
    yield from ("-c:v", "libx264", "-preset", settings.preset, "-fps_mode", "passthrough")
    yield from ("-b:v", f"{rate}k", "-maxrate", f"{rate}k", "-bufsize", f"{2 * rate}k")
    if grid.cuts:
        yield from ("-force_key_frames", ",".join(f"{cut * 1_000_000 // grid.frame_rate}us" for cut in grid.cuts))
    yield from ("-c:a", "aac", "-b:a", f"{rendition.audio_kbps}k")
    # Drops the run-up and what follows the batch: despite its name this filter only damages packets when told to.
    kept_from, kept_to = grid.timestamp(grid.first_sample), grid.timestamp(grid.end_sample)
    yield from ("-bsf:a", f"noise=drop='lt(pts,{kept_from})+gte(pts,{kept_to})'")


def _timestamps(grid: BatchGrid) -> Iterator[str]:
    """The first frame gets the session's time.

    The first batch is not shifted so that its decoding times, which are ahead, are not negative: it would overlap the
    second. The muxer's own delay of 1.4 s, the same in all batches, keeps them above 0.
    """
    yield from ("-output_ts_offset", f"{grid.start_us}us", "-avoid_negative_ts", "disabled")


def _segments(plan: BatchPlan, grid: BatchGrid, descriptor: int) -> Iterator[str]:
    """Cut before the frames at which a segment begins, and nowhere else.

    There is one cut less than there are segments, so no input can lead to one more, which would be written over a kept
    segment's file once names repeat. Cuts are counted in frames: timestamps have no part in it.
    """
    yield from ("-f", "segment", "-segment_format", "mpegts")
    # Continuity counters begin anew with each file; unless it says so, ffmpeg's own reader calls its start corrupt.
    yield from ("-segment_format_options", "mpegts_flags=+initial_discontinuity")
    yield from ("-segment_frames", ",".join(str(cut) for cut in grid.cuts) or str(NEVER))
    yield from ("-segment_start_number", str(plan.first_file_number), "-segment_wrap", str(plan.wrap))
    yield from ("-segment_list", f"pipe:{descriptor}", "-segment_list_type", "csv")
