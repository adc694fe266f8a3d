"""What all commands share: the options, the database, output as tables or JSON, and errors as exit codes."""

import contextlib
import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, TypeVar

import click
import msgspec
from rich.text import Text

from application.handlers import Cause
from domain.errors import (
    HeldElsewhere,
    Invalid,
    LeaseLost,
    LogDamaged,
    NotFound,
    Refused,
    RootUnavailable,
    TrailkeepError,
)
from domain.events import Recorded, SessionOpened
from domain.session import Session
from entrypoints.bootstrap import App, default_url, opened
from entrypoints.cli.render import err, out, sentence, shown
from entrypoints.places import unicode
from persistence.engine import file_of, open_engine

F = TypeVar("F", bound=Callable[..., Any])


class Exit(IntEnum):
    """The exit codes that scripts rely on."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    DISCREPANCY = 3
    REFUSED = 4


class Group(click.Group):
    """A group whose commands end with the exit code that their error stands for."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of ours becomes one line on stderr."""
        try:
            return super().invoke(ctx)
        except TrailkeepError as error:
            err.print(f"Error: {error}", style="bold red", markup=False)
            sys.exit(exit_code(error))
        except click.UsageError as error:
            message = error.format_message()
            if message.isprintable():
                raise
            raise click.UsageError(shown(message), error.ctx) from None
        except BrokenPipeError:
            # The reader of our output (head, less) has gone; what is left to say has no listener.
            with contextlib.suppress(OSError):
                sys.stdout = None
            sys.exit(Exit.ERROR)
        except OSError as error:
            # Of the machine, not of a rule: no space for what we print, no working directory.
            err.print(f"Error: {error}", style="bold red", markup=False)
            sys.exit(Exit.ERROR)


def exit_code(error: TrailkeepError) -> Exit:
    """The exit code that an error stands for."""
    if isinstance(error, Refused | RootUnavailable | HeldElsewhere | LeaseLost):
        return Exit.REFUSED
    return Exit.USAGE if isinstance(error, Invalid) else Exit.ERROR


def database_url(ctx: click.Context, configured: str | None = None) -> str:
    """The database that the user named: on the command line, in the environment, or in a configuration.

    An empty name is one, and refused where it is used: a script's variable that was never set is not the default. An
    empty environment variable is none, as for all of Trailkeep's.
    """
    named: str | None = ctx.find_root().params.get("database")
    if named is None:
        named = configured
    return default_url() if named is None else named


def require_database(ctx: click.Context) -> None:
    """Return if the database is there, for a command that has nothing to do in a new one.

    One that was lost, or a path that was mistyped, is told and not made anew: an empty log agrees with everything.

    Raises:
        NotFound: there is no file, or nothing is in it.

    """
    url = database_url(ctx)
    file = file_of(open_engine(url))
    if file and not (file.is_file() and file.stat().st_size):
        raise NotFound("database", url, "a file that holds a log; `trailkeep session open` makes one")


@contextmanager
def application(ctx: click.Context, configured: str | None = None) -> Iterator[App]:
    """The application over the database that the user named, on the command line or else in a configuration."""
    with opened(database_url(ctx, configured), say=say) as app:
        yield app


@contextmanager
def recording(ctx: click.Context, configured: str | None = None) -> Iterator[App]:
    """The application, for a command that records: read models and seal follow, also when it fails half way.

    Nothing is made of a log that is found to be damaged, least of all a seal. Where they cannot follow, that is told;
    it is no answer of the command's own: what it recorded is recorded, and a script that read an error would repeat it.
    """
    with application(ctx, configured) as app:
        try:
            yield app
        except LogDamaged:
            raise
        except BaseException:
            _follow(app)
            raise
        _follow(app)


def _follow(app: App) -> None:
    try:
        app.read_model_projector.catch_up()
        app.sealer.catch_up()
    except TrailkeepError as error:
        err.print(f"Warning: read models and seal do not follow: {error}", style="bold yellow", markup=False)


def recorded_since(app: App, position: int) -> list[Recorded]:
    """What was recorded after a position, up to what is damaged: to be told, also where damage ends the command."""
    found: list[Recorded] = []
    with contextlib.suppress(LogDamaged):
        while page := app.log.read(after=position):
            found += page
            position = page[-1].position
    return found


def say(text: str) -> None:
    """A line on stderr, beside what a command answers."""
    err.print(text, markup=False)


def actor() -> str:
    """Who types: the name that events carry."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return "cli"


def cause() -> Cause:
    """A person's wish: nothing in the log led to it."""
    return Cause(actor())


def words(field: str, value: str) -> str:
    """Text that is to stay in the log.

    Raises:
        Invalid: it is blank, or not UTF-8.

    """
    if not value.strip():
        raise Invalid(field, value, "a few words: they stay in the log")
    return unicode(field, value)


def session_of(app: App, name: str) -> Session:
    """The session that SESSION names: an id, or a channel's newest."""
    return app.sessions.resolve(unicode("session", name))


def json_option(command: F) -> F:
    """``--json``: machines read along."""
    return click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")(command)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    click.echo(msgspec.json.encode(value))


class Channels:
    """Events as sentences that name their channel, where the log has more than one."""

    def __init__(self, app: App) -> None:
        self._names = {one.session_id: one.channel for one in app.read_models.sessions()}

    def sentence(self, recorded: Recorded) -> Text:
        """The event as one line."""
        if isinstance(recorded.event, SessionOpened):
            self._names[recorded.envelope.session_id] = recorded.event.channel
            return sentence(recorded)
        several = len(set(self._names.values())) > 1
        return sentence(recorded, self._names.get(recorded.envelope.session_id, "") if several else "")


def print_event(app: App, recorded: Recorded, as_json: bool) -> None:
    """An event as a line of JSON or as a sentence."""
    if as_json:
        click.echo(with_position(recorded.position, app.log.read_lines(after=recorded.position - 1, limit=1)[0].line))
    else:
        out.print(sentence(recorded))


def with_position(position: int, line: bytes) -> bytes:
    """A recorded line with ``position`` put first, otherwise verbatim."""
    return b'{"position":%d,%s' % (position, line[1:])
