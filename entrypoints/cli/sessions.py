"""`session` and `batch`: the verbs for producers of your own."""

from pathlib import Path
from typing import Any

import click

from application.generation import Terms
from domain.events import Availability, Disposition, Naming, Policy, SessionOpened
from domain.segments import DEFAULT_PATTERN, DEFAULT_WRAP, check_label
from entrypoints.bootstrap import App
from entrypoints.cli.common import (
    application,
    cause,
    json_option,
    print_event,
    print_json,
    recording,
    require_database,
    session_of,
    words,
)
from entrypoints.cli.render import moment, out, sentence, size, table
from entrypoints.places import media_root
from entrypoints.settings import NEWEST, check, default_window, milliseconds, seconds

COUNT = click.IntRange(max=NEWEST)


@click.group()
def session() -> None:
    """Open, close and look at sessions."""


@session.command("open")
@click.argument("channel")
@click.option("--root", required=True, metavar="DIR", help="The media root; CHANNEL/RENDITION/ is made below it.")
@click.option("--batch-size", required=True, type=int, metavar="B", help="Segments in a batch.")
@click.option("--rendition", "renditions", multiple=True, metavar="NAME", help="Repeat it for several; default: main.")
@click.option(
    "--wrap", type=COUNT, default=DEFAULT_WRAP, show_default=True, help="Names repeat after so many; 0: never."
)
@click.option("--segment-seconds", default="2", show_default=True, metavar="S", help="Nominal length of a segment.")
@click.option("--playlist-window", type=COUNT, metavar="W", help="Segments in a playlist; 0: none; default: 2 * B.")
@click.option(
    "--availability",
    type=click.Choice(Availability, case_sensitive=False),
    default=Availability.RFC8216.value,
    show_default=True,
    help="How long segments stay after they left the playlist: as RFC 8216 6.2.2 wants, or not at all.",
)
@json_option
@click.pass_context
def open_session(
    ctx: click.Context,
    channel: str,
    root: str,
    batch_size: int,
    renditions: tuple[str, ...],
    wrap: int,
    segment_seconds: str,
    playlist_window: int | None,
    availability: Availability,
    as_json: bool,
) -> None:
    """Open the channel's next session.

    Example: trailkeep session open news --root /srv/hls --batch-size 20 --rendition 720p
    """
    terms = Terms(
        channel=channel,
        root=media_root(root, Path.cwd()),
        batch_size=batch_size,
        renditions=renditions or ("main",),
        pattern=DEFAULT_PATTERN,
        wrap=wrap,
        segment_ms=milliseconds("segment_seconds", seconds(segment_seconds)),
        playlist_window=default_window(batch_size) if playlist_window is None else playlist_window,
        policy=Policy(availability=availability),
    )
    check(terms)
    with recording(ctx) as app:
        app.read_model_projector.catch_up()
        recorded = app.generation.open(terms, cause())
        if as_json:
            print_json(_session_json(app, recorded.envelope.session_id))
        else:
            out.print(sentence(recorded))
            out.print(f"session {recorded.envelope.session_id}", markup=False)


@session.command("close")
@click.argument("name", metavar="SESSION")
@click.option("--reason", default="closed by an operator", show_default=True)
@click.option(
    "--disposition",
    type=click.Choice(Disposition, case_sensitive=False),
    default=Disposition.KEEP.value,
    show_default=True,
    help="What becomes of its batches; purge: each goes once a newer one of the channel takes its place (R19).",
)
@json_option
@click.pass_context
def close_session(ctx: click.Context, name: str, reason: str, disposition: Disposition, as_json: bool) -> None:
    """Close a session; or settle anew what becomes of the batches of a closed one.

    Example: trailkeep session close news --disposition purge --reason "new batch size"
    """
    words("reason", reason)
    require_database(ctx)
    with recording(ctx) as app:
        found = session_of(app, name)
        print_event(app, app.generation.close(found.session_id, reason, disposition, cause()), as_json)


@session.command("list")
@click.option("--channel", help="Of this channel only.")
@json_option
@click.pass_context
def list_sessions(ctx: click.Context, channel: str | None, as_json: bool) -> None:
    """List sessions, oldest first.

    Example: trailkeep session list --json
    """
    if channel is not None:
        check_label("channel", channel)
    with application(ctx) as app:
        app.read_model_projector.catch_up()
        rows = app.read_models.sessions(channel)
        if as_json:
            print_json(rows)
            return
        columns = ("session", "channel", "no", "state", "opened (UTC)", "batches", "purged", "kept", "freed")
        out.print(
            table(
                columns,
                (
                    (
                        row.session_id,
                        row.channel,
                        str(row.ordinal),
                        row.state,
                        moment(row.opened_at),
                        str(row.batches_completed),
                        str(row.batches_purged),
                        size(row.bytes_kept),
                        size(row.bytes_freed),
                    )
                    for row in rows
                ),
            )
        )


@session.command("show")
@click.argument("name", metavar="SESSION")
@json_option
@click.pass_context
def show_session(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show one session: its terms and where it stands.

    Example: trailkeep session show news
    """
    require_database(ctx)
    with application(ctx) as app:
        app.read_model_projector.catch_up()
        found = _session_json(app, session_of(app, name).session_id)
        if as_json:
            print_json(found)
            return
        for key, value in found.items():
            out.print(f"{key:<18} {', '.join(value) if isinstance(value, tuple) else value}", markup=False)


def _session_json(app: App, session_id: str) -> dict[str, Any]:
    session = app.sessions.load(session_id)
    terms: SessionOpened = session.terms
    naming: Naming = terms.naming
    return {
        "session_id": session_id,
        "channel": terms.channel,
        "ordinal": terms.ordinal,
        "state": session.state,
        "root": terms.media_root.path,
        "root_id": terms.media_root.root_id,
        "batch_size": terms.batch_size,
        "renditions": terms.renditions,
        "pattern": naming.pattern,
        "wrap": naming.wrap,
        "segment_ms": terms.segment_ms,
        "playlist_window": terms.playlist_window,
        "policy": str(terms.policy),
        "next_batch": session.next_batch,
        "batches_completed": session.completed,
        "batches_purged": session.purged,
        "version": session.version,
    }
