"""`run` from the inside: a thread for each channel's producer, one for the projectors, and the log read along."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import msgspec
import structlog

from application.ports import Encoder
from application.producer import Producer, ProducerSettings
from domain.errors import StoreUnavailable, TrailkeepError
from domain.events import Recorded
from entrypoints.bootstrap import App

POLL_S = 1.0
"""How long the projectors sleep at most: what another process recorded is seen within this."""

log = structlog.get_logger("trailkeep.worker")


class Production(msgspec.Struct, frozen=True):
    """A session to produce: how, and with what."""

    session_id: str
    channel: str
    settings: ProducerSettings
    encoder: Encoder


class Worker:
    """Produces channels and projects the log until it is told to stop, or until every producer has ended."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._stopping = threading.Event()
        self._produced = threading.Event()
        self._errors: dict[str, TrailkeepError] = {}
        self._fatal: BaseException | None = None

    def stop(self) -> None:
        """Ask everything to end in order; may be called from a signal handler."""
        self._stopping.set()
        self._app.signal.notify()

    def run(
        self,
        productions: Sequence[Production],
        batches: int | None,
        tell: Callable[[Recorded], None],
    ) -> dict[str, TrailkeepError]:
        """Produce ``batches`` batches of each channel (None: until stopped), telling every event as it is recorded.

        Without productions it only projects, until it is stopped. Returns why producers gave up, by channel.

        Raises:
            TrailkeepError: the projectors met something that they cannot go on from.

        """
        follower = _Follower(self._app, tell)
        producers = [
            threading.Thread(target=self._produce, args=(one, batches), name=f"producer {one.channel}")
            for one in productions
        ]
        projectors = threading.Thread(target=self._project, name="projectors")
        with _stopping_on_signals(self.stop):
            for thread in (projectors, *producers):
                thread.start()
            while any(thread.is_alive() for thread in producers or [projectors]):
                follower.wait(POLL_S / 2)
            self._produced.set()
            self._app.signal.notify()
            projectors.join()
        follower.catch_up()
        if self._fatal is not None:
            raise self._fatal
        return self._errors

    def _produce(self, one: Production, batches: int | None) -> None:
        app = self._app
        producer = Producer(
            one.session_id,
            one.settings,
            one.encoder,
            app.generation,
            app.sessions,
            app.files,
            app.clock,
            self._stopping,
            app.signal,
        )
        try:
            producer.run(batches)
        except TrailkeepError as error:
            log.error("producer gave up", channel=one.channel, reason=str(error))
            self._errors[one.channel] = error
        except BaseException as error:
            self._fatal = error
            self.stop()

    def _project(self) -> None:
        """Purge first: it is what waits for nobody; then the read models and the seal."""
        app = self._app
        try:
            while True:
                last = self._stopping.is_set() or self._produced.is_set()
                try:
                    project(app)
                except StoreUnavailable as error:
                    log.warning("the projectors pause", reason=str(error))
                    if last:
                        raise
                if last:
                    return
                app.signal.wait(self._sleep())
        except BaseException as error:
            self._fatal = error
            self.stop()

    def _sleep(self) -> float:
        """Seconds until something is due, `POLL_S` at most."""
        try:
            due_at = self._app.retention.next_due_at()
        except StoreUnavailable:
            return POLL_S
        return POLL_S if due_at is None else min(POLL_S, max(0.01, (due_at - self._app.clock.now()) / 1e6))


def project(app: App) -> tuple[Recorded, ...]:
    """Issue and carry out what is due, then bring the read models and the seal to the head."""
    done = app.retention.run_once()
    app.read_model_projector.catch_up()
    app.sealer.catch_up()
    return done.recorded


class _Follower:
    """Reads the log along, from the head that it found."""

    def __init__(self, app: App, tell: Callable[[Recorded], None]) -> None:
        self._app, self._tell = app, tell
        self._position = app.log.head()

    def wait(self, timeout: float) -> None:
        self._app.signal.wait(timeout)
        self.catch_up()

    def catch_up(self) -> None:
        while page := self._app.log.read(after=self._position):
            for recorded in page:
                self._tell(recorded)
            self._position = page[-1].position


@contextmanager
def _stopping_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGINT and SIGTERM ask for an orderly end."""

    def handle(number: int, _: FrameType | None) -> None:
        log.info("stopping", signal=signal.Signals(number).name)
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
