"""A channel's life in one process, quickly: real SQLite, real files, the product's own producer and projectors.

    python -m tests.torture.scenario DIR --seed 7              # a whole life
    python -m tests.torture.scenario DIR --seed 7 --kill purge.unlink-segment.after --occurrence 2
    python -m tests.torture.scenario DIR --seed 7 --recover    # what `trailkeep recover` does
    python -m tests.torture.scenario DIR --seed 7              # goes on where the life was cut off

The database is DIR/log.db, the media root DIR/disk/media. Each acknowledged event is a line on stdout, written after
the append returned: ``POSITION EVENT_ID``. The life is a function of the seed and of what the log says was done
already: two sessions of one channel, one after the other, in which names wrap and batches are purged; and a batch
fails, the root's marker goes astray, files get lost, and one refuses to go. Time is a clock that moves when the life
has nothing else to do; so nothing ever waits.

In a test, with a process of its own for each part (see `tests.torture.campaign.in_child`):

    place = Place.below(directory)
    make_database(place)
    with Process(place, seed=7, reach=kill_at("purge.unlink-segment.after", 2)) as process:
        process.live()
"""

import argparse
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self
from unittest.mock import patch

import structlog
from sqlalchemy import Engine

from application.handlers import Cause
from application.producer import Producer, ProducerSettings
from application.sessions import Sessions
from domain.events import Disposition, Recorded
from domain.lifecycle import BatchState, SessionState
from domain.segments import relative_file
from domain.session import Session
from entrypoints.bootstrap import App
from entrypoints.projectors import project
from persistence import schema
from persistence.engine import open_engine
from tests.builders import FakeClock
from tests.torture.chapters import CHANNEL, ByteEncoder, Chapter, chapters
from tests.torture.instrument import Watch, nothing, watching
from tests.torture.mishaps import Mishaps

CAUSE = Cause("torture")
OPERATOR = "operator"
MISHAP = "mishap"
"""What ``reach`` hears beside the failure points: that somebody else may do something to the disk now."""


class Place(NamedTuple):
    """Where a life happens: its database, and the disk that the media root is on."""

    database: Path
    disk: Path

    @classmethod
    def below(cls, directory: Path) -> "Place":
        """All of it in one directory."""
        return cls(directory / "log.db", directory / "disk")

    @property
    def url(self) -> str:
        return f"sqlite:///{self.database}"

    @property
    def root(self) -> Path:
        return self.disk / "media"


def say(recorded: Sequence[Recorded]) -> None:
    """Acknowledge events on stdout."""
    os.write(1, acknowledgement(recorded))


def acknowledgement(recorded: Sequence[Recorded]) -> bytes:
    """A line for each event: its position and its id."""
    return b"".join(b"%d %s\n" % (one.position, one.envelope.event_id.encode()) for one in recorded)


class Process:
    """One process of the life, from its start to its end or its death.

    ``reach`` is called at each failure point, and ``acknowledge`` after each append that returned. ``engine`` is an
    engine for the database that has no connection yet; one is made if there is none. ``boot`` counts the starts of the
    machine.
    """

    def __init__(
        self,
        place: Place,
        *,
        seed: int,
        reach: Callable[[str], None] = nothing,
        acknowledge: Callable[[Sequence[Recorded]], None] = say,
        engine: Engine | None = None,
        boot: int = 1,
    ) -> None:
        structlog.configure(processors=[_drop])
        self.place, self.seed, self.boot = place, seed, boot
        self.chapters = chapters(seed, place.root)
        self.mishaps = Mishaps(place.disk, place.root)
        self.clock = FakeClock(tick_us=1)
        self._watch = Watch(place.root, reach, self._refuses, acknowledge)
        self._engine = engine or open_engine(place.url)

    def __enter__(self) -> Self:
        self.mishaps.mend()
        with ExitStack() as stack:
            stack.callback(self._engine.dispose)
            stack.enter_context(watching(self._watch))
            stack.enter_context(patch.multiple("application.journal", LONGEST=6, KEEP=3))
            self.app = self._joined()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def again(self) -> None:
        """Forget all that is known, as the next process would."""
        self.app.close()
        self.app = self._joined()

    def recover(self) -> None:
        """What `trailkeep recover` does, in no time: nothing becomes due between its last look and its end."""
        with self.clock.standing():
            self.app.recoverer.recover()

    def live(self) -> None:
        """Go on from wherever the log says the life is, to its end; begin as `trailkeep run` begins."""
        self.app.read_model_projector.catch_up()
        self.recover()
        for ordinal, chapter in enumerate(self.chapters, 1):
            self._live(self._opened(ordinal, chapter).session_id, chapter)
        self.settle()

    def settle(self) -> None:
        """Let time pass until nothing is due any more."""
        while True:
            before = self.app.log.head()
            self._project()
            due_at = self._next_due_at()
            if due_at is None:
                return
            assert due_at > self.clock.time or self.app.log.head() > before, "what is due is purged"
            self.clock.time = max(self.clock.time, due_at)

    def wait(self, timeout: float) -> None:
        """See `Signal.wait`: the producer waits for names that a purge will free, or for the root to be trusted."""
        self.mishaps.mend()
        self.clock.advance(timeout)
        self.clock.time = max(self.clock.time, self._next_due_at() or 0)
        self._project()

    def notify(self) -> None:
        """See `Signal.notify`."""

    def session(self, ordinal: int) -> Session:
        """The channel's session of that number, without events if it was not opened yet."""
        return self.app.sessions.load(self.app.sessions.id_of(CHANNEL, ordinal))

    def _joined(self) -> App:
        with (
            patch("entrypoints.bootstrap.SystemClock", lambda: self.clock),
            patch("entrypoints.bootstrap.open_engine", lambda _: self._engine),
            patch("entrypoints.bootstrap.Sessions", partial(Sessions, every=7)),
            patch("entrypoints.bootstrap.time.sleep", nothing),  # the verifier waits for others, and there are none
        ):
            app = App(self.place.url)
        if newest := app.log.read(after=app.log.head() - 1):
            self.clock.time = max(self.clock.time, newest[-1].envelope.recorded_at)
        if self.boot > 1 and self.clock.boot == FakeClock().boot:
            self.clock.reboot()
        return app

    def _opened(self, ordinal: int, chapter: Chapter) -> Session:
        if self.session(ordinal).opened is None:
            self.app.generation.open(chapter.terms, CAUSE)
        return self.session(ordinal)

    def _live(self, session_id: str, chapter: Chapter) -> None:
        app = self.app

        def now() -> Session:
            return app.sessions.load(session_id)

        producer = Producer(
            session_id=session_id,
            settings=ProducerSettings(first_wait_s=0),
            encoder=ByteEncoder(self.seed, now, chapter.fails),
            generation=app.generation,
            publisher=app.publisher,
            sessions=app.sessions,
            files=app.files,
            clock=self.clock,
            stop=_GoOn(),
            signal=self,
        )
        while now().state is not SessionState.CLOSED:
            self._befall(now(), chapter)
            self._project()
            if now().completed == chapter.batches:
                break
            producer.run(1)
        if chapter.end and now().state is not SessionState.CLOSED:
            if chapter.end is Disposition.KEEP:
                self.settle()
            app.generation.close(session_id, "the end of a chapter", chapter.end, CAUSE)
            self._project()

    def _befall(self, session: Session, chapter: Chapter) -> None:
        """What happens to the disk at this moment of the life, unless it has happened."""
        self._watch.reach(MISHAP)
        root_id = session.terms.media_root.root_id
        if session.completed:
            self.mishaps.tear_journal()
        if session.completed == chapter.astray and not list(self.app.log.read_session(root_id)):
            self.mishaps.hide_marker()
        batch = None if chapter.loses is None else session.batches.get(chapter.loses)
        if batch and batch.due and batch.state is BatchState.COMPLETED:
            most = batch.files[: len(batch.files) // 2 + 1]
            self.mishaps.lose([Path(CHANNEL, file.rendition, file.name) for file in most])

    def _project(self) -> None:
        """What `run` does beside its producers, and an operator who confirms what was refused when it may go."""
        project(self.app)
        for row in self._refused():
            if row.due_at <= self.clock.time:
                self.app.purger.issue(row.session_id, row.batch, confirmed=row.plan_hash, actor=OPERATOR)
                self.app.purger.carry_out(row.session_id, row.batch)
                project(self.app)

    def _refused(self) -> list[Any]:
        """The rows of the plan that wait to be confirmed."""
        batches = (batch for ordinal in (1, 2) for batch in self.session(ordinal).batches.values())
        if not any(batch.refusal for batch in batches):
            return []
        return [row for row in self.app.queries.plan(self.app.queries.planned_sessions()) if row.plan_hash]

    def _next_due_at(self) -> int | None:
        """When something may go next, by itself or by an operator's word; None if nothing will."""
        by_itself = self.app.retention.next_due_at()
        return min([row.due_at for row in self._refused()] + ([] if by_itself is None else [by_itself]), default=None)

    def _refuses(self, path: str) -> bool:
        """The first file of one batch of each session does not go at the first attempt."""
        for ordinal, chapter in enumerate(self.chapters, 1):
            batch = self.session(ordinal).batches.get(chapter.refuses) if path.endswith(".ts") else None
            if batch and batch.purge and batch.purge.attempt == 1:
                first = relative_file(batch.files[0].rendition, batch.files[0].name)
                return path == str(self.place.root / CHANNEL / first)
        return False


class _GoOn:
    """Nobody asks to stop, and there is nothing to wait for between attempts."""

    def is_set(self) -> bool:
        return False

    def wait(self, timeout: float) -> bool:
        return False


def _drop(*_: Any) -> Any:
    raise structlog.DropEvent


def at_point(point: str, occurrence: int, do: Callable[[], None]) -> Callable[[str], None]:
    """A ``reach`` that does this at this occurrence of the point, counted from 1."""
    met = 0

    def reach(reached: str) -> None:
        nonlocal met
        met += reached == point
        if reached == point and met == occurrence:
            do()

    return reach


def kill_at(point: str, occurrence: int) -> Callable[[str], None]:
    """A ``reach`` that kills the process there, as kill -9 does."""
    return at_point(point, occurrence, lambda: os.kill(os.getpid(), signal.SIGKILL))


def make_database(place: Place) -> None:
    """An empty database. To be called in a process that does not open it: what SQLite knows must not cross a fork."""
    place.disk.mkdir(parents=True, exist_ok=True)
    place.database.parent.mkdir(parents=True, exist_ok=True)
    engine = open_engine(place.url)
    schema.upgrade(engine)
    engine.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.scenario", description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kill", metavar="POINT", default="")
    parser.add_argument("--occurrence", type=int, default=1)
    parser.add_argument("--recover", action="store_true", help="recover, and do not go on")
    given = parser.parse_args()
    place = Place.below(given.directory.absolute())
    if not place.database.exists():
        make_database(place)
    with Process(place, seed=given.seed, reach=kill_at(given.kill, given.occurrence)) as process:
        if given.recover:
            process.recover()
        else:
            process.live()


if __name__ == "__main__":
    main()
