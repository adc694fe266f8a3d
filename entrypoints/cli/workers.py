"""`workers`: who does what, where several hosts share a log."""

from collections.abc import Mapping
from typing import Any

import click

from application.ports import Lease
from entrypoints.bootstrap import App
from entrypoints.cli.common import application, json_option, print_json
from entrypoints.cli.render import moment, out, table


@click.command()
@json_option
@click.pass_context
def workers(ctx: click.Context, as_json: bool) -> None:
    """Show which worker produces which session and purges which media root, since when and until when.

    A worker renews what it has; what ran out goes to whoever takes it next.

    Example: trailkeep workers
    """
    with application(ctx) as app:
        if app.leases is None and not as_json:
            out.print("one machine has this database to itself: its processes hold locks of the disk, and no leases")
            return
        if not as_json:
            app.read_model_projector.catch_up()
        leases = app.leases.all() if app.leases else []
        paths = {root_id: path for path, root_id in app.read_models.roots()} if leases else {}
        rows = [_row(app, lease, paths) for lease in leases]
    if as_json:
        print_json(rows)
        return
    names = ("what", "of", "worker", "epoch", "since", "until", "")
    out.print(table(names, [_shown(row) for row in rows]))


def _row(app: App, lease: Lease, paths: Mapping[str, str]) -> dict[str, Any]:
    kind, _, of = lease.resource.partition(":")
    return {
        "resource": lease.resource,
        "kind": kind,
        "of": _channel(app, of) if kind == "session" else paths.get(of, of),
        "worker": lease.owner,
        "host": lease.host,
        "epoch": lease.epoch,
        "since": lease.acquired_at,
        "until": lease.expires_at,
        "live": lease.live,
    }


def _channel(app: App, session_id: str) -> str:
    """Its name; the id, of a session that the read models do not know. So it is with the path of a root."""
    found = app.read_models.session(session_id)
    return found.channel if found else session_id


def _shown(row: dict[str, Any]) -> tuple[str, ...]:
    what = "produces" if row["kind"] == "session" else "purges"
    state = "" if row["live"] else "ran out"
    return what, row["of"], row["worker"], str(row["epoch"]), moment(row["since"]), moment(row["until"]), state
