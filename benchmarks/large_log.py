"""A log of any size: `python -m benchmarks.large_log DIRECTORY --events 10000000 --channels 1000`.

The log is made if DIRECTORY has none (see `benchmarks.fleet`), and kept. Then each question is asked by a process of
its own, which knows nothing yet: how long it takes, how much memory it needs at half of the way and at most.
"""

import json
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from application.disk_check import Level
from benchmarks.fleet import RENDITION, fill
from entrypoints.bootstrap import App, opened

ASKED = 200
"""How often a quick question is asked, of a session or file chosen at random."""

SPAWN = multiprocessing.get_context("spawn")

Question = Callable[[App, random.Random, Callable[[int], None]], Any]
"""Asks once, or gives an iterator that asks once a step; the last argument hears of events done."""


def _sessions(app: App, chance: random.Random) -> Iterator[Any]:
    summaries = app.read_models.sessions()
    while True:
        yield chance.choice(summaries)


def history(app: App, chance: random.Random, _: Callable[[int], None]) -> Iterator[Any]:
    for one in _sessions(app, chance):
        yield lambda one=one: app.queries.history(app.sessions.resolve(one.session_id).session_id)


def history_of_channel(app: App, chance: random.Random, _: Callable[[int], None]) -> Iterator[Any]:
    for one in _sessions(app, chance):
        yield lambda one=one: app.queries.history(app.sessions.resolve(one.channel).session_id)


def explain(app: App, chance: random.Random, _: Callable[[int], None]) -> Iterator[Any]:
    for one in _sessions(app, chance):
        name = f"{RENDITION}_segment_{chance.randrange(1000):03d}.ts"
        path = f"{one.root}/{one.channel}/{RENDITION}/{name}"
        yield lambda path=path: app.explainer.explain(path)


def replay(app: App, chance: random.Random, _: Callable[[int], None]) -> Iterator[Any]:
    for one in _sessions(app, chance):
        yield lambda one=one: sum(1 for _ in app.sessions.steps(one.session_id))


def events_of_session(app: App, chance: random.Random, _: Callable[[int], None]) -> Iterator[Any]:
    for one in _sessions(app, chance):
        yield lambda one=one: list(islice(app.queries.lines_of(one.session_id, one.last_position // 2), 1000))


def _page(app: App, after: int) -> Any:
    return list(islice(app.queries.lines(max(0, after)), 1000))


def first_page(app: App, _: random.Random, __: Callable[[int], None]) -> Iterator[Any]:
    while True:
        yield lambda: _page(app, 0)


def middle_page(app: App, chance: random.Random, _: Callable[[int], None]) -> Iterator[Any]:
    head = app.log.head()
    while True:
        yield lambda: _page(app, chance.randrange(head // 4, head * 3 // 4))


def last_page(app: App, _: random.Random, __: Callable[[int], None]) -> Iterator[Any]:
    head = app.log.head()
    while True:
        yield lambda: _page(app, head - 1000)


def plan(app: App, _: random.Random, __: Callable[[int], None]) -> Iterator[Any]:
    yield lambda: app.queries.plan(app.queries.planned_sessions())


def first_unlink(app: App, _: random.Random, heard: Callable[[int], None]) -> Iterator[Any]:
    yield lambda: app.log_check.require_intact(lambda done, _: heard(done))


def storage(app: App, _: random.Random, __: Callable[[int], None]) -> Iterator[Any]:
    yield lambda: list(app.log.storage_faults())


def verify(app: App, _: random.Random, heard: Callable[[int], None]) -> Iterator[Any]:
    def work() -> None:
        report = app.verifier.verify(Level.IDENTITY, lambda what, done, _: heard(done) if what == "events" else None)
        assert report.ok, report

    yield work


def rebuild_agenda(app: App, _: random.Random, __: Callable[[int], None]) -> Iterator[Any]:
    def work() -> None:
        app.snapshots.clear()
        app.agenda.clear()
        app.retention.catch_up()

    yield work


def rebuild_read_models(app: App, _: random.Random, heard: Callable[[int], None]) -> Iterator[Any]:
    yield lambda: app.read_model_projector.rebuild(heard)


QUICK = (
    history,
    history_of_channel,
    explain,
    replay,
    events_of_session,
    first_page,
    middle_page,
    last_page,
    plan,
)
LONG = (rebuild_agenda, rebuild_read_models, storage, first_unlink, verify)
QUESTIONS: dict[str, Question] = {one.__name__: one for one in (*LONG[:2], *QUICK, *LONG[2:])}


def _megabytes(what: str = "VmRSS") -> float:
    """The memory of this process now; with ``VmHWM`` the most that it ever had."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) / 1024
    return 0.0


def _ask(url: str, name: str, answer: Connection) -> None:
    seen: dict[int, float] = {}
    with opened(url) as app:
        head, before = app.log.head(), _megabytes()

        def heard(done: int) -> None:
            tenth = done * 10 // max(1, head)
            if tenth not in seen:
                seen[tenth] = _megabytes()

        steps = QUESTIONS[name](app, random.Random(7), heard)
        times = []
        processor = time.process_time()
        for work in islice(steps, ASKED):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        processor = (time.process_time() - processor) / len(times)
    times.sort()
    answer.send(
        {
            "times": len(times),
            "median": times[len(times) // 2],
            "p95": times[min(len(times) - 1, len(times) * 95 // 100)],
            "most": times[-1],
            "CPU": processor,
            "MB before": before,
            "MB half": seen.get(5),
            "MB most": _megabytes("VmHWM"),
        }
    )


def ask(url: str, name: str) -> dict[str, Any]:
    """The figures of one question, asked by a new process."""
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=_ask, args=(url, name, there))
    process.start()
    process.join()
    assert process.exitcode == 0, name
    found: dict[str, Any] = here.recv()
    return found


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--events", default=10_000_000, show_default=True)
@click.option("--channels", default=1000, show_default=True)
@click.option("--database", help="A database other than SQLite in DIRECTORY; it has to be empty or filled by this.")
@click.option("--ask", "names", multiple=True, type=click.Choice(list(QUESTIONS)), help="Only this; repeat for more.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures here.")
def main(
    directory: Path, events: int, channels: int, database: str | None, names: tuple[str, ...], json_file: Path | None
) -> None:
    """Fill a log in DIRECTORY, unless there is one, and ask what operators ask."""
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    url = database or f"sqlite:///{directory / 'log.db'}"
    found: dict[str, Any] = {}
    with opened(url) as app:
        if not app.log.head():
            start = time.perf_counter()
            fill(app, directory / "media", events, channels)
            found["generate"] = {"seconds": time.perf_counter() - start}
        found["events"] = app.log.head()
    console = Console()
    columns = ("times", "median, s", "p95, s", "most, s", "CPU, s", "MB half", "MB most")
    table = Table("", *columns, title=f"{found['events']:,} events")
    for name in names or QUESTIONS:
        one = found[name] = ask(url, name)
        table.add_row(
            name.replace("_", " "),
            str(one["times"]),
            *(f"{one[key]:.4f}" for key in ("median", "p95", "most", "CPU")),
            f"{one['MB half']:.0f}" if one["MB half"] else "",
            f"{one['MB most']:.0f}",
        )
        if json_file:
            json_file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        console.print(f"{name}: {one}", highlight=False, soft_wrap=True)
    console.print(table)
    if (file := directory / "log.db").exists():
        found["bytes"] = file.stat().st_size
        console.print(f"{found['bytes'] / found['events']:.0f} bytes an event, read models included")


if __name__ == "__main__":
    main()
