"""What is lived through while calls fail: the life of a channel, in one process and without waiting.

A life ends as a command of Trailkeep does: with an exit code, and a line on stderr if something was wrong. It goes on
where the log says that it was; so to live it again, with nothing failing any more, brings it to its end.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from application.generation import Terms, expected_of
from application.handlers import Cause
from application.ports import BatchPlan, EncodedSegment
from application.producer import Producer, ProducerSettings
from domain.errors import EncoderFailed, StoreUnavailable, TrailkeepError
from domain.events import Availability, Envelope, Policy, Recorded
from domain.lifecycle import SessionState
from domain.segments import DEFAULT_PATTERN
from entrypoints import bootstrap
from entrypoints.bootstrap import App, opened
from entrypoints.cli import batches
from entrypoints.cli import main as command_line
from entrypoints.cli.common import exit_code
from entrypoints.projectors import project
from persistence.event_log import SqlEventLog
from tests.builders import FakeClock
from tests.memory_app import FileEncoder

CHANNEL = "news"
CAUSE = Cause("tester")
BATCHES = 4
PATIENCE = 40
"""How often a producer may pause in one life before its operator stops it."""


class Place(NamedTuple):
    """Where a life happens, how many seconds after the first one, and where it notes what was acknowledged."""

    directory: Path
    late: float = 0
    witness: int = -1

    @property
    def url(self) -> str:
        return f"sqlite:///{self.directory / 'log.db'}"

    @property
    def root(self) -> Path:
        return self.directory / "media"


class Encoder(FileEncoder):
    """Writes small files; an error of the disk ends it, as it would a process. The first attempt at batch 1 fails."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self._to_fail = 1 if failures == 0 else -1

    def encode(
        self, plan: BatchPlan, stopped: Callable[[], bool], on_segment: Callable[[EncodedSegment], None]
    ) -> tuple[EncodedSegment, ...]:
        if plan.batch == self._to_fail:
            self._to_fail, self.outcomes = -1, [1, None]
        try:
            return super().encode(plan, stopped, on_segment)
        except OSError as error:
            raise EncoderFailed(f"the disk said {error.strerror}", exit_code=1) from error


class Operator:
    """The stop and the signal of a producer: while it pauses the projectors do a round, and too many pauses end it."""

    def __init__(self, app: App, clock: FakeClock) -> None:
        self._app, self._clock, self._waits = app, clock, 0

    def is_set(self) -> bool:
        return self._waits > PATIENCE

    def notify(self) -> None:
        """Nobody waits but in `wait`."""

    def wait(self, timeout: float) -> bool:
        self._waits += 1
        self._clock.advance(timeout)
        turn(self._app)
        return self.is_set()


def turn(app: App) -> None:
    """A round of the projectors, as `run` makes it: a store that is not available is tried again later."""
    try:
        project(app)
    except StoreUnavailable as outage:
        print(f"the projectors pause: {outage}", file=sys.stderr)


@contextmanager
def lived(place: Place) -> Iterator[FakeClock]:
    """Everything in the block happens by this clock, and every append that is acknowledged is noted."""
    clock, append = FakeClock(), SqlEventLog.append
    clock.advance(place.late)

    def noted(log: SqlEventLog, envelopes: Sequence[Envelope], **terms: Any) -> tuple[Recorded, ...]:
        recorded = append(log, envelopes, **terms)
        if place.witness >= 0:
            os.write(place.witness, b"".join(f"{one.envelope.event_id}\n".encode() for one in recorded))
        return recorded

    with patch.object(bootstrap, "SystemClock", lambda: clock), patch.object(SqlEventLog, "append", noted):
        yield clock


def produced(place: Place) -> int:
    """A channel that Trailkeep produces: recovered, generated with one failure, its names used again, and purged."""
    try:
        with lived(place) as clock, opened(place.url) as app:
            _produce(app, clock, place.root)
    except TrailkeepError as error:
        print(f"Error: {error}", file=sys.stderr)
        return exit_code(error)
    return 0


def _produce(app: App, clock: FakeClock, root: Path) -> None:
    app.read_model_projector.catch_up()
    session = app.sessions.newest_of(CHANNEL)
    if session is None or session.state is SessionState.CLOSED:
        session_id = app.generation.open(_terms(root), CAUSE).envelope.session_id
    else:
        session_id = session.session_id
    app.recoverer.recover()
    operator = Operator(app, clock)
    producer = Producer(
        session_id,
        ProducerSettings(),
        Encoder(app.sessions.load(session_id).failures),
        app.generation,
        app.publisher,
        app.sessions,
        app.files,
        clock,
        operator,
        operator,
    )
    while not operator.is_set() and app.sessions.load(session_id).completed < BATCHES:
        producer.run(1)
        clock.advance(30)
        turn(app)
    clock.advance(30)
    project(app)


def _terms(root: Path) -> Terms:
    return Terms(
        channel=CHANNEL,
        root=str(root),
        batch_size=2,
        renditions=("v",),
        pattern=DEFAULT_PATTERN,
        wrap=8,
        segment_ms=2000,
        playlist_window=4,
        policy=Policy(availability=Availability.RFC8216),
    )


def scripted(place: Place) -> int:
    """A channel that a script produces, one command after the other; whatever they say, it goes on."""
    with lived(place) as clock:
        codes = [_command(place, "recover"), _command(place, "session", "open", CHANNEL, *_options(place))]
        for _ in range(BATCHES):
            clock.advance(1)
            codes.append(_command(place, "batch", "start", CHANNEL))
            _write_running(place)
            codes += [_command(place, "batch", "complete", CHANNEL), _command(place, "project")]
        codes.append(_command(place, "batch", "start", CHANNEL))
        codes.append(_command(place, "batch", "fail", CHANNEL, "--reason", "the camera went away"))
        codes += [_command(place, *words) for words in (("plan",), ("history", CHANNEL), ("rebuild",))]
    return max(codes)


def _options(place: Place) -> tuple[str, ...]:
    terms = ("--rendition", "v", "--batch-size", "2", "--wrap", "8", "--availability", "off")
    return "--root", str(place.root), *terms


def _write_running(place: Place) -> None:
    """What the script's own encoder does; it has its own troubles with the disk, and goes on."""
    with suppress(OSError, TrailkeepError):
        with opened(place.url) as app:
            files = [place.root / CHANNEL / one.file for one in expected_of(app.sessions.resolve(CHANNEL))]
        for file in files:
            file.unlink(missing_ok=True)
            file.write_bytes(os.urandom(10))


def _command(place: Place, *words: str) -> int:
    """`trailkeep` with these words, in this process; its exit code."""
    with patch.object(batches, "FfmpegProbe", lambda _: _NoProbe()), redirect_stdout(StringIO()):
        try:
            command_line.main(["--database", place.url, *words], prog_name="trailkeep")
        except SystemExit as end:
            return int(end.code or 0)
    return 0


class _NoProbe:
    """Segments last as long as they should."""

    def duration_ms(self, _: str) -> None:
        return None


def born(place: Place) -> int:
    """A database and a media root that are made where there is nothing."""
    with lived(place):
        commands = (("db", "upgrade"), ("session", "open", CHANNEL, *_options(place)), ("session", "list"))
        return max(_command(place, *words) for words in commands)


def trust_again(place: Place, events: Sequence[dict[str, Any]]) -> None:
    """What an operator does after a flush that failed: look at the disk, and trust it again."""
    told = [event for event in events if event["type"] in {"RootSuspected", "RootTrusted"}]
    if told and told[-1]["data"].get("suspicion") == "flush":
        with lived(place):
            assert _command(place, "root", "trust", str(place.root), "--reason", "the disk was looked at") == 0


LIVES: dict[str, Callable[[Place], int]] = {"produced": produced, "scripted": scripted, "born": born}
