"""`run` from the inside: a thread for each channel's producer, the projectors, and the log read along."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType

import msgspec
import structlog

from application.claims import of_root, of_session
from application.ports import EncodedSegment, Encoder
from application.producer import Producer, ProducerSettings
from domain.errors import HeldElsewhere, LeaseLost, LogDamaged, StoreUnavailable, TrailkeepError
from domain.events import Recorded
from entrypoints.bootstrap import App
from entrypoints.heartbeat import BEATS, WhileHeld
from entrypoints.projectors import POLL_S, Projectors
from entrypoints.world import allow_descriptors

log = structlog.get_logger("trailkeep.worker")


class Production(msgspec.Struct, frozen=True):
    """A session to produce: how, and with what."""

    session_id: str
    channel: str
    settings: ProducerSettings
    encoder: Encoder


class Worker:
    """Produces channels and projects the log until it is told to stop, or until every producer has ended.

    ``on_segment`` hears of each segment as it is closed, with its session and batch, in the thread of its producer.
    """

    def __init__(self, app: App, on_segment: Callable[[str, int, EncodedSegment], None] = lambda *_: None) -> None:
        self._app, self._on_segment = app, on_segment
        self._stopping = threading.Event()
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
        after: int | None = None,
    ) -> dict[str, TrailkeepError]:
        """Produce ``batches`` batches of each channel (None: until stopped), telling every event as it is recorded.

        It begins with the event after position ``after``; with the next one, if there is none given.
        Without productions it only projects, until it is stopped. Returns why producers gave up, by channel.

        A damaged log stops the projectors, and so all purging, at once; producers go on while it can be appended to.

        Raises:
            LogDamaged: that happened; it is raised when the producers have ended.
            TrailkeepError: the projectors met something else that they cannot go on from.

        """
        allow_descriptors()
        follower = _Follower(self._app, tell, self._app.log.head() if after is None else after)
        producers = [
            threading.Thread(target=self._produce, args=(one, batches), name=f"producer {one.channel}")
            for one in productions
        ]
        projectors = Projectors(self._app, self._stopping, self.stop)
        with _stopping_on_signals(self.stop):
            try:
                projectors.start()
                for thread in producers:
                    thread.start()
                while any(thread.is_alive() for thread in producers) if producers else projectors.is_alive():
                    follower.wait(POLL_S / 2)
            except BaseException:
                self.stop()  # nobody reads along any more: end in order, and say why
                raise
            finally:
                for thread in producers:
                    if thread.ident is not None:  # it was begun
                        thread.join()
                projectors.finish()
        follower.catch_up()
        for error in (projectors.damage, self._fatal, projectors.fatal, follower.damage):
            if error is not None:
                raise error
        return self._errors

    def _produce(self, one: Production, batches: int | None) -> None:
        try:
            self._standby(one, batches)
        except TrailkeepError as error:
            log.error("producer gave up", channel=one.channel, reason=str(error))
            self._errors[one.channel] = error
        except BaseException as error:
            self._fatal = error
            self.stop()

    def _standby(self, one: Production, batches: int | None) -> None:
        """Produce while this process has the session, and wait for it while another worker has."""
        app, said = self._app, ""
        end = batches and app.sessions.load(one.session_id).completed + batches
        while not self._stopping.is_set():
            left = end and end - app.sessions.load(one.session_id).completed
            if left is not None and left <= 0:
                return
            try:
                if self._produced_once(one, left):
                    return
            except LeaseLost as lost:
                log.warning("another worker has taken the channel over", channel=one.channel, reason=str(lost))
            except (HeldElsewhere, StoreUnavailable) as reason:
                if self._stopping.is_set() and isinstance(reason, StoreUnavailable):
                    raise  # it was told to end, and could not in order
                if str(reason) != said:
                    log.info("standing by", channel=one.channel, reason=str(reason))
                said = str(reason)
            self._stopping.wait(app.claims.seconds / BEATS)

    def _produced_once(self, one: Production, batches: int | None) -> bool:
        """Produce for as long as the session is ours; False if it is so no more, or cannot be had."""
        app, resource = self._app, of_session(one.session_id)
        root = app.sessions.load(one.session_id).terms.media_root
        if app.claims.is_elsewhere(root, app.roots.here):
            raise HeldElsewhere(of_root(root.root_id), "of the host that has the media root mounted", 0)
        with app.claims.holding(resource):
            Producer(
                one.session_id,
                one.settings,
                one.encoder,
                app.generation,
                app.publisher,
                app.sessions,
                app.files,
                app.clock,
                WhileHeld(self._stopping, app.claims, resource),
                app.signal,
                partial(self._on_segment, one.session_id),
                patient=app.claims.shared,
            ).run(batches)
            return app.claims.holds(resource)


class _Follower:
    """Reads the log along from a position, up to what is damaged, and tells each event once."""

    def __init__(self, app: App, tell: Callable[[Recorded], None], after: int) -> None:
        self._app, self._tell, self._position = app, tell, after
        self.damage: LogDamaged | None = None

    def wait(self, timeout: float) -> None:
        """What cannot be read now is told later: the producers and the projectors say why."""
        self._app.signal.wait(timeout)
        with suppress(StoreUnavailable):
            self.catch_up()

    def catch_up(self) -> None:
        try:
            while self.damage is None and (page := self._app.log.read(after=self._position)):
                for recorded in page:
                    self._position = recorded.position
                    self._tell(recorded)
        except LogDamaged as damage:
            self.damage = damage


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
