"""Progress bars for people who wait at a terminal; none when stderr is not one."""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from application.ports import EncodedSegment
from domain.events import BatchCompleted, BatchFailed, BatchStarted, Recorded, SessionOpened
from entrypoints.cli.render import err, out


@contextmanager
def progress(unit: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each thing that is called with what, done and total; it is gone at the end."""
    tasks: dict[str, Any] = {}
    with _bars() as bars:

        def advance(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(f"{unit} {what}", total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield advance


class _Shown(NamedTuple):
    """The bar of a batch."""

    batch: int
    task: TaskID


class GenerationBars:
    """A bar for each batch that is being generated: how many of its segments are closed.

    Producers, each in its thread, tell of segments; the log tells when a batch begins and ends, perhaps a little later.
    """

    def __init__(self, bars: Progress, terms: Mapping[str, SessionOpened]) -> None:
        self._bars, self._terms = bars, terms
        self._shown: dict[str, _Shown] = {}
        self._turn = threading.Lock()

    def closed(self, session_id: str, batch: int, _: EncodedSegment) -> None:
        """A segment of the batch was closed."""
        with self._turn:
            self._bars.advance(self._show(session_id, batch))
            self._bars.refresh()

    def recorded(self, recorded: Recorded) -> None:
        """An event, of any session."""
        event, session_id = recorded.event, recorded.envelope.session_id
        with self._turn:
            if session_id in self._terms and isinstance(event, BatchStarted):
                self._show(session_id, event.batch)
            elif isinstance(event, BatchCompleted | BatchFailed):
                shown = self._shown.get(session_id)
                if shown and shown.batch == event.batch:
                    self._bars.remove_task(self._shown.pop(session_id).task)

    def _show(self, session_id: str, batch: int) -> TaskID:
        shown, terms = self._shown.get(session_id), self._terms[session_id]
        if shown and shown.batch >= batch:
            return shown.task
        if shown:
            self._bars.remove_task(shown.task)
        task = self._bars.add_task(f"{terms.channel}: batch {batch}", total=terms.batch_size * len(terms.renditions))
        self._shown[session_id] = _Shown(batch, task)
        return task


@contextmanager
def generation_bars(terms: Mapping[str, SessionOpened]) -> Iterator[GenerationBars]:
    """Bars for sessions with these terms; what is printed meanwhile stands above them."""
    with _bars(TextColumn("segments")) as bars:
        yield GenerationBars(bars, terms)


def _bars(*columns: TextColumn) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *columns,
        TimeRemainingColumn(),
        console=_console(),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def _console() -> Console:
    """Of the two the one that lines are printed on while a bar is shown: so they do not write into each other."""
    return out if sys.stdout.isatty() else err
