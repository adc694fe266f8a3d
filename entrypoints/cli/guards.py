"""`purge` and `root`: what only a person can decide, each with a record of who did."""

import sys
from functools import partial
from pathlib import Path

import click

from application.claims import of_root
from domain.errors import NotFound
from domain.events import MediaRoot, PurgeIssued
from entrypoints.bootstrap import App
from entrypoints.cli.common import (
    Exit,
    actor,
    application,
    cause,
    json_option,
    print_event,
    print_json,
    recording,
    require_database,
    words,
)
from entrypoints.cli.progress import progress
from entrypoints.cli.render import err, out, table
from entrypoints.places import media_root


@click.command()
@click.option(
    "--confirm", "plan", required=True, metavar="PLAN_HASH", help="The plan, as `plan` prints it; it is used once."
)
@json_option
@click.pass_context
def purge(ctx: click.Context, plan: str, as_json: bool) -> None:
    """Carry out a purge that was refused because most of the batch's files are not what was recorded (R19).

    Only files that still are what was recorded go. If the disk is not as the plan says any more, there is a new plan.

    Example: trailkeep purge --confirm 5b6582e6d8da...
    """
    require_database(ctx)
    with recording(ctx) as app:
        app.read_model_projector.catch_up()
        rows = app.queries.plan(app.queries.planned_sessions())
        row = next((row for row in rows if row.plan_hash == plan), None)
        if row is None:
            raise NotFound("plan", plan, "the hash of a plan that waits to be confirmed; see `trailkeep plan`")
        with progress("checking") as advance:
            app.log_check.require_intact(partial(advance, "events"))
        with app.claims.holding(of_root(app.sessions.load(row.session_id).terms.media_root.root_id)):
            issued = app.purger.issue(row.session_id, row.batch, confirmed=plan, actor=actor())
            print_event(app, issued, as_json)
            confirmed = isinstance(issued.event, PurgeIssued)
            if confirmed:
                for recorded in app.purger.carry_out(row.session_id, row.batch):
                    print_event(app, recorded, as_json)
    if not confirmed:
        err.print("Error: the disk is not as the plan says any more; there is a new plan", style="bold red")
        sys.exit(Exit.REFUSED)


@click.group("root")
def root() -> None:
    """The media roots: which are trusted, and trust after a look at the disk (R17)."""


@root.command("list")
@json_option
@click.pass_context
def list_roots(ctx: click.Context, as_json: bool) -> None:
    """Every media root that the log knows, and what is held against it.

    Example: trailkeep root list
    """
    with application(ctx) as app:
        found = [(root, app.roots.examine(root)) for root in _roots(app)]
        if as_json:
            print_json([{"root": one.path, "root_id": one.root_id, "suspect": suspect} for one, suspect in found])
            return
        rows = ((one.path, one.root_id, f"suspect: {suspect}" if suspect else "trusted") for one, suspect in found)
        out.print(table(("media root", "id", "state"), rows))


@root.command("trust")
@click.argument("directory", metavar="DIR")
@click.option("--reason", required=True, help="What was looked at, in a line: it stays in the log.")
@json_option
@click.pass_context
def trust_root(ctx: click.Context, directory: str, reason: str, as_json: bool) -> None:
    """Trust a suspect media root as it is now: it gets its marker back and may be on another filesystem than before.

    Look first: `trailkeep verify` says what of it is lost. A purge goes on as soon as the root is trusted.

    Example: trailkeep root trust /srv/hls --reason "disk replaced, files copied with rsync -a"
    """
    words("reason", reason)
    path = media_root(directory, Path.cwd())
    require_database(ctx)
    with recording(ctx) as app:
        known = next((found for found in _roots(app) if found.path == path), None) or app.roots.unopened(path)
        if known is None:
            raise NotFound("root", path, "a media root that a session was opened on; see `trailkeep root list`")
        recorded = app.roots.trust(known, reason, cause())
        for one in recorded:
            print_event(app, one, as_json)
        if not recorded and not as_json:
            out.print("nothing was held against it")


def _roots(app: App) -> list[MediaRoot]:
    """The roots, each as its newest session knows it."""
    app.read_model_projector.catch_up()
    newest = {(one.root, one.root_id): one.session_id for one in app.read_models.sessions()}
    return [app.sessions.load(session_id).terms.media_root for session_id in newest.values()]
