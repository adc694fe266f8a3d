"""The retention projector: reads the log, keeps an agenda of what is due, and has it purged.

The agenda and the checkpoint move in one transaction. What is on the agenda is acted on until the log says that it is
done; so a crash at any moment costs a repetition, never a deletion.
"""

from collections.abc import Iterable

import msgspec
import structlog

from application.ports import Agenda, AgendaItem, Clock, EventLog
from application.purger import Purger
from application.sessions import Sessions
from domain import retention
from domain.errors import FlushFailed, Refused, RootSuspect
from domain.events import Recorded
from domain.session import Session

PAGE = 1000

log = structlog.get_logger("trailkeep.retention")


class Round(msgspec.Struct, frozen=True):
    """What one round of the projector recorded, and which roots it paused for, with the reason."""

    recorded: tuple[Recorded, ...] = ()
    paused: dict[str, str] = {}


class RetentionProjector:
    """Turns completed batches into purges."""

    def __init__(self, log: EventLog, sessions: Sessions, agenda: Agenda, purger: Purger, clock: Clock) -> None:
        self._log, self._sessions, self._agenda = log, sessions, agenda
        self._purger, self._clock = purger, clock
        self._paused: dict[str, str] = {}
        self._unflushed: dict[str, str] = {}

    def catch_up(self) -> None:
        """Bring the agenda up to the head of the log."""
        checkpoint = self._agenda.checkpoint()
        while page := self._log.read(after=checkpoint, limit=PAGE):
            checkpoint = page[-1].position
            touched = {recorded.envelope.session_id for recorded in page}
            self._agenda.replace(self._items(touched), checkpoint=checkpoint)

    def run_once(self) -> Round:
        """Catch up and act until nothing more is due now."""
        recorded: list[Recorded] = []
        while True:
            self.catch_up()
            acted, paused = self._act()
            recorded += acted
            if not acted:
                self._say(paused)
                return Round(tuple(recorded), paused)

    def next_due_at(self) -> int | None:
        """When there will be something to do without a further event, in microseconds since the epoch."""
        return self._agenda.next_due_at()

    def _items(self, session_ids: Iterable[str]) -> dict[str, list[AgendaItem]]:
        items: dict[str, list[AgendaItem]] = {}
        for session_id in session_ids:
            session = self._sessions.load(session_id)
            items[session_id] = self._agenda_of(session)
            for earlier in self._sessions.earlier(session):
                items[earlier.session_id] = self._agenda_of(earlier)
        return items

    def _agenda_of(self, session: Session) -> list[AgendaItem]:
        due = {item.batch: item.due_at for item in retention.due(session, self._sessions.successor(session))}
        due |= {number: batch.purge.retry_at for number, batch in session.batches.items() if batch.purge}
        return [AgendaItem(session.session_id, number, due[number]) for number in sorted(due)]

    def _act(self) -> tuple[list[Recorded], dict[str, str]]:
        recorded: list[Recorded] = []
        paused = dict(self._unflushed)
        for item in self._agenda.due(self._clock.now()):
            session = self._sessions.load(item.session_id)
            root = session.terms.media_root.path
            if root in paused:
                continue
            try:
                self._purge(session, item.batch, recorded)
            except RootSuspect as suspect:
                paused[root] = suspect.reason
                if isinstance(suspect, FlushFailed):
                    self._unflushed[root] = f"{suspect.reason}; purging of it goes on when Trailkeep is started again"
            except Refused as refused:
                # Another process was first, or the clock went back: the agenda was right once and is made right again.
                log.debug("agenda was stale", session=item.session_id, batch=item.batch, reason=refused.reason)
                checkpoint = self._agenda.checkpoint()
                self._agenda.replace(self._items([item.session_id]), checkpoint=checkpoint)
        return recorded, paused

    def _purge(self, session: Session, number: int, recorded: list[Recorded]) -> None:
        batch = session.batches.get(number)
        if batch is None or batch.purge is None:
            recorded += self._purger.issue(session.session_id, number)
        recorded += self._purger.carry_out(session.session_id, number)

    def _say(self, paused: dict[str, str]) -> None:
        for root in paused.keys() - self._paused.keys():
            log.warning("purging pauses for this media root (R17)", root=root, reason=paused[root])
        for root in self._paused.keys() - paused.keys():
            log.info("purging goes on for this media root", root=root)
        self._paused = paused
