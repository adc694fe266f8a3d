"""How the benchmarks measure: contenders take turns, medians and the medians of the ratios are shown."""

import gc
import logging
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import msgspec
import structlog
from rich.console import Console
from rich.table import Table

Contender = Callable[[], float]
"""Does its work once and returns the measured value."""


class Ratio(msgspec.Struct, frozen=True):
    """Ours over theirs: the median of the rounds' ratios. ``target`` is what the project wants of it."""

    ours: str
    theirs: str
    value: float
    target: str


class Limit(msgspec.Struct, frozen=True):
    """A value of ours that has a target of its own, in the figure's unit, whatever the peer's is."""

    what: str
    value: float
    target: str


class Figure(msgspec.Struct, frozen=True):
    """One figure: ``values`` has what each contender measured, in ``unit``: its rounds, or each single time."""

    name: str
    setting: str
    unit: str
    values: dict[str, list[float]]
    ratios: list[Ratio] = []
    limits: list[Limit] = []


def take_turns(contenders: Mapping[str, Contender], rounds: int) -> dict[str, list[float]]:
    """Run each contender once a round, backwards in every second one: what disturbs the machine meets them all."""
    values: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name in list(contenders)[:: -1 if number % 2 else 1]:
            values[name].append(contenders[name]())
    return values


def ratio(values: Mapping[str, list[float]], ours: str, theirs: str, target: str) -> Ratio:
    """Compare two contenders round by round."""
    pairs = zip(values[ours], values[theirs], strict=True)
    return Ratio(ours, theirs, median(mine / other for mine, other in pairs), target)


def p99(values: Sequence[float]) -> float:
    """The 99th percentile (nearest rank)."""
    return sorted(values)[math.ceil(len(values) * 0.99) - 1]


def per_second(count: int, work: Callable[[], object]) -> float:
    """How many of ``count`` things the work does in a second."""
    return count / seconds(work)


clock = time.perf_counter


def seconds(work: Callable[[], object]) -> float:
    """How long the work takes, by the clock on the wall or by that of this process's threads."""
    start = clock()
    work()
    return clock() - start


def quiet() -> None:
    """As the command line is, which does not look for garbage among what was imported either (`entrypoints.start`)."""
    gc.freeze()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))


def count_cpu_time() -> None:
    """From now on: what a busy machine takes from a process, and the wait for a disk, do not count."""
    global clock  # noqa: PLW0603 one process measures by one clock
    clock = time.process_time


def fsync_ms(directory: Path, times: int = 100) -> float:
    """The median of appending 4 KiB to a file in this directory and flushing it."""
    path = directory / "flushed"
    with path.open("wb", buffering=0) as file:

        def write() -> None:
            file.write(bytes(4096))
            os.fsync(file.fileno())

        found = median(seconds(write) for _ in range(times))
    path.unlink()
    return found * 1000


def show(console: Console, figure: Figure) -> None:
    """Print a figure as a table of its contenders and one of its ratios."""
    columns: dict[str, Callable[[Sequence[float]], float]] = {"median": median, "least": min, "p99": p99, "most": max}
    if max(map(len, figure.values.values())) < 100:
        del columns["p99"]
    table = Table("", *columns, title=f"{figure.name}, {figure.unit}", caption=figure.setting)
    for name, values in figure.values.items():
        table.add_row(name, *(_rounded(column(values)) for column in columns.values()))
    console.print(table)
    for one in figure.ratios:
        console.print(f"  {one.ours} / {one.theirs} = {one.value:.2f}, target {one.target}", highlight=False)
    for limit in figure.limits:
        console.print(f"  {limit.what} = {_rounded(limit.value)}, target {limit.target}", highlight=False)
    console.print()


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
