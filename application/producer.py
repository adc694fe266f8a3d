"""The producer: generates a channel's batches one after the other, at a pace, until it is stopped.

A batch that fails is tried again under its number, later each time; after too many failures in a row the session rests
in `failed` until somebody starts it again.
"""

from collections.abc import Callable
from contextlib import ExitStack

import msgspec
import structlog

from application.generation import Generation, expected_of, nominal
from application.handlers import Cause
from application.pace import Pace, Stop, seconds_ahead
from application.pauses import Pauses
from application.ports import BatchPlan, Clock, EncodedSegment, Encoder, MediaFiles, Signal
from application.publisher import Publisher
from application.recovery import CRASH, OWN_PRODUCER
from application.sessions import Sessions
from application.space import Lack, lack_of_space
from domain.errors import (
    EncoderFailed,
    FlushFailed,
    Refused,
    RootSuspect,
    RootUnavailable,
    StoreUnavailable,
    TrailkeepError,
)
from domain.events import Source
from domain.lifecycle import SessionState
from domain.segments import batch_numbers, file_number
from domain.session import Session

ACTOR = "producer"
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0

log = structlog.get_logger("trailkeep.producer")


class ProducerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a channel is produced.

    With pace ``wallclock`` a batch is generated when fewer than ``trigger_threshold`` segments are left ahead of the
    clock. ``min_free_bytes`` must be free on the media root before a batch starts. After ``max_failures`` failures in a
    row the producer gives up; its waits between attempts begin at ``first_wait_s`` seconds and double.
    """

    pace: Pace = Pace.ASAP
    trigger_threshold: int = 1
    min_free_bytes: int = 0
    max_failures: int = 5
    first_wait_s: float = FIRST_WAIT_S


class _Made(msgspec.Struct):
    """A batch that was made, or was not, until the log and the playlists say so; lengths as the encoder told them."""

    number: int
    known_ms: dict[tuple[str, int], int] = {}
    failure: EncoderFailed | None = None
    lack: Lack | None = None


class Producer:
    """Produces one session."""

    def __init__(
        self,
        session_id: str,
        settings: ProducerSettings,
        encoder: Encoder,
        generation: Generation,
        publisher: Publisher,
        sessions: Sessions,
        files: MediaFiles,
        clock: Clock,
        stop: Stop,
        signal: Signal,
        on_segment: Callable[[int, EncodedSegment], None] = lambda _batch, _segment: None,
        *,
        patient: bool = False,
    ) -> None:
        self._session_id, self._settings, self._encoder = session_id, settings, encoder
        self._generation, self._publisher, self._sessions, self._files = generation, publisher, sessions, files
        self._clock, self._stop, self._on_segment, self._patient = clock, stop, on_segment, patient
        self._signal = signal
        self._pauses: Pauses
        self._made: _Made | None = None
        self._batch = 0

    def run(self, batches: int | None = None) -> int:
        """Produce until stopped, or until the log tells of that many more completed batches; return how many it tells.

        As long as the media root does not prove to be ours, it waits; a ``patient`` one also as long as another process
        has the channel's directory locked.

        Raises:
            Refused: another process produces the channel, or it failed too often in a row.
            LeaseLost: another worker has taken the session over.
            RootUnavailable: the channel's directory cannot be made, or cannot be locked.
            Refused, RootUnavailable, StoreUnavailable: it was stopped before the end of a batch could be recorded.

        """
        session = self._sessions.load(self._session_id)
        self._pauses = Pauses(session.terms.channel, self._signal)
        with ExitStack() as stack:
            return self._produce(session, batches) if self._ready(session, stack) else 0

    def _produce(self, session: Session, batches: int | None) -> int:
        made = failed = 0
        while not self._stop.is_set():
            try:
                if self._made is None:
                    counted = self._sessions.load(self._session_id).completed - session.completed
                    made, failed = counted, 0 if counted > made else failed
                    if batches is not None and made >= batches:
                        break
                completed = self._turn()
            except EncoderFailed as failure:
                if not self._stop.is_set():
                    failed += 1
                    self._after_failure(session.terms.channel, failed, failure.reason)
            except (Refused, RootUnavailable, StoreUnavailable) as trouble:
                self._pauses.wait(str(trouble))
                if self._made is not None and self._stop.is_set():
                    raise
            else:
                if completed:
                    made, failed = made + 1, 0
                    self._pauses.reset()
        return made

    def _ready(self, session: Session, stack: ExitStack) -> bool:
        """Wait for the media root, for nothing may be made on another disk, and lock the channel; False if stopped."""
        troubles: tuple[type[TrailkeepError], ...] = (Refused,) if self._patient else ()
        return self._pauses.until_done(
            self._stop, lambda: self._generation.require_root(session), RootUnavailable, StoreUnavailable
        ) and self._pauses.until_done(
            self._stop, lambda: stack.enter_context(self._generation.producing(session)), *troubles
        )

    def _turn(self) -> bool:
        """Make a batch, unless one that was made is still to be recorded, and record it; False if stopped before that.

        Raises:
            EncoderFailed: the batch failed, and that is recorded.
            Refused, RootUnavailable, StoreUnavailable: something has to wait; it is gone on with at the next turn.

        """
        if self._made is None:
            self._end_orphan()
            self._wait_for_pace()
            if self._stop.is_set():
                return False
            self._made = self._attempt()
        self._record(self._made)
        self._made = None
        self._pauses.end()
        return True

    def _attempt(self) -> _Made:
        """Start the next batch and have it made; a lack of space is recorded once, and then only waited for."""
        session = self._sessions.load(self._session_id)
        terms, number = session.terms, session.next_batch
        self._batch, lack = number, lack_of_space(session, self._files, self._settings.min_free_bytes)
        told = session.batches[number].failure if session.state is SessionState.FAILED else None
        if lack and (isinstance(lack, RootSuspect) or lack.reason == told):
            raise lack
        label, position = self._encoder.describe(number, number * terms.batch_size, terms.segment_ms)
        self._generation.start(
            self._session_id, Source(label=label, producer=OWN_PRODUCER, position=position), Cause(ACTOR)
        )
        if lack:
            return _Made(number, failure=EncoderFailed(lack.reason), lack=lack)
        self._pauses.end()
        try:
            segments = self._encoder.encode(
                self._plan(), self._stop.is_set, lambda segment: self._on_segment(number, segment)
            )
        except EncoderFailed as failure:
            return _Made(number, failure=failure)
        return _Made(number, {(segment.rendition, segment.number): segment.duration_ms for segment in segments})

    def _record(self, made: _Made) -> None:
        """Record how the batch ended, and publish it; called again after an error, until that is done."""
        session = self._sessions.load(self._session_id)
        if session.next_batch > made.number:
            self._publisher.publish(self._session_id)  # it was recorded: what failed came after that
        elif made.failure is not None:
            self._fail(session, made, made.failure)
        else:
            try:
                self._generation.complete(self._session_id, nominal(session.terms.segment_ms, made.known_ms), ACTOR)
            except (Refused, FlushFailed) as refused:
                made.failure = EncoderFailed(str(refused))  # a flush is not tried again into success
                self._record(made)

    def _fail(self, session: Session, made: _Made, failure: EncoderFailed) -> None:
        """Record that the batch failed, and raise why: the lack of space, if there is one, is no failure to count."""
        if made.lack is None and not self._stop.is_set():
            made.lack = lack_of_space(session, self._files, self._settings.min_free_bytes)
        why = made.lack or failure
        if session.running:
            self._generation.fail(
                self._session_id, why.reason, ACTOR, exit_code=failure.exit_code, stderr_tail=failure.stderr_tail
            )
        self._made = None
        raise why

    def _plan(self) -> BatchPlan:
        session = self._sessions.load(self._session_id)
        terms, numbers = session.terms, batch_numbers(session.next_batch, session.terms.batch_size)
        return BatchPlan(
            directory=self._files.path(terms.media_root.path, terms.channel, ""),
            batch=session.next_batch,
            segment_ms=terms.segment_ms,
            renditions=terms.renditions,
            numbers=numbers,
            files=expected_of(session),
            first_file_number=file_number(terms.naming, numbers[0]),
            pattern=terms.naming.pattern,
            wrap=terms.naming.wrap,
        )

    def _wait_for_pace(self) -> None:
        if self._settings.pace is Pace.ASAP:
            return
        while not self._stop.is_set():
            session = self._sessions.load(self._session_id)
            wait_s = seconds_ahead(session, self._settings.trigger_threshold, self._clock.now())
            if wait_s <= 0:
                return
            self._stop.wait(min(wait_s, 1.0))

    def _end_orphan(self) -> None:
        """A batch without an end is ours, since we hold the channel: a crash, or a store that failed us, cut it off."""
        batch = self._sessions.load(self._session_id).running
        if batch is not None and batch.source.producer == OWN_PRODUCER:
            self._generation.fail(self._session_id, CRASH, ACTOR)

    def _after_failure(self, channel: str, failed: int, reason: str) -> None:
        if failed >= self._settings.max_failures:
            why = f"it failed {failed} times in a row, the last time because: {reason}"
            raise Refused("max_failures", "batch", self._batch, why)
        log.warning("batch failed, will be tried again", channel=channel, failed=failed, reason=reason)
        self._stop.wait(min(self._settings.first_wait_s * 2 ** (failed - 1), LONGEST_WAIT_S))
