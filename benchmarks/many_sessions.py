"""Many open sessions under a steady load: `python -m benchmarks.many_sessions --sessions 10000 --rate 1000`.

Processes produce, each for its share of the sessions: each batch is started, its file written, and completed, with
everything that `trailkeep batch` does. Another is `trailkeep project --follow`: it purges what became due, and keeps
read models and seal. A batch makes four events in all, from the third of each session on: the first two make nothing
due, so what is measured begins after them. This process only looks: once a second at the checkpoints, and at the memory
of the others.
"""

import json
import multiprocessing
import os
import platform
import signal
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from statistics import median
from typing import Any

import click
import msgspec

from application.generation import Terms, nominal
from application.handlers import Cause
from benchmarks.measure import fsync_ms, quiet
from domain.events import Availability, Policy, Source
from domain.segments import DEFAULT_PATTERN
from entrypoints.bootstrap import App, opened
from entrypoints.worker import Worker

THREADS = 48
"""In each process that produces: the sessions are independent of each other, and wait for the disk side by side."""

EVENTS_OF_BATCH = 4
BEFORE_DUE = 2
"""Batches of a session that make nothing due."""

SEGMENT = bytes(1024)
SOURCE = Source(label="bytes", producer="load generator")
CAUSE = Cause("load generator")
SPAWN = multiprocessing.get_context("spawn")


class Sample(msgspec.Struct, frozen=True):
    """What was seen at a moment: seconds since the load began, positions, lags and CPU in seconds, memory in MB."""

    at: float
    head: int
    retention_lag: float
    read_model_lag: float
    purge_lag: float
    producers_mb: float
    projector_mb: float
    producers_cpu: float
    projector_cpu: float


def _channel(number: int) -> str:
    return f"channel-{number:05d}"


def _root(roots: Sequence[str], number: int) -> str:
    return roots[number % len(roots)]


def _open(url: str, roots: Sequence[str], sessions: int) -> None:
    """Open a session for each channel; the log then has the roots' markers and so many first events."""

    def one(number: int) -> None:
        terms = Terms(
            channel=_channel(number),
            root=_root(roots, number),
            batch_size=1,
            renditions=("v",),
            pattern=DEFAULT_PATTERN,
            wrap=0,
            segment_ms=2000,
            playlist_window=0,
            policy=Policy(availability=Availability.OFF),
        )
        app.generation.open(terms, CAUSE)

    with opened(url) as app:
        for number in range(len(roots)):
            one(number)
        app.read_model_projector.catch_up()
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(one, range(len(roots), sessions)))
        app.read_model_projector.catch_up()
        app.sealer.catch_up()


def _produce(url: str, roots: Sequence[str], channels: range, rate: float, stop: Event, begun: Barrier) -> None:
    """Batches in turn over these channels, each at its time; who is late goes on at once."""
    quiet()
    numbers = count()
    with opened(url) as app:
        ids = [app.sessions.id_of(_channel(number), 1) for number in channels]
        directories = [f"{_root(roots, number)}/{_channel(number)}/v" for number in channels]
        begun.wait()
        begin = time.monotonic() + 1.0

        def work() -> None:
            while not stop.is_set():
                batch, at = divmod(number := next(numbers), len(channels))
                time.sleep(max(0.0, begin + number * EVENTS_OF_BATCH / rate - time.monotonic()))
                _batch(app, ids[at], directories[at], batch)

        with ThreadPoolExecutor(THREADS) as pool:
            for done in [pool.submit(work) for _ in range(THREADS)]:
                done.result()


def _batch(app: App, session_id: str, directory: str, batch: int) -> None:
    app.generation.start(session_id, SOURCE, CAUSE)
    segment = os.open(f"{directory}/v_segment_{batch:03d}.ts", os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(segment, SEGMENT)
    os.close(segment)
    app.generation.complete(session_id, nominal(2000, {}), "load generator")


def _project(url: str) -> None:
    quiet()
    with opened(url) as app:
        Worker(app).run([], None, tell=lambda _: None)


def _megabytes(process: Any) -> float:
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def _cpu(process: Any) -> float:
    """Seconds of the processor that it has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _lag(app: App, checkpoint: int, now: int) -> float:
    """For how long the first event after a checkpoint has been in the log, in seconds."""
    page = app.log.read(after=checkpoint, limit=1)
    return max(0.0, (now - page[0].envelope.recorded_at) / 1e6) if page else 0.0


def _sample(app: App, at: float, producers: Sequence[Any], projector: Any) -> Sample:
    retention, read_models = app.agenda.checkpoint(), app.read_models.checkpoint()
    due_at, now = app.agenda.next_due_at(0), app.clock.now()
    return Sample(
        round(at, 2),
        app.log.head(),
        round(_lag(app, retention, now), 3),
        round(_lag(app, read_models, now), 3),
        round(max(0.0, (now - due_at) / 1e6) if due_at else 0.0, 3),
        round(sum(map(_megabytes, producers)), 1),
        round(_megabytes(projector), 1),
        round(sum(map(_cpu, producers)), 2),
        round(_cpu(projector), 2),
    )


def run(directory: Path, sessions: int, rate: float, seconds: float, producing: int, disks: int) -> list[Sample]:
    """Drive the load and look at it once a second."""
    url, roots = f"sqlite:///{directory / 'log.db'}", [str(directory / f"media-{number}") for number in range(disks)]
    _open(url, roots, sessions)
    stop, begun = SPAWN.Event(), SPAWN.Barrier(producing + 1)
    projector = SPAWN.Process(target=_project, args=(url,))
    shares = [range(number, sessions, producing) for number in range(producing)]
    producers = [
        SPAWN.Process(target=_produce, args=(url, roots, channels, rate * len(channels) / sessions, stop, begun))
        for channels in shares
    ]
    everybody = [projector, *producers]
    for process in everybody:
        process.start()
    samples: list[Sample] = []
    try:
        begun.wait()
        begin = time.monotonic() + 1.0 + BEFORE_DUE * sessions * EVENTS_OF_BATCH / rate
        with opened(url) as app:
            while (at := time.monotonic() - begin) < seconds and all(process.is_alive() for process in everybody):
                if at >= 0:
                    samples.append(_sample(app, at, producers, projector))
                time.sleep(1.0 - time.monotonic() % 1.0)
            samples.append(_sample(app, time.monotonic() - begin, producers, projector))
    finally:
        stop.set()
        for process in producers:
            process.join()
        assert projector.pid is not None
        os.kill(projector.pid, signal.SIGTERM)
        projector.join()
    assert [process.exitcode for process in everybody] == [0] * len(everybody)
    return samples


def summary(samples: list[Sample], rate: float) -> dict[str, Any]:
    """The figures: rates, lags, and the memory at the start, in the middle and at the end."""
    first, last = samples[0], samples[-1]
    tenth = max(1, len(samples) // 10)
    steady = samples[tenth:]

    def lags(name: str) -> dict[str, float]:
        values = sorted(getattr(one, name) for one in steady)
        return {
            "median": median(values),
            "p99": values[min(len(values) - 1, len(values) * 99 // 100)],
            "most": values[-1],
        }

    def memory(name: str) -> list[float]:
        return [getattr(samples[at], name) for at in (tenth, len(samples) // 2, -1)]

    return {
        "asked events/s": rate,
        "events/s": round((last.head - first.head) / (last.at - first.at), 1),
        "producers, CPU s a second": round((last.producers_cpu - first.producers_cpu) / (last.at - first.at), 3),
        "projector, CPU s a second": round((last.projector_cpu - first.projector_cpu) / (last.at - first.at), 3),
        "events": last.head - first.head,
        "seconds": last.at - first.at,
        "retention lag, s": lags("retention_lag"),
        "read model lag, s": lags("read_model_lag"),
        "due and not purged, s": lags("purge_lag"),
        "producers MB at a tenth, half, end": memory("producers_mb"),
        "projector MB at a tenth, half, end": memory("projector_mb"),
    }


@click.command()
@click.option("--sessions", default=10_000, show_default=True)
@click.option("--rate", default=1000.0, show_default=True, help="Events a second.")
@click.option("--seconds", default=600.0, show_default=True)
@click.option("--producers", default=2, show_default=True, help="Processes that produce.")
@click.option(
    "--roots",
    default=1,
    type=click.IntRange(1),
    show_default=True,
    help="Media roots that the channels are spread over.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all samples here.")
def main(sessions: int, rate: float, seconds: float, producers: int, roots: int, json_file: Path | None) -> None:
    """Open SESSIONS, drive them, and print the figures. TMPDIR chooses the filesystem."""
    quiet()
    with tempfile.TemporaryDirectory(prefix="trailkeep-bench-") as directory:
        flush = fsync_ms(Path(directory))
        samples = run(Path(directory), sessions, rate, seconds, producers, roots)
    found = {
        "sessions": sessions,
        "producers": producers,
        "roots": roots,
        "fsync ms": round(flush, 2),
        **summary(samples, rate),
    }
    for name, value in found.items():
        click.echo(f"{name:<36} {value}")
    if json_file:
        document = {"python": platform.python_version(), "found": found, "samples": msgspec.to_builtins(samples)}
        json_file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
