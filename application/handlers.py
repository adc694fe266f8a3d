"""Commands become events: load, decide, append on the version that was decided upon; on a race, all of it again."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain, repeat
from typing import NamedTuple

import msgspec

from application.claims import Claims
from application.ports import Clock, Draft, EventLog, Fence, IdSource
from application.seen import Seen
from application.sessions import Sessions
from domain.commands import Command, OpenSession
from domain.decisions import decide
from domain.errors import ConcurrencyConflict, Invalid, Refused
from domain.events import SCHEMA, Envelope, Event, Recorded
from domain.session import Session

ATTEMPTS = 50


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


class Order(NamedTuple):
    """A command for a session, and whose it is: see `Handler.execute`."""

    session_id: str
    command: Command
    cause: Cause


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
        looks = chain([self._at_first], repeat(self._decided))
        return self.record(session_id, lambda: next(looks)(session_id, command), cause, self._sessions.forget)

    def execute_each(self, orders: Sequence[Order]) -> list[tuple[Recorded, ...] | Refused]:
        """`execute`, for orders of different sessions: in one transaction, as far as nothing comes in between.

        What is refused is in its order's place. Errors as `execute`.
        """
        if len(orders) == 1:
            return [self._alone(orders[0])]
        answers: dict[int, tuple[Recorded, ...] | Refused] = {}
        drafts: dict[int, Draft] = {}
        for number, order in enumerate(orders):
            try:
                decision = self._at_first(order.session_id, order.command)
            except Refused as refused:
                answers[number] = refused
                continue
            envelopes = self._envelopes(order.session_id, decision, order.cause)
            if envelopes:
                drafts[number] = Draft(envelopes, decision.version, decision.fence)
        for number, recorded in zip(drafts, self._log.append_each(list(drafts.values())), strict=True):
            answers[number] = self._alone(orders[number]) if recorded is None else self._noted(recorded)
        return [answers.get(number, ()) for number in range(len(orders))]

    def _alone(self, order: Order) -> tuple[Recorded, ...] | Refused:
        try:
            return self.execute(*order)
        except Refused as refused:
            return refused

    def _at_first(self, session_id: str, command: Command) -> Decision:
        """By the state that is known already: what came in between is found out by the append.

        Unless nothing would be appended: that is for the log to say.
        """
        with suppress(Invalid, Refused):
            decision = self._decision(self._sessions.known(session_id), command)
            if decision.events:
                return decision
        return self._decided(session_id, command)

    def _decided(self, session_id: str, command: Command) -> Decision:
        return self._decision(self._sessions.load(session_id), command)

    def _decision(self, session: Session, command: Command) -> Decision:
        events = decide(session, command)
        policy = command.policy if isinstance(command, OpenSession) else session.terms.policy
        return Decision(session.version, events, str(policy), self._claims.fence(session, command))

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
            return self._noted(recorded)
        raise last

    def _noted(self, recorded: tuple[Recorded, ...]) -> tuple[Recorded, ...]:
        self._seen.note(*recorded)
        self._sessions.heard(recorded)
        return recorded

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
