"""The soak: `run` with four channels as fast as the disk takes them, killed again and again, for half an hour.

`python -m tests.torture.soak --lives 90 --seconds 20` prints what each life left behind. Segments are copied from one
file by a real ffmpeg instead of being encoded, so that the log, the playlists and the purges are what is busy.
"""

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from imageio_ffmpeg import get_ffmpeg_exe

from tests.acceptance.command_line import TRAILKEEP

BATCH_SIZE = 20
WRAP = 200
LONG_LIFE = 15
"""The last life is so much longer than the others, to show what grows within a process."""
SCATTER = 0.1
WATCHED = ("descriptors", "resident_kib", "files", "waiting")
CHANNELS = {"one": "off", "two": "off", "three": "rfc8216", "four": "rfc8216"}

CHANNEL = """
[[channel]]
name = "{name}"
root = "media"
batch_size = {batch_size}
segment_seconds = 1
wrap = {wrap}
pace = "asap"
availability = "{availability}"
preset = "ultrafast"

[[channel.rendition]]
name = "90p"
width = 160
height = 90
video_kbps = 100
"""

COPYING = """#!{python} -ES
# Called as the encoder's ffmpeg is, it copies from a file what it would have encoded.
import os, sys

words = sys.argv[1:]
if "-output_ts_offset" in words:
    words = ["-v", "error", "-nostdin", "-i", {source!r}, "-c", "copy", *words[words.index("-output_ts_offset"):]]
os.execv({ffmpeg!r}, [{ffmpeg!r}, *words])
"""


class Life(NamedTuple):
    """What one life of the process had in the end, and what it left: descriptors, KiB, files, batches, and events."""

    descriptors: int
    resident_kib: int
    files: int
    waiting: int
    """Batches that are due, or will be: the backlog."""
    events: int


class Soak:
    """A store with four channels in a directory, and processes that live and are killed over it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "soak.toml"
        self.config.write_text(
            "".join(
                CHANNEL.format(name=name, availability=availability, batch_size=BATCH_SIZE, wrap=WRAP)
                for name, availability in CHANNELS.items()
            )
        )
        self.environment = {"TRAILKEEP_FFMPEG": str(self._copying()), "PATH": "/usr/bin:/bin", "HOME": str(directory)}

    def live(self, seconds: float, looks: int = 1) -> list[Life]:
        """One life of `run`, looked at so many times in equal intervals and then ended by kill -9."""
        found = []
        with (self.directory / "stderr").open("ab") as errors:
            process = subprocess.Popen(
                self.command("run", str(self.config)), stdout=subprocess.DEVNULL, stderr=errors, env=self.environment
            )
            for _ in range(looks):
                try:
                    process.wait(seconds / looks)
                except subprocess.TimeoutExpired:
                    found.append(self._look(Path("/proc", str(process.pid))))
                else:
                    raise AssertionError(f"run ended by itself with {process.returncode}: {self.errors()}")
            process.kill()
            process.wait()
        return found

    def settle(self) -> "subprocess.CompletedProcess[str]":
        """Recover, carry out what is due, and verify."""
        for words in (("recover",), ("project",)):
            done = self._run(*words)
            assert done.returncode == 0, done.stderr
        waiting = {(row["session_id"], row["batch"]) for row in self._answer("plan")}
        again = json.loads(self._run("recover", "--json").stdout)
        added = [event for event in self._events_at(again["recorded"]) if not _became_due(event, waiting)]
        assert (added, again["left"]) == ([], []), "R14: a second recovery adds nothing but what became due meanwhile"
        return self._run("verify", "--json")

    def command(self, *words: str) -> list[str]:
        return [TRAILKEEP, "--database", f"sqlite:///{self.directory / 'log.db'}", *words]

    def errors(self) -> str:
        """The last that was said on stderr."""
        return (self.directory / "stderr").read_text(errors="replace")[-2000:]

    def _run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*words), capture_output=True, text=True, check=False, env=self.environment, timeout=600
        )

    def _look(self, proc: Path) -> Life:
        descriptors = len(list((proc / "fd").iterdir()))
        resident = next(line for line in (proc / "status").read_text().splitlines() if line.startswith("VmRSS"))
        files = sum(1 for _ in (self.directory / "media").rglob("*.ts"))
        waiting, sessions = self._answer("plan"), self._answer("session", "list")
        events = sum(int(session["version"]) for session in sessions)
        return Life(descriptors, int(resident.split()[1]), files, len(waiting), events)

    def _events_at(self, positions: list[int]) -> list[dict[str, Any]]:
        """The events at these positions, which follow each other."""
        if not positions:
            return []
        lines = self._run("events", "--json", "--after", str(positions[0] - 1)).stdout.splitlines()
        return [event for event in map(json.loads, lines) if event["position"] in positions]

    def _answer(self, *words: str) -> list[Any]:
        answer: list[Any] = json.loads(self._run(*words, "--json").stdout)
        return answer

    def _copying(self) -> Path:
        source, script = self.directory / "source.mp4", self.directory / "copying-ffmpeg"
        ffmpeg = get_ffmpeg_exe()
        picture = f"testsrc2=size=160x90:rate=25:duration={BATCH_SIZE}"
        encode = f"-v error -f lavfi -i {picture} -c:v libx264 -preset ultrafast -bf 0 -g 25 -sc_threshold 0"
        subprocess.run([ffmpeg, *shlex.split(encode), str(source)], check=True)
        script.write_text(COPYING.format(python=sys.executable, source=str(source), ffmpeg=ffmpeg))
        script.chmod(0o755)
        return script


def _became_due(event: dict[str, Any], waiting: set[tuple[str, int]]) -> bool:
    """Whether it is of the purge of a batch that waited for nothing but the time (R13)."""
    of_a_purge = event["type"] in {"PurgeIssued", "SegmentsPurged"}
    return of_a_purge and (event["session_id"], event["data"]["batch"]) in waiting


def grown(lives: list[Life], *fields: str) -> list[str]:
    """Which of these are more in the last third than in the first, by more than their scatter; empty if none are.

    The scatter is that of the middle half of the first third, or `SCATTER` of what was usual there, if that is more.
    """
    third = max(2, len(lives) // 3)
    found = []
    for field in fields:
        first = [getattr(life, field) for life in lives[:third]]
        last = statistics.median(getattr(life, field) for life in lives[-third:])
        usual = statistics.median(first)
        lower, _, upper = statistics.quantiles(first, n=4)
        if last > usual + max(upper - lower, SCATTER * usual):
            found.append(f"{field}: {usual} in the first third, {last} in the last (medians)")
    return found


def idle(lives: list[Life]) -> list[str]:
    """In which third fewer events were recorded than half of what the first third had; empty if it went on as it began.

    ``lives`` are in their order; of each it is known how many events there were by its end.
    """
    third = max(2, len(lives) // 3)
    ends = [lives[0].events, *(lives[min(number * third, len(lives)) - 1].events for number in (1, 2, 3))]
    recorded = [after - before for before, after in pairwise(ends)]
    return [f"third {number}: {many} events" for number, many in enumerate(recorded, 1) if many < recorded[0] / 2]


def most_files() -> int:
    """More than this cannot be there: the names of every channel, and no name twice."""
    return WRAP * len(CHANNELS)


def main() -> None:
    """Live, die, and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--lives", type=int, default=90)
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    soak, lives = Soak(given.directory), list[Life]()
    for number in range(1, given.lives + 1):
        began = time.monotonic()
        lives += soak.live(given.seconds)
        print(number, *lives[-1], f"{time.monotonic() - began:.1f} s", flush=True)
    print("one long life")
    looks = soak.live(given.seconds * LONG_LIFE, looks=3 * LONG_LIFE)
    for look in looks:
        print(*look)
    verified = soak.settle()
    print(verified.stdout)
    complaints = [*grown(lives, *WATCHED), *grown(looks, *WATCHED), *idle(lives), *idle(looks)]
    sys.exit("; ".join(complaints) or verified.returncode)


if __name__ == "__main__":
    main()
