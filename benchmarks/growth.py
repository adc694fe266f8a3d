"""How the cost of an event, a load and a purge grows with the log and with the number of channels.

`python -m benchmarks.growth DIRECTORY --json docs/explanation/scale.json` makes a log for each size, measures, and
removes it; a log that `benchmarks.large_log` left in a directory given with `--also` is measured as well, and grows.
"""

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import click
import structlog

from application.sessions import Sessions
from benchmarks.fleet import fill
from benchmarks.histories import a_session_id, an_envelope, batches
from benchmarks.histories import opened as opening
from benchmarks.measure import fsync_ms, seconds
from entrypoints.bootstrap import App, opened

SIZES = ((10_000, 100), (100_000, 100), (1_000_000, 100), (100_000, 1_000), (100_000, 10_000))
"""Events and channels."""

APPENDED, LOADED, PURGED, PAGES, OF_SESSION = 1_000, 50, 50, 5, 100


def measure(app: App) -> dict[str, float]:
    """Microseconds of the processor for an append, a load, a purge and a projected event, and by the wall; medians."""
    numbers = count(10**9)
    app.retention.catch_up()
    app.read_model_projector.catch_up()
    app.log_check.require_intact()
    found: dict[str, float] = {}
    for name, took in (
        ("load", _loads(app)),
        ("purge", _purges(app)),
        ("append", _appends(app, numbers)),
        ("projection", _projections(app, numbers)),
    ):
        wall, processor = zip(*took, strict=True)
        found[name], found[f"{name}_wall"] = median(processor) * 1e6, median(wall) * 1e6
    return found


Took = tuple[float, float]
"""Seconds by the wall and of the processor."""


def _took(work: Callable[[], object]) -> Took:
    processor = time.process_time()
    wall = seconds(work)
    return wall, time.process_time() - processor


def _loads(app: App) -> Iterator[Took]:
    """Open sessions that the process does not know, each with its snapshot, if there is one."""
    running = [one.session_id for one in app.read_models.sessions() if one.closed_at is None]
    for session_id in Random(7).sample(running, min(LOADED, len(running))):
        sessions = Sessions(app.log, app.ids, app.snapshots)
        yield _took(lambda sessions=sessions, session_id=session_id: sessions.load(session_id))


def _purges(app: App) -> Iterator[Took]:
    """Batches of five files that the fleet left to be purged: two events each, and everything in between."""
    for _ in range(PURGED):
        before = app.log.head()
        took = _took(lambda: app.retention.run_part(1))
        if app.log.head() == before:
            return
        yield took


def _appends(app: App, numbers: "count[int]") -> Iterator[Took]:
    """One event a commit, each of a new session."""
    for _ in range(APPENDED):
        envelope = an_envelope(a_session_id(next(numbers)), 1, opening())
        yield _took(lambda envelope=envelope: app.log.append([envelope], expected_version=0))


def _projections(app: App, numbers: "count[int]") -> Iterator[Took]:
    """Read models, agenda and seal follow what is new, by the event: each time a hundred events of ten sessions."""
    for _ in range(PAGES):
        _follow(app)
        before = app.log.head()
        for number in islice(numbers, 10):
            session_id, history = a_session_id(number), [opening(), *islice(batches(), OF_SESSION - 1)]
            envelopes = [an_envelope(session_id, version, what) for version, what in enumerate(history, 1)]
            app.log.append(envelopes, expected_version=0)
        wall, processor = _took(lambda: _follow(app))
        appended = app.log.head() - before
        yield wall / appended, processor / appended


def _follow(app: App) -> None:
    app.read_model_projector.catch_up()
    app.retention.catch_up()
    app.sealer.catch_up()


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--also", type=click.Path(path_type=Path, file_okay=False), help="A directory with a large log.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures here.")
def main(directory: Path, also: Path | None, json_file: Path | None) -> None:
    """Measure logs of all sizes below DIRECTORY."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"fsync_ms": round(fsync_ms(directory), 3), "rows": []}
    for events, channels in SIZES:
        place = directory / f"{events}-{channels}"
        place.mkdir()
        with opened(f"sqlite:///{place / 'log.db'}") as app:
            fill(app, place / "media", events, channels)
            found["rows"].append(_row(app, channels))
        shutil.rmtree(place)
    if also:
        with opened(f"sqlite:///{also.absolute() / 'log.db'}") as app:
            channels = len({one.channel for one in app.read_models.sessions()})
            found["rows"].append(_row(app, channels))
    if json_file:
        json_file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _row(app: App, channels: int) -> dict[str, Any]:
    events = app.log.head()
    row = {"events": events, "channels": channels, **{key: round(value, 1) for key, value in measure(app).items()}}
    click.echo(row)
    return row


if __name__ == "__main__":
    main()
