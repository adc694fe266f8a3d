from pathlib import Path

import pytest

from tests.integration.ffmpeg_media import a_ramp, make

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "4")


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with clips that differ in container, codec, size, rates and sound."""
    directory = tmp_path_factory.mktemp("clips")
    a_ramp(directory / "a.mp4", 1.8, *H264, "-c:a", "aac")
    a_ramp(directory / "silent.mkv", 0.6, *H264, first=45, sound=False)
    a_ramp(directory / "c.ts", 1.4, "-c:v", "mpeg2video", "-q:v", "2", first=60, sound=False)
    a_ramp(directory / "tone.mkv", 1.5, *H264, "-c:a", "pcm_s16le")
    make("-f", "lavfi", "-i", "sine=frequency=1000", "-t", "1", directory / "sound.mp3")
    make("-f", "lavfi", "-i", "testsrc2=size=64x36", "-frames:v", "1", directory / "still.png")
    (directory / "text.mp4").write_text("no media\n")
    return directory
