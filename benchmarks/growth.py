"""How the cost of an event, a load and a purge grows with the log and with the number of channels.

`python -m benchmarks.growth DIRECTORY --json docs/explanation/scale.json` makes a log for each size, measures, and
removes it.
"""

from collections.abc import Iterator
from random import Random
from statistics import median
from typing import Any

from application.sessions import Sessions
from benchmarks.fleet import Channel
from benchmarks.histories import a_session_id, an_envelope, started
from benchmarks.measure import seconds
from entrypoints.bootstrap import App

SIZES = ((10_000, 100), (100_000, 100), (1_000_000, 100), (100_000, 1_000), (100_000, 10_000))
"""Events and channels."""

APPENDED, LOADED, ROUNDS = 1_000, 50, 5


def measure(app: App, fleet: list[Channel]) -> dict[str, float]:
    """Microseconds an event, a load or a purge; medians."""
    app.retention.catch_up()
    app.read_model_projector.catch_up()
    app.log_check.require_intact()
    return {
        "append": _append(app),
        "load": _load(app, fleet),
        "projection": median(_projection(app)),
        "purge": _purge(app),
    }


def _append(app: App) -> float:
    """One event a commit, of many sessions that are new."""

    def work() -> None:
        for number in range(APPENDED):
            app.log.append([an_envelope(a_session_id(10**9 + number), 1, started(0))], expected_version=0)

    return seconds(work) / APPENDED * 1e6


def _load(app: App, fleet: list[Channel]) -> float:
    """A session of these that the process does not know yet, from its snapshot or from nothing."""
    chance = Random(7)
    times = []
    for one in chance.sample(fleet, min(LOADED, len(fleet))):
        sessions = Sessions(app.log, app.ids, app.snapshots)
        times.append(seconds(lambda one=one, sessions=sessions: sessions.load(one.session_id)))
    return median(times) * 1e6


def _projection(app: App) -> Iterator[float]:
    """The read models and the seal follow the last events once more, a page at a time."""
    head = app.log.head()
    for _ in range(ROUNDS):
        page = app.log.read(after=head - 1000 - APPENDED, limit=1000)
        yield seconds(lambda page=page: _project(app, page)) / len(page) * 1e6


def _project(app: App, page: list[Any]) -> None:
    from application.read_model_rows import Rows

    rows = Rows(app.read_models)
    rows.prefetch(page)
    for one in page:
        rows.apply(one)
    at = app.read_models.checkpoint()
    assert app.read_models.apply(rows.sessions(), rows.batches(), after=at, checkpoint=at)
