"""While purges run, another process swaps what stands under the names as fast as it can, in five shapes.

The kernel's own exchange (renameat2(2), RENAME_EXCHANGE) leaves no moment without a file. Whatever is in the way, the
canary tree stays, and each file has the outcome that befell it. One thing no purge can know: that a file was exchanged
between its look and its unlink (docs/explanation/deletion-protocol.md, "What is outside"). Then the racer's own file
goes instead. That is counted, and may happen to nothing else.
"""

import contextlib
import ctypes
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import pytest

from application.ports import Deletion
from domain.events import FileIdentity, PurgeFailed, SegmentsPurged
from media.segment_root import SegmentRoots
from tests.contract.stores import an_engine
from tests.integration.media_tree import started
from tests.memory_app import App, Channel
from tests.torture.campaign import FULL
from tests.torture.sqlite_store import SqliteStore

pytestmark = [pytest.mark.rule("R10", "R11"), pytest.mark.timeout(300)]

SECONDS = 12.0 if FULL else 1.0
"""Each shape is raced for so long: half of it by bare deletions, half by the whole purger."""

SIZES = (1, 1, 4, 1, 1, 30, 1, 1, 300)
"""Files in one purge, by turns: a file that is alone meets the racer most often."""

RACER = """
import ctypes, select, sys
exchange = ctypes.CDLL(None).renameat2
for line in sys.stdin:
    pairs = [tuple(map(str.encode, pair.split("|"))) for pair in line.strip().split("||")]
    swaps = 0
    print("racing", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        for here, aside in pairs:
            swaps += (exchange(-100, here, -100, aside, 2) == 0) + (exchange(-100, here, -100, aside, 2) == 0)
    sys.stdin.readline()
    print(swaps, flush=True)
"""


class Racer:
    """The other process. It swaps pairs of paths there and back, and counts."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._to, self._from = process.stdin, process.stdout
        self.counts = Counter[str]()

    @contextlib.contextmanager
    def swapping(self, pairs: Sequence[tuple[Path, Path]]) -> Iterator[None]:
        """It is at it when the block begins, and has ended when the block is over."""
        self._say("||".join(f"{here}|{aside}" for here, aside in pairs))
        assert self._from.readline() == "racing\n"
        yield
        self._say("stop")
        self.counts["swaps"] += int(self._from.readline())

    def _say(self, line: str) -> None:
        self._to.write(line + "\n")
        self._to.flush()


@pytest.fixture
def racer(request: pytest.FixtureRequest) -> Iterator[Racer]:
    with started(RACER) as process:
        made = Racer(process)
        yield made
        process.kill()
    print(f"racer: {request.node.name}: {dict(made.counts)}")


@pytest.fixture
def base(arena: Path) -> Path:
    """A directory in memory, where exchanging is quickest; skips where nothing can be exchanged."""
    paths = [arena / one for one in ("this", "that")]
    for path in paths:
        path.touch()
    exchange = getattr(ctypes.CDLL(None), "renameat2", None)
    if exchange is None or exchange(-100, bytes(paths[0]), -100, bytes(paths[1]), 2) != 0:
        pytest.skip("NOT TESTED: files cannot be exchanged here")
    return arena


def a_link(aside: Path, canary: Path) -> None:
    aside.symlink_to(canary / "v" / "secret.ts")


def a_directory(aside: Path, _: Path) -> None:
    aside.mkdir()


def a_fifo(aside: Path, _: Path) -> None:
    os.mkfifo(aside)


def a_hard_link(aside: Path, canary: Path) -> None:
    os.link(canary / "v" / "secret.ts", aside)


def a_fresh_file(aside: Path, _: Path) -> None:
    aside.write_text("fresh, of somebody else")


DIRECTORIES = {"the rendition, a link to the canary": "news/v", "the channel, a link to the canary": "news"}
DECOYS: dict[str, Callable[[Path, Path], None]] = {
    "a segment, a link to the canary": a_link,
    "a segment, a directory": a_directory,
    "a segment, a fifo": a_fifo,
    "a segment, another name of the canary's file": a_hard_link,
    "a segment, a fresh file": a_fresh_file,
}
SHAPES = [*DIRECTORIES, *DECOYS]


class Ground:
    """A media root with something aside for each thing that is swapped, and the canary tree.

    Where a directory is swapped the canary has the very files that are purged, by hard links: who followed the link
    would find them to be what was recorded, and unlink them.
    """

    def __init__(self, base: Path, shape: str) -> None:
        self.root, self.canary, self.aside, self.shape = base / "root", base / "canary", base / "aside", shape
        (self.canary / "v").mkdir(parents=True)
        (self.canary / "v" / "secret.ts").write_text("secret")
        self.aside.mkdir()

    def pairs(self, segments: Sequence[Path]) -> list[tuple[Path, Path]]:
        """What is swapped with what while these segments are purged."""
        for path in sorted(self.aside.iterdir()):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        if self.shape in DIRECTORIES:
            place = DIRECTORIES[self.shape]
            for path in (self.canary / "v").glob("v_*"):
                path.unlink()
            for segment in segments:
                os.link(segment, self.canary / "v" / segment.name)
            (self.aside / "link").symlink_to(self.canary if place == "news" else self.canary / "v")
            return [(self.root / place, self.aside / "link")]
        for segment in segments:
            DECOYS[self.shape](self.aside / segment.name, self.canary)
        return [(segment, self.aside / segment.name) for segment in segments]

    def canary_now(self) -> dict[str, tuple[object, ...]]:
        """All of the canary: what it is, when it was changed, and what is in it."""
        return {
            str(path): (
                status.st_mode,
                status.st_ino,
                status.st_size,
                status.st_mtime_ns,
                path.is_dir() or path.read_bytes(),
            )
            for path in sorted(self.canary.rglob("*"))
            for status in [path.lstat()]
        }


class Fate:
    """What became of some segments and of what was swapped with them, by their inodes."""

    def __init__(self, ground: Ground, segments: Sequence[Path]) -> None:
        self._places = {segment: (segment, ground.aside / segment.name) for segment in segments}
        self._was = {segment: [inode(path) for path in places] for segment, places in self._places.items()}

    def of(self, segment: Path) -> str:
        places = self._places[segment]
        is_there = {inode(path) for path in places}
        mine, other = self._was[segment]
        if mine in is_there:
            return "left" if other is None or other in is_there else "the other one is gone"
        return "gone" if other is None or other in is_there else "both are gone"


def inode(path: Path) -> int | None:
    try:
        return path.lstat().st_ino
    except FileNotFoundError:
        return None


def segments_of(root: Path, count: int, purge: int) -> list[Path]:
    directory = root / "news" / "v"
    directory.mkdir(parents=True, exist_ok=True)
    made = [directory / f"v_segment_{purge}_{number}.ts" for number in range(count)]
    for path in made:
        path.write_text("a segment that was recorded")
    return made


def identities(segments: Sequence[Path]) -> list[FileIdentity]:
    return [
        FileIdentity(file=f"v/{path.name}", size=status.st_size, mtime_ns=status.st_mtime_ns, inode=status.st_ino)
        for path in segments
        for status in [path.lstat()]
    ]


def judge(deletion: Deletion, segments: Sequence[Path], fate: Fate, counts: Counter[str]) -> None:
    """Each file has one outcome, and it is the one that befell it."""
    told = {one.file: "deleted" for one in deletion.deleted}
    told |= {one.file: "superseded" for one in deletion.superseded}
    told |= {one.name: "remaining" for one in deletion.remaining}
    assert not deletion.already_absent, "nothing was ever away"
    for segment in segments:
        outcome, befell = told.pop(f"v/{segment.name}"), fate.of(segment)
        fitting = {"deleted": {"gone", "the other one is gone"}, "superseded": {"left"}, "remaining": {"left"}}
        assert befell in fitting[outcome], f"{segment.name} was told as {outcome}, but: {befell}"
        counts[outcome] += 1
        counts["exchanged between look and unlink"] += befell == "the other one is gone"
    assert not told


@pytest.mark.parametrize("shape", SHAPES)
def test_a_bare_deletion_is_raced(base: Path, racer: Racer, shape: str) -> None:
    """R10, R11."""
    ground, end = Ground(base, shape), time.monotonic() + SECONDS / 2
    for purge, size in enumerate(cycle(SIZES)):
        segments = segments_of(ground.root, size, purge)
        recorded, pairs = identities(segments), ground.pairs(segments)
        fate, canary = Fate(ground, segments), ground.canary_now()
        with racer.swapping(pairs):
            (deletion,) = SegmentRoots().delete_each(str(ground.root), [("news", recorded)])
        judge(deletion, segments, fate, racer.counts)
        assert ground.canary_now() == canary
        racer.counts["purges"] += 1
        if time.monotonic() > end and purge >= len(SIZES):
            break
    assert racer.counts["swaps"] > racer.counts["purges"], "it raced"


@pytest.mark.rule("R6", "R8")
@pytest.mark.parametrize("shape", SHAPES)
def test_the_whole_purger_is_raced(base: Path, racer: Racer, shape: str) -> None:
    """R6, R8: over SQLite, with playlists and recorded outcomes; what is left in the race is finished after it."""
    ground, end = Ground(base, shape), time.monotonic() + SECONDS / 2
    with an_engine(base / "log.db") as engine:
        channel = Channel(App(SqliteStore(engine)), ground.root)
        channel.open(batch_size=50, playlist_window=100)
        channel.generate(2)
        while time.monotonic() < end or racer.counts["purges"] < 2:
            channel.generate(1)
            batch = channel.session.next_batch - 3
            segments = channel.paths(batch)
            pairs = ground.pairs(segments)
            fate, canary = Fate(ground, segments), ground.canary_now()
            channel.app.purger.issue(channel.id, batch)
            with racer.swapping(pairs):
                channel.app.project()
            for _ in range(3):
                channel.app.clock.advance(600)
                channel.app.project()
            told = outcome(channel, batch)
            fates = Counter(fate.of(segment) for segment in segments)
            exchanged = fates["the other one is gone"]
            assert told.deleted == fates["gone"] + exchanged
            assert len(told.superseded) == fates["left"]
            assert fates.total() == 50 == told.deleted + len(told.superseded), "each file has one outcome"
            assert ground.canary_now() == canary
            racer.counts += Counter({"purges": 1, "deleted": told.deleted, "superseded": len(told.superseded)})
            racer.counts["exchanged between look and unlink"] += exchanged


class Told(NamedTuple):
    """What the attempts at a purge recorded, together."""

    deleted: int
    superseded: tuple[FileIdentity, ...]


def outcome(channel: Channel, batch: int) -> Told:
    events = [event for event in channel.events() if isinstance(event, PurgeFailed | SegmentsPurged)]
    attempts = [event for event in events if event.batch == batch]
    assert isinstance(attempts[-1], SegmentsPurged), "it has its one outcome"
    assert not any(event.already_absent for event in attempts), "nothing was ever away"
    superseded = tuple(file for event in attempts for file in event.superseded)
    return Told(sum(event.deleted for event in attempts), superseded)
