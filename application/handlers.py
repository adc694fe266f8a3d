"""Commands become events: load, decide, append on the version that was decided upon; on a race, all of it again."""

from collections.abc import Callable, Sequence

import msgspec
import structlog

from application.claims import Claims
from application.ports import Clock, EventLog, Fence, IdSource
from application.seen import Seen
from application.sessions import Sessions
from domain.commands import Command, OpenSession
from domain.decisions import decide
from domain.errors import ConcurrencyConflict
from domain.events import SCHEMA, Envelope, Event, Recorded

ATTEMPTS = 50

log = structlog.get_logger("trailkeep.log")


class Cause(msgspec.Struct, frozen=True):
    """Who wants it, and what it follows from (R16); without a correlation id a new one begins."""

    actor: str
    correlation_id: str | None = None
    causation_id: str | None = None


class Decision(msgspec.Struct, frozen=True):
    """What is to be recorded: the events, the version and the policy that they go by, and the lease, if under one."""

    version: int
    events: Sequence[Event]
    policy: str
    fence: Fence | None = None


class Handler:
    """Executes commands. ``worker`` names this process in every event that it records."""

    def __init__(
        self,
        log: EventLog,
        sessions: Sessions,
        clock: Clock,
        ids: IdSource,
        worker: str,
        claims: Claims,
        seen: Seen | None = None,
    ) -> None:
        self._log, self._sessions, self._clock, self._ids, self._worker = log, sessions, clock, ids, worker
        self._claims, self._seen = claims, seen or Seen()

    def execute(self, session_id: str, command: Command, cause: Cause) -> tuple[Recorded, ...]:
        """Record what follows from ``command`` and return it; empty if nothing does.

        Raises:
            Invalid, Refused: as `decide`; nothing was recorded.
            ConcurrencyConflict: other writers were first, `ATTEMPTS` times in a row.
            LeaseLost: this process had claimed the work, and another has taken it over.

        """

        def decided() -> Decision:
            session = self._sessions.load(session_id)
            events = decide(session, command)
            policy = command.policy if isinstance(command, OpenSession) else session.terms.policy
            return Decision(session.version, events, str(policy), self._claims.fence(session, command))

        return self.record(session_id, decided, cause, self._sessions.forget)

    def record(
        self, stream_id: str, decided: Callable[[], Decision], cause: Cause, forget: Callable[[], None]
    ) -> tuple[Recorded, ...]:
        """Record what ``decided`` says, which is asked again whenever another writer was first.

        Where it goes by the same version again, that is of events that the log does not have any more, and it is to
        ``forget`` what it knows.

        Raises:
            ConcurrencyConflict: that happened `ATTEMPTS` times in a row.

        """
        before = -1
        for _ in range(ATTEMPTS):
            decision = decided()
            if decision.version == before:
                forget()
                decision = decided()
            before = decision.version
            if not decision.events:
                return ()
            envelopes = self._envelopes(stream_id, decision, cause)
            try:
                recorded = self._log.append(envelopes, expected_version=decision.version, fence=decision.fence)
            except ConcurrencyConflict as conflict:
                last = conflict
                continue
            self._seen.note(*recorded)
            for one in recorded:
                log.debug("recorded", position=one.position, type=type(one.event).__name__, session=stream_id)
            return recorded
        raise last

    def _envelopes(self, stream_id: str, decision: Decision, cause: Cause) -> tuple[Envelope, ...]:
        correlation_id = cause.correlation_id or self._ids.new()
        return tuple(
            Envelope(
                event_id=self._ids.new(),
                session_id=stream_id,
                version=version,
                recorded_at=self._clock.now(),
                actor=cause.actor,
                worker=self._worker,
                correlation_id=correlation_id,
                causation_id=cause.causation_id,
                policy=decision.policy,
                schema=SCHEMA,
                event=event,
            )
            for version, event in enumerate(decision.events, decision.version + 1)
        )
