"""From a batch's completion, durable in the log, to the first unlink of the batch that it made due.

Producer and projectors share one process, as in `trailkeep run`; only the encoder is a quick one. Its idle time between
two batches is measured by the way: it is what verifying, flushing, recording and publishing keep it waiting.
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from application.generation import Terms
from application.handlers import Cause
from application.ports import BatchPlan, EncodedSegment
from application.producer import ProducerSettings
from benchmarks.append import bare_database, commit
from benchmarks.histories import a_session_id, an_envelope, completed
from benchmarks.measure import Figure, Limit, p99
from domain.events import Availability, BatchCompleted, Envelope, Policy, Recorded
from domain.segments import DEFAULT_PATTERN
from entrypoints.bootstrap import opened
from entrypoints.worker import Production, Worker
from persistence import codec

BATCHES, BATCH_SIZE, SEGMENT = 320, 5, bytes(16 * 1024)
BATCH_S = 0.05
OURS, BARE, IDLE = "Trailkeep", "unlink right after the commit", "Trailkeep, encoder idle between batches"
NUMBER = re.compile(r"v_segment_(\d+)\.ts")


def measure(directory: Path) -> Figure:
    """Milliseconds, for each batch that became due."""
    ours, encoder = _ours(directory / "ours")
    values = {OURS: ours, BARE: _bare(directory / "bare"), IDLE: encoder.idle_ms}
    return Figure(
        "latency, completed batch to first unlink",
        f"{BATCHES} batches of {BATCH_SIZE} files of {len(SEGMENT) // 1024} KiB, one every {BATCH_S * 1000:.0f} ms "
        "and the time between; SQLite, synchronous=FULL",
        "ms",
        values,
        limits=[Limit("p99 of Trailkeep", p99(ours), "< 50")],
    )


class _Stopwatch:
    """Starts when the completion of a batch is durable, stops at the first unlink of the batch two before it."""

    def __init__(self) -> None:
        self.ms: list[float] = []
        self._due: dict[int, float] = {}

    def completed(self, batch: int) -> None:
        self._due[batch - 2] = time.perf_counter()

    @contextmanager
    def watching_unlinks(self) -> Iterator[None]:
        unlink = os.unlink

        def watched(path: Any, **options: Any) -> None:
            if (found := NUMBER.search(str(path))) and (
                since := self._due.pop(int(found[1]) // BATCH_SIZE, None)
            ) is not None:
                self.ms.append((time.perf_counter() - since) * 1000)
            unlink(path, **options)

        with patch.object(os, "unlink", watched):
            yield


class _QuickEncoder:
    """Writes bytes, and is busy for `BATCH_S` in all."""

    def __init__(self) -> None:
        self.idle_ms: list[float] = []
        self._ended: float | None = None

    def describe(self, _batch: int, _segments_before: int, _segment_ms: int) -> tuple[str, str]:
        return "bytes", ""

    def encode(
        self, plan: BatchPlan, _stopped: Callable[[], bool], on_segment: Callable[[EncodedSegment], None]
    ) -> tuple[EncodedSegment, ...]:
        started = time.perf_counter()
        if self._ended is not None:
            self.idle_ms.append((started - self._ended) * 1000)
        segments = []
        for file in plan.files:
            Path(plan.directory, file.file).write_bytes(SEGMENT)
            segments.append(EncodedSegment(file.rendition, file.number, plan.segment_ms))
            on_segment(segments[-1])
        time.sleep(max(0.0, started + BATCH_S - time.perf_counter()))
        self._ended = time.perf_counter()
        return tuple(segments)


def _ours(directory: Path) -> tuple[list[float], _QuickEncoder]:
    directory.mkdir()
    stopwatch, encoder = _Stopwatch(), _QuickEncoder()
    with opened(f"sqlite:///{directory / 'trailkeep.db'}") as app, stopwatch.watching_unlinks():
        append = app.log.append

        def watched(envelopes: Sequence[Envelope], **terms: Any) -> tuple[Recorded, ...]:
            recorded = append(envelopes, **terms)
            for one in recorded:
                if isinstance(one.event, BatchCompleted):
                    stopwatch.completed(one.event.batch)
            return recorded

        with patch.object(app.log, "append", watched):
            session_id = app.generation.open(_terms(directory / "media"), Cause("bench")).envelope.session_id
            production = Production(session_id, "news", ProducerSettings(), encoder)
            assert Worker(app).run([production], BATCHES, tell=lambda _: None) == {}
    assert len(stopwatch.ms) == BATCHES - 2
    return stopwatch.ms, encoder


def _terms(root: Path) -> Terms:
    root.mkdir()
    return Terms(
        channel="news",
        root=str(root),
        batch_size=BATCH_SIZE,
        renditions=("v",),
        pattern=DEFAULT_PATTERN,
        wrap=0,
        segment_ms=2000,
        playlist_window=BATCH_SIZE * 2,
        policy=Policy(availability=Availability.OFF),
    )


def _bare(directory: Path) -> list[float]:
    """The least that a loop can do which deletes what its log allows: commit a line of the same size, then unlink."""
    directory.mkdir()
    stopwatch, session_id = _Stopwatch(), a_session_id(0)
    with closing(bare_database(directory / "raw.db")) as connection, stopwatch.watching_unlinks():
        for batch in range(BATCHES):
            names = [f"v_segment_{batch * BATCH_SIZE + number:03d}.ts" for number in range(BATCH_SIZE)]
            for name in names:
                (directory / name).write_bytes(SEGMENT)
            time.sleep(BATCH_S)
            line, _ = codec.encode(an_envelope(session_id, batch + 1, completed(batch)))
            commit(connection, session_id.encode(), batch + 1, line)
            stopwatch.completed(batch)
            for path in sorted(directory.glob("*.ts"))[: -2 * BATCH_SIZE]:
                os.unlink(path)  # noqa: PTH108 what is watched
    return stopwatch.ms
