"""`run`, `project`, `recover`: what changes disks."""

import sys
from pathlib import Path
from typing import Any

import click

from application.handlers import Cause
from application.producer import ACTOR
from domain.errors import Refused
from domain.events import Recorded
from domain.lifecycle import SessionState
from entrypoints.bootstrap import App, opened
from entrypoints.cli.common import Exit, application, json_option, print_json, say, show_event
from entrypoints.cli.render import err, out, sentence
from entrypoints.encoders import encoder_for
from entrypoints.settings import ChannelConfig, load_config, producer_settings, terms_of
from entrypoints.worker import Production, Worker
from entrypoints.worker import project as project_once


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
    url = ctx.find_root().params.get("database") or loaded.database
    with opened(url, say=say) as app:
        app.read_model_projector.catch_up()
        productions = [
            Production(session_for(app, channel, directory), channel.name, producer_settings(channel), encoder)
            for channel, encoder in zip(loaded.channel, encoders, strict=True)
        ]
        recovery = app.recoverer.recover()
        for recorded in recovery.recorded:
            out.print(sentence(recorded))
        for left in recovery.left:
            err.print(f"left: {left}", markup=False)
        gave_up = Worker(app).run(productions, batches, tell=lambda recorded: out.print(sentence(recorded)))
    for channel, error in gave_up.items():
        err.print(f"Error: channel {channel}: {error}", style="bold red", markup=False)
    if gave_up:
        sys.exit(Exit.ERROR)


def session_for(app: App, channel: ChannelConfig, directory: Path) -> str:
    """The channel's open session, or a new one.

    Raises:
        Refused: the open session has other terms than the configuration.

    """
    terms = terms_of(channel, directory)
    found = app.sessions.newest_of(channel.name)
    if found is None or found.state is SessionState.CLOSED:
        return app.generation.open(terms, Cause(ACTOR)).envelope.session_id
    opened_with = found.terms
    compared: dict[str, tuple[Any, Any]] = {
        "root": (terms.root, opened_with.media_root.path),
        "batch_size": (terms.batch_size, opened_with.batch_size),
        "rendition": (terms.renditions, opened_with.renditions),
        "pattern": (terms.pattern, opened_with.naming.pattern),
        "wrap": (terms.wrap, opened_with.naming.wrap),
        "segment_seconds": (terms.segment_ms / 1000, opened_with.segment_ms / 1000),
        "playlist_window": (terms.playlist_window, opened_with.playlist_window),
        "policy": (str(terms.policy), str(opened_with.policy)),
    }
    for field, (wanted, given) in compared.items():
        if wanted != given:
            raise Refused(
                "R20",
                f"channel {channel.name}: {field}",
                wanted,
                f"its open session has {given!r}; close it first: trailkeep session close {channel.name}",
            )
    return found.session_id


@click.command()
@click.option("--follow", is_flag=True, help="Go on until stopped.")
@json_option
@click.pass_context
def project(ctx: click.Context, follow: bool, as_json: bool) -> None:
    """Issue and carry out what is due; every deletion is authorised in the log first, and its outcome recorded.

    Example: trailkeep project --follow
    """
    with application(ctx) as app:

        def tell(recorded: Recorded) -> None:
            show_event(app, recorded, as_json)

        if follow:
            Worker(app).run((), None, tell)
            return
        done = project_once(app)
        for recorded in done:
            tell(recorded)
        if not done and not as_json:
            out.print("nothing was due")


@click.command()
@json_option
@click.pass_context
def recover(ctx: click.Context, as_json: bool) -> None:
    """End what a crash left open: batches without a producer, purges without an outcome. Again, it adds nothing.

    Example: trailkeep recover
    """
    with application(ctx) as app:
        done = app.recoverer.recover()
        if as_json:
            print_json({"recorded": [one.position for one in done.recorded], "left": done.left})
            return
        for recorded in done.recorded:
            out.print(sentence(recorded))
        for left in done.left:
            out.print(f"left: {left}", markup=False)
        out.print(f"{len(done.recorded)} events recorded" if done.recorded else "nothing was left open", markup=False)
