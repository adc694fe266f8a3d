"""The producer: generates a channel's batches one after the other, at a pace, until it is stopped.

A batch that fails is tried again under its number, later each time; after too many failures in a row the session rests
in `failed` until somebody starts it again.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

import msgspec
import structlog

from application.generation import Generation, expected_of, nominal
from application.handlers import Cause
from application.ports import BatchPlan, Clock, EncodedSegment, Encoder, MediaFiles, Signal
from application.recovery import CRASH, OWN_PRODUCER
from application.sessions import Sessions
from domain.errors import EncoderFailed, Refused, RootSuspect, StoreUnavailable
from domain.events import Source
from domain.lifecycle import SessionState
from domain.segments import batch_numbers, file_number
from domain.session import Session

ACTOR = "producer"
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0

log = structlog.get_logger("trailkeep.producer")


class Pace(StrEnum):
    """How fast batches follow each other."""

    ASAP = "asap"
    WALLCLOCK = "wallclock"


class Stop(Protocol):
    """A request to stop, and a sleep that ends with it."""

    def is_set(self) -> bool:
        """Whether it was asked for."""
        ...

    def wait(self, timeout: float) -> bool:
        """Sleep for ``timeout`` seconds, or until it is asked for; tell which."""
        ...


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


class Producer:
    """Produces one session."""

    def __init__(
        self,
        session_id: str,
        settings: ProducerSettings,
        encoder: Encoder,
        generation: Generation,
        sessions: Sessions,
        files: MediaFiles,
        clock: Clock,
        stop: Stop,
        signal: Signal,
        on_segment: Callable[[int, EncodedSegment], None] = lambda _batch, _segment: None,
    ) -> None:
        self._session_id, self._settings, self._encoder = session_id, settings, encoder
        self._generation, self._sessions, self._files = generation, sessions, files
        self._clock, self._stop, self._signal, self._on_segment = clock, stop, signal, on_segment
        self._pauses = 0

    def run(self, batches: int | None = None) -> int:
        """Produce until stopped, or until that many batches completed; return how many did.

        Raises:
            Refused: another process produces the channel, or it failed too often in a row.
            RootSuspect: the channel's media root is missing.

        """
        terms = self._sessions.load(self._session_id).terms
        made = failed = 0
        with self._files.producing(terms.media_root.path, terms.channel):
            while not self._stop.is_set() and (batches is None or made < batches):
                try:
                    self._end_orphan()
                    self._wait_for_pace()
                    if self._stop.is_set():
                        break
                    completed = self._attempt()
                except (Refused, RootSuspect, StoreUnavailable) as trouble:
                    self._pause(trouble)
                    continue
                if completed:
                    made, failed, self._pauses = made + 1, 0, 0
                elif not self._stop.is_set():
                    failed += 1
                    self._after_failure(failed)
        return made

    def _attempt(self) -> bool:
        """Generate the next batch; False if it failed, which is recorded."""
        session = self._sessions.load(self._session_id)
        terms, number = session.terms, session.next_batch
        label, position = self._encoder.describe(number, number * terms.batch_size, terms.segment_ms)
        lack = self._lack_of_space(session)
        if lack and session.state is SessionState.FAILED and session.batches[number].failure == lack:
            raise Refused("min_free_bytes", "batch", number, lack)
        self._generation.start(
            self._session_id, Source(label=label, producer=OWN_PRODUCER, position=position), Cause(ACTOR)
        )
        if lack:
            self._generation.fail(self._session_id, lack, ACTOR)
            raise Refused("min_free_bytes", "batch", number, lack)
        return self._generate(number)

    def _generate(self, number: int) -> bool:
        try:
            segments = self._encoder.encode(
                self._plan(), self._stop.is_set, lambda segment: self._on_segment(number, segment)
            )
            known = {(segment.rendition, segment.number): segment.duration_ms for segment in segments}
            segment_ms = self._sessions.load(self._session_id).terms.segment_ms
            self._generation.complete(self._session_id, nominal(segment_ms, known), ACTOR)
        except EncoderFailed as error:
            self._generation.fail(
                self._session_id, error.reason, ACTOR, exit_code=error.exit_code, stderr_tail=error.stderr_tail
            )
            return False
        except Refused as refused:
            self._generation.fail(self._session_id, str(refused), ACTOR)
            return False
        return True

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

    def _lack_of_space(self, session: Session) -> str:
        free = self._files.free_bytes(session.terms.media_root.path)
        if free >= self._settings.min_free_bytes:
            return ""
        return f"less than min_free_bytes, {self._settings.min_free_bytes}, is free on {session.terms.media_root.path}"

    def _wait_for_pace(self) -> None:
        if self._settings.pace is Pace.ASAP:
            return
        while not self._stop.is_set():
            wait_s = self._seconds_ahead()
            if wait_s <= 0:
                return
            self._stop.wait(min(wait_s, 1.0))

    def _seconds_ahead(self) -> float:
        """How long it is until fewer than ``trigger_threshold`` segments are left ahead of the clock."""
        session = self._sessions.load(self._session_id)
        threshold_us = self._settings.trigger_threshold * session.terms.segment_ms * 1000
        return (session.program_end - threshold_us - self._clock.now()) / 1e6

    def _end_orphan(self) -> None:
        """A batch without an end is ours, since we hold the channel: a crash, or a store that failed us, cut it off."""
        batch = self._sessions.load(self._session_id).running
        if batch is not None and batch.source.producer == OWN_PRODUCER:
            self._generation.fail(self._session_id, CRASH, ACTOR)

    def _after_failure(self, failed: int) -> None:
        session = self._sessions.load(self._session_id)
        reason = session.batches[session.next_batch].failure
        if failed >= self._settings.max_failures:
            raise Refused(
                "max_failures",
                "batch",
                session.next_batch,
                f"it failed {failed} times in a row, the last time because: {reason}",
            )
        log.warning("batch failed, will be tried again", channel=session.terms.channel, failed=failed, reason=reason)
        self._stop.wait(min(self._settings.first_wait_s * 2 ** (failed - 1), LONGEST_WAIT_S))

    def _pause(self, trouble: Exception) -> None:
        """Say once that generation pauses; try again when the log grows (a purge may free names), or after a while."""
        if self._pauses == 1:
            log.warning("generation pauses", session=self._session_id, reason=str(trouble))
        self._signal.wait(min(FIRST_PAUSE_S * 2 ** min(self._pauses, 10), LONGEST_PAUSE_S))
        self._pauses += 1
