"""An independent reader plays a channel while it is produced at wall clock pace, over plain HTTP."""

import os
import signal
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import m3u8
import pytest

SECONDS = 180 if os.environ.get("TRAILKEEP_LONG") else 20

CONFIG = """
[[channel]]
name = "live"
root = "media"
batch_size = 3
segment_seconds = 1
wrap = 60
pace = "wallclock"
trigger_threshold = 2
preset = "ultrafast"
rendition = [{ name = "tiny", width = 160, height = 90, video_kbps = 100 }]
"""


class Recording(SimpleHTTPRequestHandler):
    """A plain file server that remembers what it answered."""

    answers: list[tuple[str, int]]

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        self.answers.append((self.path, int(code)))

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.rule("R2", "R8", "R13")
@pytest.mark.timeout(SECONDS + 100)
def test_a_player_meets_no_missing_segment_while_the_channel_goes_on(tmp_path: Path) -> None:
    """R2, R8, R13: what a playlist lists can be fetched, while old segments go."""
    (tmp_path / "live.toml").write_text(CONFIG)
    answers: list[tuple[str, int]] = []
    handler = partial(type("Handler", (Recording,), {"answers": answers}), directory=str(tmp_path / "media"))
    command = [Path(sys.executable).with_name("trailkeep"), "run", tmp_path / "live.toml"]
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        subprocess.Popen(
            command, env={**os.environ, "TRAILKEEP_HOME": str(tmp_path)}, stdout=subprocess.PIPE, text=True
        ) as run,
    ):
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            assert run.stdout is not None
            lines = iter(run.stdout.readline, "")
            next(line for line in lines if "PlaylistPublished" in line)
            rest: list[str] = []
            reading = threading.Thread(target=lambda: rest.extend(lines))
            reading.start()
            url = f"http://127.0.0.1:{server.server_port}/live/tiny/tiny.m3u8"
            played = _play(url)
            playlist = m3u8.load(str(tmp_path / "media/live/tiny/tiny.m3u8"))
        finally:
            run.send_signal(signal.SIGINT)
            code = run.wait(30)
            server.shutdown()
            serving.join()
        reading.join()
    assert code == 0
    assert played.stderr == ""
    assert [answer for answer in answers if answer[1] >= 400] == []
    assert sum(path.endswith(".ts") for path, _ in answers) >= SECONDS - 6
    assert any("SegmentsPurged" in line for line in rest)
    assert playlist.target_duration == 1
    assert 3 <= len(playlist.segments) <= 6
    assert {segment.duration for segment in playlist.segments} == {1.0}


def _play(url: str) -> subprocess.CompletedProcess[str]:
    """A real ffmpeg reads the live playlist for `SECONDS` of media, and says what it does not like."""
    return subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "warning", "-i", url, "-t", str(SECONDS), "-f", "null", "-"],
        capture_output=True,
        text=True,
        timeout=SECONDS + 60,
        check=False,
    )
