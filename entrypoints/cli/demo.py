"""`demo`: a channel is generated in batches by a real ffmpeg, and every deletion explains itself."""

import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import click
from rich.text import Text

from application.generation import Terms
from application.handlers import Cause
from application.pace import Pace
from application.ports import BatchPlan, EncodedSegment, Encoder
from application.producer import ProducerSettings
from domain.errors import Invalid
from domain.events import (
    Availability,
    BatchCompleted,
    BatchFailed,
    BatchStarted,
    Policy,
    PurgeIssued,
    Recorded,
    SegmentsPurged,
)
from domain.lifecycle import BatchState
from domain.segments import DEFAULT_PATTERN, DEFAULT_WRAP, file_name
from entrypoints.bootstrap import App, opened
from entrypoints.cli.common import actor, say
from entrypoints.cli.progress import generation_bars
from entrypoints.cli.render import STYLES, out, sentence, size, table
from entrypoints.encoders import broken_encoder, picture_encoder
from entrypoints.places import expanded, unicode
from entrypoints.settings import check, milliseconds, seconds
from entrypoints.worker import Production, Worker

CHANNEL = "demo"
RENDITION = "360p"
FAILING_BATCH = 3
DEFAULT_DIRECTORY = "trailkeep-demo"

LETTERS = {
    BatchState.GENERATING: "generating",
    BatchState.FAILED: "failed",
    BatchState.COMPLETED: "kept",
    BatchState.PURGING: "purging",
    BatchState.PURGED: "purged",
}


class FailsOnce:
    """An encoder whose first attempt at one batch reads a file that is no media: a real ffmpeg fails on it for real."""

    def __init__(self, good: Encoder, broken: Encoder, batch: int) -> None:
        self._good, self._broken, self._batch = good, broken, batch

    def describe(self, batch: int, segments_before: int, segment_ms: int) -> tuple[str, str]:
        """See `Encoder.describe`."""
        return self._good.describe(batch, segments_before, segment_ms)

    def encode(
        self, plan: BatchPlan, stopped: Callable[[], bool], on_segment: Callable[[EncodedSegment], None]
    ) -> tuple[EncodedSegment, ...]:
        """See `Encoder.encode`."""
        if plan.batch == self._batch:
            self._batch = -1
            return self._broken.encode(plan, stopped, on_segment)
        return self._good.encode(plan, stopped, on_segment)


class Story:
    """Prints each event, and after those that change the picture, the batches as they stand."""

    def __init__(self) -> None:
        self._states: dict[int, BatchState] = {}

    def tell(self, recorded: Recorded) -> None:
        """One event."""
        out.print(sentence(recorded))
        match recorded.event:
            case BatchStarted() as event:
                self._states[event.batch] = BatchState.GENERATING
            case BatchCompleted() as event:
                self._states[event.batch] = BatchState.COMPLETED
            case BatchFailed() as event:
                self._states[event.batch] = BatchState.FAILED
            case PurgeIssued() as event:
                self._states[event.batch] = BatchState.PURGING
            case SegmentsPurged() as event:
                self._states[event.batch] = BatchState.PURGED
            case _:
                return
        if not isinstance(recorded.event, PurgeIssued):
            out.print(self.picture())

    def picture(self) -> Text:
        """The batches in a row, coloured by their state."""
        line = Text("       ")
        for number, state in sorted(self._states.items()):
            line.append(f" {number} {LETTERS[state]} ", style=f"reverse {STYLES[state]}").append(" ")
        return line


@click.command()
@click.option("--batches", type=click.IntRange(min=1, max=200), default=6, show_default=True)
@click.option(
    "--batch-size", type=click.IntRange(min=1, max=100), default=5, show_default=True, help="Segments in a batch."
)
@click.option("--segment-seconds", default="2", show_default=True, metavar="S")
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path), help="Where to put it; default: a new ./trailkeep-demo."
)
def demo(batches: int, batch_size: int, segment_seconds: str, directory: Path | None) -> None:
    """Watch a channel being generated in batches by a real ffmpeg, and every deletion explain itself.

    Example: trailkeep demo --batches 8 --dir /tmp/demo
    """
    place = _place(directory)
    terms = _terms(place, batch_size, milliseconds("segment_seconds", seconds(segment_seconds)))
    check(terms)
    failing = min(FAILING_BATCH, batches - 1)
    encoder = FailsOnce(picture_encoder(RENDITION), broken_encoder(RENDITION, place), failing)
    _make(place)
    url = f"sqlite:///{place / 'trailkeep.db'}"
    with opened(url, say=say) as app:
        _introduce(place, batches, batch_size, failing)
        story = Story()
        session_id = app.generation.open(terms, Cause(actor())).envelope.session_id
        settings = ProducerSettings(pace=Pace.ASAP, first_wait_s=0.2)
        with generation_bars({session_id: app.sessions.load(session_id).terms}) as bars:

            def tell(recorded: Recorded) -> None:
                story.tell(recorded)
                bars.recorded(recorded)

            production = Production(session_id, CHANNEL, settings, encoder)
            gave_up = Worker(app, bars.closed).run([production], batches, tell, after=0)
        for error in gave_up.values():
            raise error
        _conclude(app, session_id, place, url)


def _place(directory: Path | None) -> Path:
    """An empty directory for the demo; without a wish, the first free of trailkeep-demo, trailkeep-demo-2, ..."""
    if directory is None:
        number, place = 1, Path.cwd() / DEFAULT_DIRECTORY
        while place.exists():
            number += 1
            place = Path.cwd() / f"{DEFAULT_DIRECTORY}-{number}"
        directory = place
    directory = expanded("dir", unicode("dir", str(directory))).absolute()
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise Invalid("dir", str(directory), "a directory that is new or empty")
    return directory


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Invalid("dir", str(directory), f"a directory that can be made ({error.strerror})") from None


def _program() -> str:
    """How the user called us, so that the commands can be pasted."""
    return "trailkeep" if shutil.which("trailkeep") else sys.argv[0]


def _terms(place: Path, batch_size: int, segment_ms: int) -> Terms:
    return Terms(
        channel=CHANNEL,
        root=str(place.resolve() / "media"),
        batch_size=batch_size,
        renditions=(RENDITION,),
        pattern=DEFAULT_PATTERN,
        wrap=DEFAULT_WRAP,
        segment_ms=segment_ms,
        playlist_window=2 * batch_size,
        policy=Policy(availability=Availability.OFF),
    )


def _introduce(place: Path, batches: int, batch_size: int, failing: int) -> None:
    out.print(f"A channel in {batches} batches of {batch_size} segments, made by ffmpeg in {place}.", markup=False)
    out.print("While batch N is generated, N-1 stays. N-2 goes only after N has completed. A failure deletes nothing:")
    out.print(f"batch {failing} fails on purpose, once, and is tried again under its number.")
    out.print(
        "Availability is off here, since batches follow each other faster than anybody could watch them. With it (the"
    )
    out.print(
        "default) a segment also stays after it left the playlist, for as long as RFC 8216, section 6.2.2, demands."
    )
    out.print()


def _conclude(app: App, session_id: str, place: Path, url: str) -> None:
    rows = app.queries.history(session_id)
    session = app.sessions.load(session_id)
    out.print("\nWhat became of each batch, and why:", style="bold")
    out.print(
        table(
            ("batch", "state", "attempts", "files", "bytes", "because"),
            (
                (
                    str(row.batch),
                    LETTERS[BatchState(row.state)],
                    str(row.attempt),
                    str(row.files),
                    size(row.bytes),
                    f"{row.because.rule}: batch {row.because.completed_batch} completed" if row.because else "",
                )
                for row in rows
            ),
        )
    )
    channel = place.resolve() / "media" / CHANNEL
    gone = channel / RENDITION / file_name(session.terms.naming, RENDITION, 0)
    database = f"{shlex.quote(_program())} --database {shlex.quote(url)}"
    out.print("\nAsk further:", style="bold")
    for command in (
        f"{database} explain {shlex.quote(str(gone))}",
        f"{database} history {CHANNEL}",
        f"{database} events {CHANNEL} --json",
        f"{database} replay {CHANNEL}",
        f"{database} verify",
    ):
        out.print(f"  {command}", markup=False)
    out.print(f"\nThe playlist: {channel / 'master.m3u8'}", markup=False)
