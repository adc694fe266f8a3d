"""`db reconcile`: what the media know and the log does not, and an operator's word on it."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from application.reconcile import Reconciliation
from entrypoints.bootstrap import App
from entrypoints.cli.common import (
    Exit,
    application,
    cause,
    json_option,
    print_event,
    print_json,
    recording,
    require_database,
    words,
)
from entrypoints.cli.render import moment, out, table
from entrypoints.places import media_root

ADVICE = """
The log does not have these events, and so does not know what they say: what was made, purged, or to be kept.
If there is a database that has them (the primary of before, a younger backup), put it in the place of this one.
If there is none, and you have seen what is missing, purging goes on with:
  trailkeep db reconcile --accept --reason TEXT
Files of a batch whose BatchCompleted is missing are orphans then, those of a batch whose PurgeIssued is missing are
lost: `trailkeep verify` names them, `trailkeep repair` takes them up. A session whose SessionClosed is missing is open.
"""


IN_THE_WAY = "until the log has passed them, or that playlist is removed, the channel gets no new one and loses no file"


@click.command()
@click.option(
    "--root", "directories", multiple=True, metavar="DIR", help="A media root that the log may not know any more."
)
@click.option("--accept", is_flag=True, help="Take note of what is missing, so that purging goes on.")
@click.option("--reason", default="", help="Why, in a line: it stays in the log.")
@json_option
@click.pass_context
def reconcile(ctx: click.Context, directories: tuple[str, ...], accept: bool, reason: str, as_json: bool) -> None:
    """Say which events the log lost, as the journals of the media roots tell. It only reads, without --accept.

    Exit code 3 tells that something is missing.

    Example: trailkeep db reconcile --root /srv/hls
    """
    others = [media_root(directory, Path.cwd()) for directory in directories]
    require_database(ctx)
    if accept:
        words("reason", reason)
        with recording(ctx) as app:
            _accept(app, others, reason, as_json)
        return
    with application(ctx) as app:
        app.read_model_projector.catch_up()
        found = app.reconciler.find(others)
    if as_json:
        print_json(found)
    else:
        _print(found)
    if found.missing or found.playlists:
        sys.exit(Exit.DISCREPANCY)
    if found.unread:
        sys.exit(Exit.ERROR)


def _accept(app: App, others: Sequence[str], reason: str, as_json: bool) -> None:
    app.read_model_projector.catch_up()
    recorded = app.reconciler.accept(reason, cause(), others)
    for one in recorded:
        print_event(app, one, as_json)
    if as_json:
        return
    if not recorded:
        out.print("nothing was missing that was not accepted before")
    for playlist in app.reconciler.in_the_way():
        out.print(f"{playlist}: {IN_THE_WAY}", markup=False)


def _print(found: Reconciliation) -> None:
    if found.missing:
        columns = ("position", "recorded (UTC)", "event", "channel", "batch", "session", "media root")
        out.print(
            table(
                columns,
                (
                    (
                        str(one.position),
                        moment(one.recorded_at),
                        one.type,
                        one.channel,
                        "" if one.batch is None else str(one.batch),
                        one.session_id,
                        one.root,
                    )
                    for one in found.missing
                ),
            )
        )
        for line in ADVICE.strip().splitlines():
            out.print(line, markup=False)
    for one in found.playlists:
        out.print(f"playlist: {one}", markup=False)
    for one in found.unread:
        out.print(f"not looked at: {one}", markup=False)
    if not (found.missing or found.playlists):
        out.print(f"the log has what the journals of {len(found.roots)} media roots tell of it")
