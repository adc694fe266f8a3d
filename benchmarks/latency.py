"""From a batch's completion, durable in the log, to the first unlink of the batch that it made due.

Producer and projectors share one process, as in `trailkeep run`, or the projectors are another's, as in `trailkeep
project --follow` beside who produces; only the encoder is a quick one. Its idle time between two batches is measured
by the way: it is what verifying, flushing, recording and publishing keep it waiting.
"""

import multiprocessing
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg

from application.generation import Terms
from application.handlers import Cause
from application.ports import BatchPlan, EncodedSegment
from application.producer import Producer, ProducerSettings
from benchmarks.append import bare_database, commit
from benchmarks.histories import a_session_id, an_envelope, completed
from benchmarks.measure import Figure, Limit, p99, quiet
from benchmarks.postgres import bare_tables, database_of
from domain.events import Availability, BatchCompleted, Envelope, Policy, Recorded, SegmentsPurged
from domain.segments import DEFAULT_PATTERN
from entrypoints.bootstrap import App, opened
from entrypoints.worker import Production, Worker
from persistence import codec, schema
from persistence.engine import open_engine
from tests.postgres_server import PostgresServer

BATCHES, BATCH_SIZE, SEGMENT = 320, 5, bytes(16 * 1024)
BATCH_S = 0.05
DUE = BATCHES - 2
TOGETHER, APART = "Trailkeep, one process", "Trailkeep, purged by another process"
BARE, IDLE = "unlink right after the commit", "Trailkeep, encoder idle between batches"
NUMBER = re.compile(r"v_segment_(\d+)\.ts")
INSERT = "INSERT INTO serial_events (session_id, version, line) VALUES (%s, %s, %s)"
SPAWN = multiprocessing.get_context("spawn")

Times = dict[int, float]
"""Seconds by the machine's monotonic clock, which all its processes share, by batch."""


def measure(directory: Path) -> Figure:
    """Milliseconds, for each batch that became due; the log in SQLite."""

    def url(name: str) -> str:
        return f"sqlite:///{directory / f'{name}.db'}"

    with closing(bare_database(directory / "raw.db")) as raw:
        return _figure("SQLite", "synchronous=FULL", directory, url, lambda *row: commit(raw, *row))


def measure_postgres(directory: Path) -> Figure:
    """The same with the log in Postgres, which tells another process by NOTIFY."""
    server = PostgresServer()
    try:
        with psycopg.connect(database_of(server, "raw"), autocommit=True) as raw:
            bare_tables(raw)
            return _figure(
                "Postgres",
                "synchronous_commit=on",
                directory,
                lambda name: _with_schema(database_of(server, name)),
                lambda *row: raw.execute(INSERT, row),
            )
    finally:
        server.close()


def _with_schema(url: str) -> str:
    engine = open_engine(url)
    schema.upgrade(engine)
    engine.dispose()
    return url


def _figure(
    store: str,
    durable: str,
    directory: Path,
    url: Callable[[str], str],
    bare_commit: Callable[[bytes, int, bytes], object],
) -> Figure:
    together, encoder = _together(url("together"), directory / "together")
    apart = _apart(url("apart"), directory / "apart")
    return Figure(
        f"latency, completed batch to first unlink, {store}",
        f"{BATCHES} batches of {BATCH_SIZE} files of {len(SEGMENT) // 1024} KiB, one every {BATCH_S * 1000:.0f} ms "
        f"and the time between; {store}, {durable}",
        "ms",
        {TOGETHER: together, APART: apart, BARE: _bare(directory / "bare", bare_commit), IDLE: encoder.idle_ms},
        limits=[Limit(f"p99 of {name}", p99(ms), "< 50") for name, ms in ((TOGETHER, together), (APART, apart))],
    )


@contextmanager
def _first_unlinks() -> Iterator[Times]:
    """When the first file of each batch went, in this process."""
    unlink, times = os.unlink, Times()

    def watched(path: Any, **options: Any) -> None:
        if found := NUMBER.search(str(path)):
            times.setdefault(int(found[1]) // BATCH_SIZE, time.monotonic())
        unlink(path, **options)

    with patch.object(os, "unlink", watched):
        yield times


@contextmanager
def _completions(app: App) -> Iterator[Times]:
    """When the completion of each batch was durable: its append has returned."""
    append, times = app.log.append, Times()

    def watched(envelopes: Sequence[Envelope], **terms: Any) -> tuple[Recorded, ...]:
        recorded = append(envelopes, **terms)
        for one in recorded:
            if isinstance(one.event, BatchCompleted):
                times[one.event.batch] = time.monotonic()
        return recorded

    with patch.object(app.log, "append", watched):
        yield times


def _between(completions: Times, unlinks: Times) -> list[float]:
    """Milliseconds: of each batch that is due when the second after it completed."""
    return [(unlinks[batch] - completions[batch + 2]) * 1000 for batch in range(DUE)]


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


def _opened_session(app: App, root: Path) -> str:
    """The id of a session that was opened below a new media root."""
    root.mkdir()
    terms = Terms(
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
    return app.generation.open(terms, Cause("bench")).envelope.session_id


def _together(url: str, root: Path) -> tuple[list[float], _QuickEncoder]:
    encoder = _QuickEncoder()
    with opened(url) as app, _first_unlinks() as unlinks, _completions(app) as completions:
        production = Production(_opened_session(app, root), "news", ProducerSettings(), encoder)
        assert Worker(app).run([production], BATCHES, tell=lambda _: None) == {}
    return _between(completions, unlinks), encoder


def _apart(url: str, root: Path) -> list[float]:
    here, there = SPAWN.Pipe(duplex=False)
    projector = SPAWN.Process(target=_project, args=(url, there), daemon=True)
    with opened(url) as app:
        session_id = _opened_session(app, root)
        projector.start()
        there.close()
        _until(lambda: app.read_models.checkpoint() == app.log.head())  # it is there
        with _completions(app) as completions:
            _produce(app, session_id)
        _until(lambda: sum(isinstance(one.event, SegmentsPurged) for one in app.log.read_session(session_id)) == DUE)
    projector.terminate()  # it ends in order
    unlinks = here.recv()
    projector.join()
    assert projector.exitcode == 0
    return _between(completions, unlinks)


def _produce(app: App, session_id: str) -> None:
    Producer(
        session_id,
        ProducerSettings(),
        _QuickEncoder(),
        app.generation,
        app.publisher,
        app.sessions,
        app.files,
        app.clock,
        threading.Event(),
        app.signal,
    ).run(BATCHES)


def _project(url: str, answer: Connection) -> None:
    quiet()
    with _first_unlinks() as unlinks, opened(url) as app:
        Worker(app).run([], None, tell=lambda _: None)
    answer.send(unlinks)


def _until(there: Callable[[], bool], deadline_s: float = 60.0) -> None:
    end = time.monotonic() + deadline_s
    while not there():
        assert time.monotonic() < end, "the other process does not come"
        time.sleep(0.05)


def _bare(directory: Path, bare_commit: Callable[[bytes, int, bytes], object]) -> list[float]:
    """The least that a loop can do which deletes what its log allows: commit a line of the same size, then unlink."""
    directory.mkdir()
    completions, session_id = Times(), a_session_id(0)
    with _first_unlinks() as unlinks:
        for batch in range(BATCHES):
            for path in _paths(directory, batch):
                path.write_bytes(SEGMENT)
            time.sleep(BATCH_S)
            line, _ = codec.encode(an_envelope(session_id, batch + 1, completed(batch)))
            bare_commit(session_id.encode(), batch + 1, line)
            completions[batch] = time.monotonic()
            for path in _paths(directory, batch - 2) if batch >= 2 else ():
                os.unlink(path)  # noqa: PTH108 what is watched
    return _between(completions, unlinks)


def _paths(directory: Path, batch: int) -> list[Path]:
    return [directory / f"v_segment_{batch * BATCH_SIZE + number:03d}.ts" for number in range(BATCH_SIZE)]
