"""How things look to people: times, sizes, reasons, events as sentences, and names that somebody else chose."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from domain.events import (
    BatchCompleted,
    BatchFailed,
    BatchStarted,
    Because,
    Event,
    FileIdentity,
    LossAccepted,
    OrphansCondemned,
    OrphansRemoved,
    PlaylistPublished,
    PurgeFailed,
    PurgeIssued,
    PurgeRefused,
    Recorded,
    RootSuspected,
    RootTrusted,
    SegmentsLost,
    SegmentsPurged,
    SessionClosed,
    SessionOpened,
)
from domain.lifecycle import BatchState

PIPE_WIDTH = 240
"""Columns of a table where no terminal sets the width."""


def shown(text: str) -> str:
    """Text from outside as a terminal may have it: in one line, and with escapes for all that is not printable.

    A name could otherwise move the cursor, set colours and titles, turn the line around, or forge another line.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


class _Lines(Console):
    """A console that prints `shown` text; what begins with a newline is set apart by an empty line."""

    def print(self, *objects: Any, **options: Any) -> None:
        """As `Console.print`."""
        super().print(*(_shown_line(one) if isinstance(one, str) else one for one in objects), **options)


def _shown_line(text: str) -> str:
    line = text.lstrip("\n")
    return text[: -len(line) or None] + shown(line)


out = _Lines(highlight=False, soft_wrap=True)
if not out.is_terminal:
    out.width = PIPE_WIDTH
err = _Lines(stderr=True, highlight=False, soft_wrap=True)

STYLES = {
    BatchState.GENERATING: "yellow",
    BatchState.FAILED: "bold red",
    BatchState.COMPLETED: "green",
    BatchState.PURGING: "magenta",
    BatchState.PURGED: "bright_black",
}
KINDS = {
    "SessionOpened": "cyan",
    "BatchStarted": "yellow",
    "BatchCompleted": "green",
    "BatchFailed": "bold red",
    "PlaylistPublished": "blue",
    "PurgeIssued": "magenta",
    "PurgeRefused": "bold red",
    "SegmentsPurged": "bright_black",
    "PurgeFailed": "bold red",
    "SegmentsLost": "bold red",
    "OrphansCondemned": "magenta",
    "OrphansRemoved": "bright_black",
    "RootSuspected": "bold red",
    "RootTrusted": "green",
    "LossAccepted": "bold red",
    "SessionClosed": "cyan",
}


def moment(at: int | None) -> str:
    """A time in microseconds as people read it, UTC."""
    return "" if at is None else datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def size(count: int) -> str:
    """Bytes with a binary unit."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def reason(because: Because | None) -> str:
    """Why a batch goes or went."""
    if because is None:
        return ""
    return f"{because.rule}: batch {because.completed_batch} completed (at {because.completed_position})"


def table(columns: Iterable[str], rows: Iterable[Iterable[str | Text]]) -> Table:
    """A plain table; every cell is text."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column, no_wrap=True)
    for row in rows:
        made.add_row(*(Text(shown(cell)) if isinstance(cell, str) else cell for cell in row))
    return made


def state(value: str) -> Text:
    """A batch's state in its colour."""
    return Text(value, style=STYLES.get(BatchState(value), "") if value in set(BatchState) else "")


def sentence(recorded: Recorded, channel: str = "") -> Text:
    """An event as one line: position, what, whose (if that is given), and the facts that matter."""
    name = type(recorded.event).__name__
    line = Text()
    line.append(f"{recorded.position:>5}  ", style="bright_black")
    line.append(f"{name:<17}", style=KINDS[name])
    whose = f"{channel}: " if channel else ""
    line.append("  " + shown(whose + _facts(recorded)))
    return line


def _facts(recorded: Recorded) -> str:
    event = recorded.event
    return _of_generating(event) or _of_purging(event) or _of_guarding(event)


def _of_generating(event: Event) -> str:  # noqa: PLR0911 - one arm an event
    match event:
        case SessionOpened():
            return (
                f"channel {event.channel}, session {event.ordinal}: batches of {event.batch_size}, "
                f"{event.policy}, wrap {event.naming.wrap}"
            )
        case BatchStarted():
            again = f", attempt {event.attempt}" if event.attempt > 1 else ""
            there = f"; files of these names that are there: {len(event.present)}" if event.present else ""
            return f"batch {event.batch}{again}: segments {event.first_segment} to {event.last_segment}{there}"
        case BatchCompleted():
            total = size(sum(file.size for file in event.files))
            return f"batch {event.batch}: {len(event.files)} files verified and on disk, {total}"
        case BatchFailed():
            return f"batch {event.batch}, attempt {event.attempt}: {event.reason}; nothing becomes due (R4)"
        case PlaylistPublished():
            return f"segments {event.first_segment} to {event.last_segment}, {event.duration_ms / 1000:g} s"
        case SessionClosed():
            return f"{event.reason}; batches: {event.disposition}"
    return ""


def _of_purging(event: Event) -> str:
    match event:
        case PurgeIssued():
            return f"batch {event.batch}: {event.files} files, {size(event.bytes)}, because {reason(event.because)}"
        case PurgeRefused():
            few = f"only {event.matching} of its files are what was recorded"
            confirm = f"trailkeep purge --confirm {event.plan}"
            return f"batch {event.batch}: {few}; nothing was deleted (R19); look, then: {confirm}"
        case SegmentsPurged():
            return f"batch {event.batch}: " + _outcome(event)
        case PurgeFailed():
            errors = ", ".join(f"{file.name} ({file.errno})" for file in event.remaining)
            again = f"again {moment(event.retry_at)}"
            return f"batch {event.batch}, attempt {event.attempt}: still there: {errors}; {again}"
    return ""


def _of_guarding(event: Event) -> str:  # noqa: PLR0911 - one arm an event
    match event:
        case SegmentsLost():
            return f"batch {event.batch}: lost, and taken note of: {_names(event.files)}{_why(event.reason)}"
        case OrphansCondemned():
            names = _names(event.files) + _why(event.reason)
            return f"{len(event.files)} files that no event explains are to go: {names}"
        case OrphansRemoved():
            left = f", {len(event.remaining)} could not be deleted" if event.remaining else ""
            return _outcome(event) + left
        case RootSuspected():
            return f"{event.root.path}: {event.reason}; nothing is generated or purged below it (R17)"
        case RootTrusted():
            return f"{event.root.path}: {event.reason}"
        case LossAccepted():
            positions = ", ".join(str(one.position) for one in event.events[:3])
            more = "" if len(event.events) <= 3 else f" and {len(event.events) - 3} more"
            lost = f"the log lost what it had at {positions}{more}"
            return f"{event.root.path}: {lost}; purging goes on without that; {event.reason}"
    return ""


def _why(reason: str) -> str:
    return f"; {reason}" if reason else ""


def _names(files: Sequence[FileIdentity]) -> str:
    shown = ", ".join(file.file for file in files[:3])
    return shown if len(files) <= 3 else f"{shown} and {len(files) - 3} more"


def _outcome(event: SegmentsPurged | OrphansRemoved) -> str:
    parts = [f"{event.deleted} files deleted, {size(event.bytes_freed)} freed"]
    if event.already_absent:
        parts.append(f"{len(event.already_absent)} already absent")
    if event.superseded:
        parts.append(f"{len(event.superseded)} superseded and left alone (R11)")
    return ", ".join(parts)
