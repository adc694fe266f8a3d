"""The projectors of a worker: one thread purges what is due, another keeps the read models and the seal.

A purge waits for the disk most of the time, and read models need not wait with it.
"""

import threading
from collections.abc import Callable

import structlog

from application.read_model_projector import PAGE
from application.retention_projector import Round
from domain.errors import LogDamaged, ReadModelsDamaged, StoreUnavailable
from domain.events import OF_ROOTS
from entrypoints.bootstrap import App

POLL_S = 1.0
"""How long the projectors sleep at most: what another process recorded is seen within this, were its signal lost."""

MOST_PURGES = 50
"""Batches that are purged before the worker looks at what else has happened; more of a long backlog."""

log = structlog.get_logger("trailkeep.worker")


class Projectors:
    """Both threads. A damaged log ends them, and so all purging, as soon as one of them finds it: nothing is sealed or
    purged after what either has under way. Anything else that they cannot go on from has ``stop`` called.
    """

    def __init__(self, app: App, stopping: threading.Event, stop: Callable[[], None]) -> None:
        self._app, self._stopping, self._stop = app, stopping, stop
        self._produced, self._ended = threading.Event(), threading.Event()
        self._lock, self._pauses = threading.Lock(), dict[str, str]()
        self.damage: LogDamaged | None = None
        self.fatal: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._guarded, args=(self._purge,), name="purger"),
            threading.Thread(target=self._guarded, args=(self._keep,), name="read models"),
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def is_alive(self) -> bool:
        """Whether anything is projected still."""
        return any(thread.is_alive() for thread in self._threads)

    def finish(self) -> None:
        """Nothing is produced any more: do what is left, and end."""
        self._produced.set()
        self._app.signal.notify()
        for thread in self._threads:
            if thread.ident is not None:  # it was begun
                thread.join()

    def _guarded(self, work: Callable[[], None]) -> None:
        """What was found is known before anybody is woken, or waits for who reads the messages."""
        try:
            work()
        except LogDamaged as damage:
            first, self.damage = self.damage is None, self.damage or damage
            if first:
                log.error("purging stops: the log is damaged", reason=str(damage))
        except BaseException as error:
            self.fatal = self.fatal or error
            self._stop()
        finally:
            self._ended.set()
            self._app.signal.notify()

    def _purge(self) -> None:
        app = self._app
        while self.damage is None:
            last = self._stopping.is_set() or self._produced.is_set()
            busy = self._done("purger", lambda: bool(app.retention.run_part(MOST_PURGES).recorded), last)
            if last and (self._stopping.is_set() or not busy):
                return
            app.signal.wait(0 if busy else self._sleep())

    def _keep(self) -> None:
        """Until nothing is purged any more; then once again."""
        app, last = self._app, False
        while self.damage is None and not last:
            last = self._ended.is_set()
            if self.damage is None:
                self._done("read models", lambda: _describe(app), last)
            if not last:
                app.signal.wait(POLL_S)

    def _done(self, who: str, work: Callable[[], bool], last: bool) -> bool:
        """What the work says; False where the store is not there now, unless there is no other time."""
        try:
            done = work()
        except StoreUnavailable as error:
            with self._lock:
                if str(error) not in self._pauses.values():
                    log.warning("the projectors pause", reason=str(error))
                self._pauses[who] = str(error)
            if last:
                raise
            return False
        with self._lock:
            if self._pauses.pop(who, None) and not self._pauses:
                log.info("the projectors go on")
        return done

    def _sleep(self) -> float:
        """Seconds until something is due, `POLL_S` at most."""
        try:
            due_at = self._app.retention.next_due_at()
        except StoreUnavailable:
            return POLL_S
        return POLL_S if due_at is None else min(POLL_S, max(0.01, (due_at - self._app.clock.now()) / 1e6))


def project(app: App, progress: Callable[[str, int, int], None] = lambda *_: None) -> Round:
    """Issue and carry out what is due, then bring the read models and the seal to the head."""
    done = app.retention.run_once(progress)
    _describe(app)
    return done


def _describe(app: App) -> bool:
    try:
        app.read_model_projector.catch_up()
    except ReadModelsDamaged:
        # Where an event does not follow from those before it, that is the log's fault, and the rows' only else.
        for one in app.log.read(after=app.read_models.checkpoint(), limit=PAGE):
            if not isinstance(one.event, OF_ROOTS):
                app.sessions.load(one.envelope.session_id)
        raise
    app.sealer.catch_up()
    return True
