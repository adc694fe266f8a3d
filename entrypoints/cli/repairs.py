"""`repair`: what `verify` lists is put right by an operator's order; without ``--apply`` it is only told."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from application.losses import LostFiles
from application.orphans import Orphans
from domain.events import OrphansRemoved, Recorded
from entrypoints.bootstrap import App
from entrypoints.cli.common import (
    Exit,
    application,
    cause,
    json_option,
    print_json,
    recording,
    require_database,
    words,
)
from entrypoints.cli.render import err, out, sentence, size

F = TypeVar("F", bound=Callable[..., Any])

DRY = "nothing was changed; with --apply and --reason it is done"


@click.group()
def repair() -> None:
    """Put right what `verify` lists: files that are lost, and files that no event explains."""


def _ordered(command: F) -> F:
    """``[CHANNEL] --apply --reason``: the words of an order."""
    command = click.option("--reason", metavar="TEXT", help="Why, in a line: it stays in the log.")(command)
    command = click.option("--apply", is_flag=True, help="Do it; without, it is only told.")(command)
    return click.argument("channel", required=False)(command)


@repair.command()
@_ordered
@json_option
@click.pass_context
def lost(ctx: click.Context, channel: str | None, apply: bool, reason: str | None, as_json: bool) -> None:
    """Take note of kept files that are gone: playlists go on without them, and their purge does not wait for them.

    Example: trailkeep repair lost news --apply --reason "disk error, segments 40 to 44 could not be read back"
    """
    text = words("reason", reason or "") if apply else ""
    require_database(ctx)
    with (recording if apply else application)(ctx) as app:
        channels = _channels(app, channel)
        found = [one for name in channels for one in app.losses.find(name)]
        recorded = [one for name in channels for one in app.losses.note(name, text, cause())] if apply else []
        if as_json:
            print_json({"applied": apply, "lost": found, "recorded": [one.position for one in recorded]})
        elif apply:
            _tell(recorded, "nothing is lost")
        else:
            _tell_lost(found)


@repair.command()
@_ordered
@json_option
@click.pass_context
def orphans(ctx: click.Context, channel: str | None, apply: bool, reason: str | None, as_json: bool) -> None:
    """Delete files below the channels' directories that no event explains; authorised and recorded as a purge is.

    Playlists, hidden files, directories, links, and what a playlist lists are left.

    Example: trailkeep repair orphans news --apply --reason "left over from a test encoder"
    """
    text = words("reason", reason or "") if apply else ""
    require_database(ctx)
    with (recording if apply else application)(ctx) as app:
        channels = _channels(app, channel)
        found = [one for name in channels for one in app.orphans.find(name)]
        recorded = [one for name in channels for one in app.orphans.remove(name, text, cause())] if apply else []
        if as_json:
            print_json(_orphans_json(app, found, recorded, apply))
        elif apply:
            _tell(recorded, "there are no orphans that can be deleted")
            _tell_left(app, found)
        else:
            _tell_orphans(app, found)
    if any(isinstance(one.event, OrphansRemoved) and one.event.remaining for one in recorded):
        err.print("Error: some of them could not be deleted", style="bold red")
        sys.exit(Exit.ERROR)


def _channels(app: App, channel: str | None) -> list[str]:
    """The one that was named, or all that the log knows."""
    app.read_model_projector.catch_up()
    if channel is not None:
        return [channel]
    return sorted({session.channel for session in app.read_models.sessions()})


def _tell(recorded: Sequence[Recorded], nothing: str) -> None:
    for one in recorded:
        out.print(sentence(one))
    if not recorded:
        out.print(nothing)


def _tell_lost(found: Sequence[LostFiles]) -> None:
    for one in found:
        for file in one.files:
            out.print(f"lost: {file} (batch {one.batch})", markup=False)
    out.print(DRY if found else "nothing is lost")


def _tell_orphans(app: App, found: Sequence[Orphans]) -> None:
    files = [(app.files.path(one.root, one.channel, file.file), file.size) for one in found for file in one.files]
    for path, count in files:
        out.print(f"orphan: {path} ({size(count)})", markup=False)
    _tell_left(app, found)
    out.print(DRY if files else "there are no orphans that can be deleted")


def _tell_left(app: App, found: Sequence[Orphans]) -> None:
    for one in found:
        for file, reason in one.left:
            out.print(f"left: {app.files.path(one.root, one.channel, file)}: {reason}", markup=False)


def _orphans_json(app: App, found: Sequence[Orphans], recorded: Sequence[Recorded], apply: bool) -> dict[str, Any]:
    def path(one: Orphans, file: str) -> str:
        return app.files.path(one.root, one.channel, file)

    return {
        "applied": apply,
        "orphans": [{"file": path(one, file.file), "size": file.size} for one in found for file in one.files],
        "left": [{"file": path(one, file), "reason": reason} for one in found for file, reason in one.left],
        "recorded": [one.position for one in recorded],
    }
