"""`rebuild`, `db`, `doctor`: the database and the machine."""

import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from domain.errors import LogDamaged, TrailkeepError
from entrypoints.bootstrap import App, default_url, embedded
from entrypoints.cli.common import Exit, application, json_option, print_json
from entrypoints.cli.progress import progress
from entrypoints.cli.render import out, size
from entrypoints.encoders import ffmpeg
from persistence import schema
from persistence.engine import open_engine, sqlite_library

SAFE_SQLITE = (3, 51, 3)
"""The first SQLite without the WAL-reset corruption bug."""

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
    """The database's schema."""


@db.command()
@click.pass_context
def upgrade(ctx: click.Context) -> None:
    """Bring the database to the schema of this Trailkeep.

    Example: trailkeep db upgrade
    """
    with embedded(ctx.find_root().params.get("database") or default_url()) as engine:
        before = schema.upgrade(engine)
    out.print(f"schema {schema.HEAD}" + ("" if before == schema.HEAD else f", was {before or 'empty'}"), markup=False)


@db.command()
@json_option
@click.pass_context
def current(ctx: click.Context, as_json: bool) -> None:
    """Show the database's schema and the one that this Trailkeep works with.

    Example: trailkeep db current
    """
    url = ctx.find_root().params.get("database") or default_url()
    engine = open_engine(url)
    found = schema.current(engine) if Path(url.partition(":///")[2]).exists() else None
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
    findings = [*_machine()]
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


Finding = tuple[str, bool, str]


def _machine() -> Iterator[Finding]:
    yield "python", True, platform.python_version()
    version, driver = sqlite_library()
    good = tuple(int(part) for part in version.split(".")) >= SAFE_SQLITE
    advice = "" if good else "; before 3.51.3 a WAL reset can corrupt the database: use a Python with a newer SQLite"
    yield "sqlite", good, f"{version} ({driver.__name__}){advice}"
    try:
        path = ffmpeg()
        first = subprocess.run([path, "-version"], capture_output=True, text=True, check=True, timeout=20).stdout  # noqa: S603 - the operator chose it
        yield "ffmpeg", True, f"{first.splitlines()[0][:40]} ({path})"
    except (TrailkeepError, OSError, subprocess.SubprocessError) as error:
        yield "ffmpeg", False, str(error)


def _store(app: App, advance: Callable[[str, int, int], None]) -> Iterator[Finding]:
    yield "database", True, f"{app.url}, schema {schema.HEAD}, {app.log.head()} events, store {app.log.store_id()}"
    with app.engine.connect() as connection:
        faults = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA quick_check") if row[0] != "ok"]
    yield "database pages", not faults, "; ".join(faults) or "intact"
    log = app.verifier.check_log(advance)
    more = f"; and {len(log.faults) - FAULTS} more" if len(log.faults) > FAULTS else ""
    found = "; ".join(log.faults[:FAULTS]) + more
    yield "log lines", log.ok, found or f"{log.events} as they were recorded, root {log.root}"
    if log.ok:
        app.read_model_projector.catch_up()
    newest = {one.root: one.session_id for one in app.read_models.sessions()}
    for root, session_id in newest.items():
        suspect = _suspicion(app, session_id)
        yield f"media root {root}", not suspect, suspect or f"trusted, {size(app.files.free_bytes(root))} free"


def _suspicion(app: App, session_id: str) -> str | None:
    """What is held against the session's media root; a damaged log cannot tell."""
    try:
        return app.roots.examine(app.sessions.load(session_id).terms.media_root)
    except LogDamaged as damaged:
        return str(damaged)
