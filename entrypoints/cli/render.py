"""How things look to people: times, sizes, reasons, and events as sentences."""

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from domain.events import (
    BatchCompleted,
    BatchFailed,
    BatchStarted,
    Because,
    PlaylistPublished,
    PurgeFailed,
    PurgeIssued,
    Recorded,
    SegmentsPurged,
    SessionClosed,
    SessionOpened,
)
from domain.lifecycle import BatchState

PIPE_WIDTH = 240
"""Columns of a table where no terminal sets the width."""

out = Console(highlight=False, soft_wrap=True)
if not out.is_terminal:
    out.width = PIPE_WIDTH
err = Console(stderr=True, highlight=False, soft_wrap=True)

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
    "SegmentsPurged": "bright_black",
    "PurgeFailed": "bold red",
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
        made.add_row(*row)
    return made


def state(value: str) -> Text:
    """A batch's state in its colour."""
    return Text(value, style=STYLES.get(BatchState(value), "") if value in set(BatchState) else "")


def sentence(recorded: Recorded) -> Text:
    """An event as one line: position, what, and the facts that matter."""
    name = type(recorded.event).__name__
    line = Text(f"{recorded.position:>5}  ", style="bright_black")
    line.append(f"{name:<17}", style=KINDS[name])
    line.append("  " + _facts(recorded))
    return line


def _facts(recorded: Recorded) -> str:  # noqa: PLR0911 - one arm an event
    match recorded.event:
        case SessionOpened() as event:
            return (
                f"channel {event.channel}, session {event.ordinal}: batches of {event.batch_size}, "
                f"{event.policy}, wrap {event.naming.wrap}"
            )
        case BatchStarted() as event:
            again = f", attempt {event.attempt}" if event.attempt > 1 else ""
            return f"batch {event.batch}{again}: segments {event.first_segment} to {event.last_segment}"
        case BatchCompleted() as event:
            total = size(sum(file.size for file in event.files))
            return f"batch {event.batch}: {len(event.files)} files verified and on disk, {total}"
        case BatchFailed() as event:
            return f"batch {event.batch}, attempt {event.attempt}: {event.reason}; nothing becomes due (R4)"
        case PlaylistPublished() as event:
            return f"segments {event.first_segment} to {event.last_segment}, {event.duration_ms / 1000:g} s"
        case PurgeIssued() as event:
            return f"batch {event.batch}: {event.files} files, {size(event.bytes)}, because {reason(event.because)}"
        case SegmentsPurged() as event:
            return f"batch {event.batch}: " + _outcome(event)
        case PurgeFailed() as event:
            errors = ", ".join(f"{file.name} ({file.errno})" for file in event.remaining)
            return (
                f"batch {event.batch}, attempt {event.attempt}: still there: {errors}; again {moment(event.retry_at)}"
            )
        case SessionClosed() as event:
            return f"{event.reason}; batches: {event.disposition}"


def _outcome(event: SegmentsPurged) -> str:
    parts = [f"{event.deleted} files deleted, {size(event.bytes_freed)} freed"]
    if event.already_absent:
        parts.append(f"{len(event.already_absent)} already absent")
    if event.superseded:
        parts.append(f"{len(event.superseded)} superseded and left alone (R11)")
    return ", ".join(parts)
