"""`batch`: starts, completes and fails batches, for encoders of your own."""

import click

from application.generation import expected_of
from domain.errors import RootUnavailable
from domain.events import BatchCompleted, Source
from domain.segments import ExpectedFile
from entrypoints.cli.common import (
    actor,
    cause,
    json_option,
    print_event,
    print_json,
    recorded_since,
    recording,
    require_database,
    session_of,
    words,
)
from entrypoints.cli.render import out, sentence
from entrypoints.encoders import ffmpeg
from media.probe import FfmpegProbe


@click.group()
def batch() -> None:
    """Start, complete and fail batches: for encoders of your own."""


@batch.command("start")
@click.argument("name", metavar="SESSION")
@click.option(
    "--source",
    default="external",
    show_default=True,
    help="What the batch is made from; a change of it is a discontinuity.",
)
@json_option
@click.pass_context
def start_batch(ctx: click.Context, name: str, source: str, as_json: bool) -> None:
    """Start the next batch, or the failed one again, and tell which files to write.

    Example: trailkeep batch start news --json
    """
    made_from = Source(label=words("source", source), producer=actor())
    require_database(ctx)
    with recording(ctx) as app:
        found = session_of(app, name)
        recorded = app.generation.start(found.session_id, made_from, cause())
        running = app.sessions.load(found.session_id)
        terms = running.terms
        assert running.running is not None
        files = [app.files.path(terms.media_root.path, terms.channel, one.file) for one in expected_of(running)]
        if as_json:
            print_json(
                {
                    "batch": running.running.number,
                    "attempt": running.running.attempt,
                    "first_segment": running.running.number * terms.batch_size,
                    "last_segment": (running.running.number + 1) * terms.batch_size - 1,
                    "files": files,
                }
            )
            return
        out.print(sentence(recorded))
        for file in files:
            click.echo(file)


@batch.command("complete")
@click.argument("name", metavar="SESSION")
@json_option
@click.pass_context
def complete_batch(ctx: click.Context, name: str, as_json: bool) -> None:
    """Verify the running batch's files, flush them to disk, and record it as completed (R9).

    Example: trailkeep batch complete news
    """
    require_database(ctx)
    with recording(ctx) as app:
        found = session_of(app, name)
        probe = FfmpegProbe(ffmpeg())

        def duration_ms(_: ExpectedFile, path: str) -> int:
            return probe.duration_ms(path) or found.terms.segment_ms

        head = app.log.head()
        try:
            completed = app.generation.complete(found.session_id, duration_ms, actor())
        except RootUnavailable:  # perhaps only for the playlist: what is recorded stays so, and is told
            for recorded in recorded_since(app, head):
                if isinstance(recorded.event, BatchCompleted) and recorded.envelope.session_id == found.session_id:
                    print_event(app, recorded, as_json)
            raise
        print_event(app, completed, as_json)


@batch.command("fail")
@click.argument("name", metavar="SESSION")
@click.option("--reason", required=True, help="Why, in a line: it stays in the log.")
@json_option
@click.pass_context
def fail_batch(ctx: click.Context, name: str, reason: str, as_json: bool) -> None:
    """Record the running batch as failed; it deletes nothing and makes nothing due (R4).

    Example: trailkeep batch fail news --reason "source went away"
    """
    words("reason", reason)
    require_database(ctx)
    with recording(ctx) as app:
        print_event(app, app.generation.fail(session_of(app, name).session_id, reason, actor()), as_json)
