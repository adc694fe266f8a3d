"""`run`, `project`, `recover`: what changes disks."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from application.generation import Terms
from application.handlers import Cause
from application.producer import ACTOR
from application.recovery import Recovery
from domain.errors import LogDamaged, Refused
from domain.events import Recorded
from domain.lifecycle import SessionState
from domain.session import Session
from entrypoints.bootstrap import App
from entrypoints.cli.common import Channels, Exit, json_option, print_event, print_json, recorded_since, recording, say
from entrypoints.cli.progress import generation_bars, progress
from entrypoints.cli.render import err, out
from entrypoints.encoders import encoder_for
from entrypoints.projectors import project as project_once
from entrypoints.settings import load_config, producer_settings, terms_of
from entrypoints.worker import Production, Worker
from persistence.urls import beside


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--batches", type=click.IntRange(min=1), metavar="N", help="End after N completed batches of each channel."
)
@click.pass_context
def run(ctx: click.Context, config: Path, batches: int | None) -> None:
    """Produce, project and purge the channels of a configuration until stopped.

    SIGINT and SIGTERM end it in order: a running encoder is ended, its batch recorded as failed, and nothing is lost.

    Example: trailkeep run news.toml --batches 12
    """
    loaded, directory = load_config(config), config.parent.absolute()
    encoders = [encoder_for(channel, directory) for channel in loaded.channel]
    configured = None if loaded.database is None else beside(loaded.database, directory)
    with recording(ctx, configured) as app:
        app.read_model_projector.catch_up()
        before = app.log.head()
        sessions = sessions_for(app, [terms_of(channel, directory) for channel in loaded.channel])
        productions = [
            Production(session.session_id, channel.name, producer_settings(channel), encoder)
            for session, channel, encoder in zip(sessions, loaded.channel, encoders, strict=True)
        ]
        channels = Channels(app)
        try:
            with progress("recovering") as advance:
                recovery = app.recoverer.recover(advance)
        except LogDamaged:
            for recorded in recorded_since(app, before):
                out.print(channels.sentence(recorded))
            raise
        for left in recovery.left:
            say(f"left: {left}")
        with generation_bars({session.session_id: session.terms for session in sessions}) as bars:

            def tell(recorded: Recorded) -> None:
                out.print(channels.sentence(recorded))
                bars.recorded(recorded)

            gave_up = Worker(app, bars.closed).run(productions, batches, tell, after=before)
    for channel, error in gave_up.items():
        err.print(f"Error: channel {channel}: {error}", style="bold red", markup=False)
    if gave_up:
        sys.exit(Exit.ERROR)


def sessions_for(app: App, wanted: Sequence[Terms]) -> list[Session]:
    """The channels' open sessions, or new ones; none is opened before all that are open are known to fit.

    Raises:
        Refused: an open session has other terms than the configuration.

    """
    found = [open_session(app, terms) for terms in wanted]
    return [session or _opened(app, terms) for session, terms in zip(found, wanted, strict=True)]


def _opened(app: App, terms: Terms) -> Session:
    """A new session of the channel, or the one that another worker opened in this moment."""
    try:
        return app.sessions.load(app.generation.open(terms, Cause(ACTOR)).envelope.session_id)
    except Refused:
        if found := open_session(app, terms):
            return found
        raise


def open_session(app: App, terms: Terms) -> Session | None:
    """The channel's open session, if it has one; errors as `sessions_for`."""
    found = app.sessions.newest_of(terms.channel)
    if found is None or found.state is SessionState.CLOSED:
        return None
    given = found.terms
    compared: dict[str, tuple[Any, Any]] = {
        "root": (terms.root, given.media_root.path),
        "batch_size": (terms.batch_size, given.batch_size),
        "rendition": (terms.renditions, given.renditions),
        "pattern": (terms.pattern, given.naming.pattern),
        "wrap": (terms.wrap, given.naming.wrap),
        "segment_seconds": (terms.segment_ms / 1000, given.segment_ms / 1000),
        "playlist_window": (terms.playlist_window, given.playlist_window),
        "policy": (str(terms.policy), str(given.policy)),
    }
    for field, (said, holds) in compared.items():
        if said != holds:
            raise Refused(
                "R20",
                f"channel {terms.channel}: {field}",
                said,
                f"its open session has {holds!r}; close it first: trailkeep session close {terms.channel}",
            )
    return found


@click.command()
@click.option("--follow", is_flag=True, help="Go on until stopped.")
@json_option
@click.pass_context
def project(ctx: click.Context, follow: bool, as_json: bool) -> None:
    """Issue and carry out what is due; every deletion is authorised in the log first, and its outcome recorded.

    Example: trailkeep project --follow
    """
    with recording(ctx) as app:
        channels = Channels(app)

        def tell(recorded: Recorded) -> None:
            if as_json:
                print_event(app, recorded, as_json)
            else:
                out.print(channels.sentence(recorded))

        if follow:
            Worker(app).run((), None, tell)
            return
        with progress("purging") as advance:
            done = project_once(app, advance)
        for recorded in done.recorded:
            tell(recorded)
        refused = app.queries.refused()
        if not (done.recorded or done.paused or refused or as_json):
            out.print("nothing was due")
    complaints = [f"purging of media root {path} pauses: {reason}" for path, reason in done.paused.items()]
    complaints += [
        f"channel {one.channel}: the purge of batch {one.batch} is refused: {one.blocked_by}" for one in refused
    ]
    for complaint in complaints:
        err.print(f"Error: {complaint}", style="bold red", markup=False)
    if complaints:
        sys.exit(Exit.REFUSED)


@click.command()
@json_option
@click.pass_context
def recover(ctx: click.Context, as_json: bool) -> None:
    """End what a crash left open: batches without a producer, purges without an outcome. Again, it adds nothing.

    Example: trailkeep recover
    """
    with recording(ctx) as app:
        before = app.log.head()
        try:
            with progress("recovering") as advance:
                done = app.recoverer.recover(advance)
        except LogDamaged:
            if ended := recorded_since(app, before):
                _tell_recovery(app, Recovery(tuple(ended), ()), as_json)
            raise
        _tell_recovery(app, done, as_json)


def _tell_recovery(app: App, done: Recovery, as_json: bool) -> None:
    if as_json:
        print_json({"recorded": [one.position for one in done.recorded], "left": done.left})
        return
    channels = Channels(app)
    for recorded in done.recorded:
        out.print(channels.sentence(recorded))
    for left in done.left:
        out.print(f"left: {left}", markup=False)
    out.print(f"{len(done.recorded)} events recorded" if done.recorded else "nothing was left open", markup=False)
