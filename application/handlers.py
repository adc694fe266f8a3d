"""Commands become events: load, decide, append on the version that was decided upon; on a race, all of it again."""

from collections.abc import Sequence

import msgspec
import structlog

from application.ports import Clock, EventLog, IdSource
from application.sessions import Sessions
from domain.commands import Command, OpenSession
from domain.decisions import decide
from domain.errors import ConcurrencyConflict
from domain.events import SCHEMA, Envelope, Event, Recorded
from domain.session import Session

ATTEMPTS = 50

log = structlog.get_logger("trailkeep.log")


class Cause(msgspec.Struct, frozen=True):
    """Who wants it, and what it follows from (R16); without a correlation id a new one begins."""

    actor: str
    correlation_id: str | None = None
    causation_id: str | None = None


class Handler:
    """Executes commands. ``worker`` names this process in every event that it records."""

    def __init__(self, log: EventLog, sessions: Sessions, clock: Clock, ids: IdSource, worker: str) -> None:
        self._log, self._sessions, self._clock, self._ids, self._worker = log, sessions, clock, ids, worker

    def execute(self, session_id: str, command: Command, cause: Cause) -> tuple[Recorded, ...]:
        """Record what follows from ``command`` and return it; empty if nothing does.

        Raises:
            Invalid, Refused: as `decide`; nothing was recorded.
            ConcurrencyConflict: other writers were first, `ATTEMPTS` times in a row.

        """
        for _ in range(ATTEMPTS):
            session = self._sessions.load(session_id)
            events = decide(session, command)
            if not events:
                return ()
            try:
                recorded = self._log.append(
                    self._envelopes(session, command, events, cause), expected_version=session.version
                )
            except ConcurrencyConflict as conflict:
                last = conflict
                continue
            for one in recorded:
                log.debug("recorded", position=one.position, type=type(one.event).__name__, session=session_id)
            return recorded
        raise last

    def _envelopes(
        self, session: Session, command: Command, events: Sequence[Event], cause: Cause
    ) -> tuple[Envelope, ...]:
        policy = command.policy if isinstance(command, OpenSession) else session.terms.policy
        correlation_id = cause.correlation_id or self._ids.new()
        return tuple(
            Envelope(
                event_id=self._ids.new(),
                session_id=session.session_id,
                version=version,
                recorded_at=self._clock.now(),
                actor=cause.actor,
                worker=self._worker,
                correlation_id=correlation_id,
                causation_id=cause.causation_id,
                policy=str(policy),
                schema=SCHEMA,
                event=event,
            )
            for version, event in enumerate(events, session.version + 1)
        )
