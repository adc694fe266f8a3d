"""How the cost of an event, a batch, a purge, a load and a replay grows with the log and with the number of channels.

`python -m benchmarks.growth DIRECTORY --json docs/explanation/scale.json` makes a log for each size, measures, and
removes it; a log that `benchmarks.large_log` left in a directory given with `--also` is measured as well, and grows.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import click

from application.generation import expected_of, nominal
from application.handlers import Cause
from application.sessions import Sessions
from benchmarks.fleet import SEGMENT_MS, SIZE, fill
from benchmarks.histories import a_session_id, an_envelope, batches
from benchmarks.histories import opened as opening
from benchmarks.measure import fsync_ms, quiet, seconds
from domain.events import SegmentsPurged, Source
from entrypoints.bootstrap import App, opened

SIZES = ((10_000, 100), (100_000, 100), (1_000_000, 100), (100_000, 1_000), (100_000, 10_000))
"""Events and channels."""

APPENDED, LOADED, PRODUCED, PURGED, PAGES, OF_SESSION = 1_000, 50, 100, 50, 5, 100
CAUSE, SOURCE = Cause("bench"), Source(label="bytes", producer="bench")


def measure(app: App) -> dict[str, float]:
    """Microseconds of the processor, and by the wall; medians."""
    numbers = count(10**9)
    app.retention.catch_up()
    app.read_model_projector.catch_up()
    app.log_check.require_intact()
    found: dict[str, float] = {}
    for name, took in (
        ("load", _loads(app)),
        ("replay", _replays(app)),
        ("purge", _purges(app)),
        ("batch", _batches(app)),
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


def _each(took: Took, parts: int) -> Took:
    return took[0] / parts, took[1] / parts


def _loads(app: App) -> Iterator[Took]:
    """Open sessions that the process does not know, each with its snapshot, if there is one."""
    for session_id in _running(app, LOADED):
        sessions = Sessions(app.log, app.ids, app.snapshots)
        yield _took(lambda sessions=sessions, session_id=session_id: sessions.load(session_id))


def _replays(app: App) -> Iterator[Took]:
    """The same from nothing, by the event; a load's own cost is in it, which shows where sessions are short."""
    for session_id in _running(app, LOADED):
        sessions = Sessions(app.log, app.ids)
        took = _took(lambda sessions=sessions, session_id=session_id: sessions.load(session_id))
        yield _each(took, sessions.load(session_id).version)


def _running(app: App, most: int) -> list[str]:
    running = [one.session_id for one in app.read_models.sessions() if one.closed_at is None]
    return Random(7).sample(running, min(most, len(running)))


def _purges(app: App) -> Iterator[Took]:
    """Batches of five files that the fleet left to be purged, one by one: two events each, and all in between."""
    due = app.agenda.due(app.clock.now())
    for item in due[:PURGED]:
        app.sessions.load(item.session_id)
        yield _took(lambda item=item: _purge(app, item.session_id, item.batch))


def _purge(app: App, session_id: str, batch: int) -> None:
    app.purger.issue(session_id, batch)
    (outcome,) = app.purger.carry_out(session_id, batch)
    assert isinstance(outcome.event, SegmentsPurged)


def _batches(app: App) -> Iterator[Took]:
    """A session's second batch of five files that this process makes: started, written, completed, in the playlists."""
    for session_id in _running(app, PRODUCED):
        _batch(app, session_id)
        yield _took(lambda session_id=session_id: _batch(app, session_id))


def _batch(app: App, session_id: str) -> None:
    app.generation.start(session_id, SOURCE, CAUSE)
    session = app.sessions.load(session_id)
    for one in expected_of(session):
        Path(session.terms.media_root.path, session.terms.channel, one.file).write_bytes(bytes(SIZE))
    app.generation.complete(session_id, nominal(SEGMENT_MS, {}), "bench")


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
        took = _took(lambda: _follow(app))
        yield _each(took, app.log.head() - before)


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
    quiet()
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
