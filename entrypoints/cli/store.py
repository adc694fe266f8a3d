"""`rebuild`, `db`, `doctor`: the database and the machine."""

import platform
import subprocess
import sys
from collections.abc import Callable, Iterator

import click

from domain.errors import LogDamaged, TrailkeepError
from entrypoints.bootstrap import App, database
from entrypoints.cli.common import Exit, application, database_url, json_option, print_json
from entrypoints.cli.progress import progress
from entrypoints.cli.reconciliation import reconcile
from entrypoints.cli.render import out, size
from entrypoints.encoders import ffmpeg
from persistence import schema
from persistence.engine import file_of, open_engine
from persistence.storage import Finding, checks_of

FAULTS = 3
"""Faults of the log that `doctor` names; `verify` names them all."""


@click.command()
@click.pass_context
def rebuild(ctx: click.Context) -> None:
    """Drop the read models and make them again from the log; the log itself is only read.

    Example: trailkeep rebuild
    """
    with application(ctx) as app, progress("rebuilding") as advance:
        total = app.log.head()
        app.snapshots.clear()
        app.agenda.clear()
        app.retention.catch_up()
        last = app.read_model_projector.rebuild(lambda position: advance("events", position, total))
    out.print(f"read models rebuilt from {last} events")


@click.group()
def db() -> None:
    """The database: its schema, and whether it lost events."""


db.add_command(reconcile)


@db.command()
@click.pass_context
def upgrade(ctx: click.Context) -> None:
    """Bring the database to the schema of this Trailkeep.

    Example: trailkeep db upgrade
    """
    with database(database_url(ctx)) as engine:
        before = schema.upgrade(engine)
    out.print(f"schema {schema.HEAD}" + ("" if before == schema.HEAD else f", was {before or 'empty'}"), markup=False)


@db.command()
@json_option
@click.pass_context
def current(ctx: click.Context, as_json: bool) -> None:
    """Show the database's schema and the one that this Trailkeep works with.

    Example: trailkeep db current
    """
    engine = open_engine(database_url(ctx))
    file = file_of(engine)
    try:
        found = schema.current(engine) if file is None or file.exists() else None
    finally:
        engine.dispose()
    if as_json:
        print_json({"current": found, "head": schema.HEAD})
        return
    out.print(f"{found or 'empty'} (this Trailkeep works with {schema.HEAD})", markup=False)


@click.command()
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Look at the machine and the store, and say what is not as it should be.

    Example: trailkeep doctor
    """
    findings = [*_machine(database_url(ctx))]
    try:
        with application(ctx) as app, progress("checking") as advance:
            findings.extend(_store(app, advance))
    except TrailkeepError as error:
        findings.append(("database", False, str(error)))
    healthy = all(good for _, good, _ in findings)
    if as_json:
        print_json(
            {"ok": healthy, "findings": [{"what": what, "ok": good, "found": found} for what, good, found in findings]}
        )
    else:
        for what, good, found in findings:
            out.print(
                f"{'ok  ' if good else 'BAD '} {what}: {found}", style="green" if good else "bold red", markup=False
            )
    if not healthy:
        sys.exit(Exit.ERROR)


def _machine(url: str) -> Iterator[Finding]:
    yield "python", True, platform.python_version()
    yield checks_of(open_engine(url)).library()
    try:
        path = ffmpeg()
        first = subprocess.run([path, "-version"], capture_output=True, text=True, check=True, timeout=20).stdout  # noqa: S603 - the operator chose it
        yield "ffmpeg", True, f"{first.splitlines()[0][:40]} ({path})"
    except (TrailkeepError, OSError, subprocess.SubprocessError) as error:
        yield "ffmpeg", False, str(error)


def _store(app: App, advance: Callable[[str, int, int], None]) -> Iterator[Finding]:
    yield "database", True, f"{app.url}, schema {schema.HEAD}, {app.log.head()} events, store {app.log.store_id()}"
    yield from checks_of(app.engine).findings(app.engine)
    log = app.verifier.check_log(advance)
    more = f"; and {len(log.faults) - FAULTS} more" if len(log.faults) > FAULTS else ""
    found = "; ".join(log.faults[:FAULTS]) + more
    yield "log lines", log.ok, found or f"{log.events} as they were recorded, root {log.root}"
    if log.ok:
        app.read_model_projector.catch_up()
    yield _journals(app)
    newest = {one.root: one.session_id for one in app.read_models.sessions()}
    for root, session_id in newest.items():
        suspect = _suspicion(app, session_id)
        yield f"media root {root}", not suspect, suspect or f"trusted, {size(app.files.free_bytes(root))} free"


def _journals(app: App) -> Finding:
    """Whether the log has what the journals of the media roots tell of it."""
    roots = app.journal.roots()
    complaints = [str(one) for one in app.journal.complaints(roots)]
    return "journals", not complaints, "; ".join(complaints) or f"of {len(roots)} media roots: the log has all of it"


def _suspicion(app: App, session_id: str) -> str | None:
    """What is held against the session's media root; a damaged log cannot tell."""
    try:
        return app.roots.examine(app.sessions.load(session_id).terms.media_root)
    except LogDamaged as damaged:
        return str(damaged)
