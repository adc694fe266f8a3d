"""`plan`, `events`, `history`, `explain`, `replay`, `verify`: questions, answered from the log. None deletes."""

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec
from rich.text import Text

from domain.errors import Invalid
from domain.events import Recorded
from entrypoints.bootstrap import App
from entrypoints.cli.common import (
    Channels,
    application,
    json_option,
    print_json,
    require_database,
    session_of,
    with_position,
)
from entrypoints.cli.render import moment, out, reason, sentence, shown, size, state, table
from entrypoints.places import expanded
from entrypoints.settings import NEWEST

FOLLOW_S = 0.25
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@click.command()
@json_option
@click.pass_context
def plan(ctx: click.Context, as_json: bool) -> None:
    """What is due, from when, and why. It touches nothing; a run does just this (R18).

    Example: trailkeep plan
    """
    with application(ctx) as app:
        app.read_model_projector.catch_up()
        rows = app.queries.plan(app.queries.planned_sessions())
        if as_json:
            print_json(rows)
            return
        if not rows:
            out.print("nothing is due")
            return
        columns = ("channel", "batch", "due (UTC)", "files", "bytes", "because", "blocked by")
        out.print(
            table(
                columns,
                (
                    (
                        row.channel,
                        str(row.batch),
                        moment(row.due_at),
                        str(row.files),
                        size(row.bytes),
                        reason(row.because),
                        row.blocked_by or "",
                    )
                    for row in rows
                ),
            )
        )


@click.command()
@click.argument("name", metavar="[SESSION]", required=False)
@click.option("--after", type=click.IntRange(0, NEWEST), default=0, metavar="POSITION", help="Only events after it.")
@click.option("--follow", is_flag=True, help="Go on with what is recorded from now.")
@json_option
@click.pass_context
def events(ctx: click.Context, name: str | None, after: int, follow: bool, as_json: bool) -> None:
    """The log, in order; with --json each line as it was recorded, with its position put first.

    Example: trailkeep events news --after 120 --json
    """
    if name:
        require_database(ctx)
    with application(ctx) as app:
        session_id = session_of(app, name).session_id if name else None
        tell = sentence if name else Channels(app).sentence
        while True:
            after = _show_lines(app, after, session_id, None if as_json else tell)
            if not follow:
                return
            try:
                app.signal.wait(FOLLOW_S)
            except KeyboardInterrupt:
                return


def _show_lines(app: App, after: int, session_id: str | None, tell: Callable[[Recorded], Text] | None) -> int:
    """Print what there is after a position, of one session or of all, as JSON where nothing tells it; return where."""
    answer = sys.stdout.buffer
    try:
        for line in app.queries.lines_of(session_id, after) if session_id else app.queries.lines(after):
            after = line.position
            if tell is None:
                answer.write(with_position(line.position, line.line) + b"\n")
            else:
                out.print(tell(app.log.examine(line)))
    finally:
        answer.flush()
    return after


@click.command()
@click.argument("name", metavar="SESSION")
@click.option("--at", metavar="TIME", help="The disk as it was then: ISO 8601, UTC where no zone is given.")
@json_option
@click.pass_context
def history(ctx: click.Context, name: str, at: str | None, as_json: bool) -> None:
    """Every batch of a session: made, kept, purged, why, and how many bytes.

    Example: trailkeep history news --at 2026-11-23T18:00:00Z
    """
    then = None if at is None else _time(at)
    require_database(ctx)
    with application(ctx) as app:
        app.read_model_projector.catch_up()
        found = session_of(app, name).session_id
        rows = app.queries.history(found) if then is None else app.queries.history_at(found, then)
        if as_json:
            print_json(rows)
            return
        columns = (
            "batch",
            "state",
            "attempt",
            "files",
            "bytes",
            "completed (UTC)",
            "purged (UTC)",
            "because",
            "outcome",
        )
        out.print(
            table(
                columns,
                (
                    (
                        str(row.batch),
                        state(row.state),
                        str(row.attempt),
                        str(row.files),
                        size(row.bytes),
                        moment(row.completed_at),
                        moment(row.purged_at),
                        reason(row.because),
                        row.outcome or "",
                    )
                    for row in rows
                ),
            )
        )


def _time(value: str) -> int:
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise Invalid("at", value, "an ISO 8601 time such as 2026-11-23T18:00:00Z") from None
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - EPOCH) // timedelta(microseconds=1)


@click.command()
@click.argument("file")
@json_option
@click.pass_context
def explain(ctx: click.Context, file: str, as_json: bool) -> None:
    """Why this file is there, or when and why it went.

    Example: trailkeep explain /srv/hls/news/720p/720p_segment_042.ts
    """
    if not file:
        raise Invalid("file", file, "the path of a file")
    path = expanded("file", file).absolute()
    require_database(ctx)
    with application(ctx) as app:
        app.read_model_projector.catch_up()
        found = app.explainer.explain(os.path.normpath(Path(os.path.realpath(path.parent), path.name)))
        found = msgspec.structs.replace(found, file=os.fsencode(found.file).decode(errors="backslashreplace"))
        if as_json:
            print_json(found)
            return
        out.print(found.file, markup=False)
        out.print(f"{found.status}: {found.because}", markup=False)
        if found.batch is not None:
            out.print(f"segment {found.segment}, batch {found.batch} of session {found.session_id}", markup=False)
        for position in found.events:
            recorded = app.log.read(after=position - 1, limit=1)[0]
            line = sentence(recorded)
            by = shown(recorded.envelope.actor)
            line.append(f"   {moment(recorded.envelope.recorded_at)}, {by}", style="bright_black")
            out.print(line)


@click.command()
@click.argument("name", metavar="SESSION")
@click.option("--to", "last", type=click.IntRange(1, NEWEST), metavar="VERSION", help="Stop after this version.")
@json_option
@click.pass_context
def replay(ctx: click.Context, name: str, last: int | None, as_json: bool) -> None:
    """The session's state after each of its events: a function of the log and nothing else (R14).

    Example: trailkeep replay news --to 40
    """
    require_database(ctx)
    with application(ctx) as app:
        found = session_of(app, name)
        for recorded, after in app.sessions.steps(found.session_id):
            version = recorded.envelope.version
            if last is not None and version > last:
                break
            if as_json:
                print_json({"position": recorded.position, "event": type(recorded.event).__name__, "state": after})
                continue
            line = sentence(recorded)
            line.append(f"   -> {after.state}: ", style="bright_black")
            for batch in after.batches.values():
                line.append(f"{batch.number} ").append_text(state(batch.state)).append(" ")
            out.print(line)
