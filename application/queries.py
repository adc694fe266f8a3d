"""Questions that operators ask: what is due, and what became of each batch.

Every answer is a struct whose JSON form is part of the command-line contract. Times are microseconds since the epoch.
"""

from collections.abc import Iterable, Iterator
from itertools import takewhile

import msgspec

from application.journal import IntentJournal
from application.log_check import missing
from application.ports import Agenda, BatchRecord, Clock, EventLog, LogLine, ReadModels
from application.purger import next_attempt
from application.read_model_projector import ledger
from application.roots import Roots
from application.sessions import Sessions
from domain import retention
from domain.batch import Batch, Moment
from domain.errors import LogDamaged
from domain.events import Because
from domain.lifecycle import BatchState
from domain.session import Session

PAGE = 1000


class HistoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """One batch of a session."""

    batch: int
    state: str
    attempt: int
    files: int
    bytes: int
    started_at: int
    completed_at: int | None
    purged_at: int | None
    because: Because | None
    held_by: tuple[str, ...] = ()
    outcome: str | None = None


class PlanRow(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that is due, or will be; ``blocked_by`` says what else it waits for.

    ``plan_hash`` is what `trailkeep purge --confirm` takes, where the purge waits for that.
    """

    session_id: str
    channel: str
    batch: int
    due_at: int | None
    because: Because | None
    files: int
    bytes: int
    blocked_by: str | None
    plan_hash: str | None = None


class Queries:
    """Answers from the log and the read models; nothing here changes a file."""

    def __init__(
        self,
        log: EventLog,
        sessions: Sessions,
        read_models: ReadModels,
        agenda: Agenda,
        journal: IntentJournal,
        roots: Roots,
        clock: Clock,
    ) -> None:
        self._log, self._sessions, self._read_models = log, sessions, read_models
        self._agenda, self._journal, self._roots, self._clock = agenda, journal, roots, clock

    def history(self, session_id: str) -> list[HistoryRow]:
        """Every batch of the session, by number."""
        return [_history_row(record) for record in self._read_models.batches(session_id)]

    def history_at(self, session_id: str, at: int) -> list[HistoryRow]:
        """The batches whose files were on the disk at that moment, as the log tells it.

        Their order is that of the log. Where the clock was set back, a moment came more than once: the state is that
        after the last event that was recorded at ``at`` or before by the clock of then, whatever the times before it.
        """
        history = self._log.read_session(session_id)
        last = max((one.envelope.version for one in history if one.envelope.recorded_at <= at), default=0)
        past = takewhile(lambda one: one.envelope.version <= last, self._log.read_session(session_id))
        return [_history_row(record) for record in ledger(past) if record.state != BatchState.PURGED]

    def lines(self, after: int = 0) -> Iterator[LogLine]:
        """The log line by line from a position up to its head of now, each as sound as can be told without parsing.

        Raises:
            LogDamaged: a line is missing or altered; those before it have been given.

        """
        head = self._log.head()
        while page := self._log.read_lines(after=after, limit=PAGE):
            for line in page:
                if line.position != after + 1:
                    raise LogDamaged(after + 1, missing(line.position))
                if fault := self._log.fault_of(line):
                    raise LogDamaged(line.position, fault)
                yield line
                after = line.position
        if after < head:
            raise LogDamaged(after + 1, "the event is missing")

    def lines_of(self, session_id: str, after: int = 0) -> Iterator[LogLine]:
        """As `lines`, of one session alone: nothing else is read.

        Raises:
            LogDamaged: a line of the session is missing or altered; those before it have been given.

        """
        version = self._version_at(session_id, after)
        while page := self._log.read_session_lines(session_id, after_version=version, limit=PAGE):
            for line in page:
                version += 1
                if line.version != version:
                    raise LogDamaged(line.position, f"version {version} of session {session_id} should be here")
                if fault := self._log.fault_of(line):
                    raise LogDamaged(line.position, fault)
                yield line

    def _version_at(self, session_id: str, position: int) -> int:
        """The version that the session had at a position of the log, by halving: its positions ascend."""
        low, high = 0, self._log.version_of(session_id) if position else 0
        while low < high:
            middle = (low + high + 1) // 2
            at = self._log.read_session_lines(session_id, after_version=middle - 1, limit=1)
            low, high = (middle, high) if at and at[0].position <= position else (low, middle - 1)
        return low

    def plan(self, session_ids: Iterable[str]) -> list[PlanRow]:
        """What is due in these sessions and what will be, oldest batch first; it is what a run would do (R18)."""
        complaint = next(self._journal.complaints(self._journal.roots()), None)
        doubt = f"R15: {complaint.reason}" if complaint else None
        return [
            row
            for session_id in session_ids
            for row in sorted(self._plan_of(self._sessions.load(session_id), doubt), key=lambda row: row.batch)
        ]

    def refused(self) -> list[PlanRow]:
        """The purges on the agenda that were refused and wait for a person, who confirms ``plan_hash`` (R19)."""
        waiting = {item.session_id for item in self._agenda.waiting()}
        return [row for row in self.plan(sorted(waiting)) if row.plan_hash] if waiting else []

    def planned_sessions(self) -> list[str]:
        """The sessions in which anything is due or will be, in the order in which they were opened.

        The retention projector's agenda tells them; of what it has not read yet, the log does.
        """
        after = self._agenda.checkpoint()
        found = {item.session_id for item in self._agenda.items()}
        while page := self._log.read_lines(after=after, limit=PAGE):
            found.update(line.session_id for line in page)
            after = page[-1].position
        summaries = {one.session_id: one for one in self._read_models.summaries(found)}
        for summary in list(summaries.values()):
            session = self._sessions.load(summary.session_id)
            earlier = [one.session_id for one in self._sessions.earlier(session)]
            summaries |= {one.session_id: one for one in self._read_models.summaries(earlier)}
        in_order = sorted(summaries.values(), key=lambda one: (one.opened_at, one.session_id))
        return [one.session_id for one in in_order if one.batches_completed > one.batches_purged]

    def _plan_of(self, session: Session, doubt: str | None) -> Iterator[PlanRow]:
        """``doubt`` is what is held against the log, and so against every purge."""
        terms, now = session.terms, Moment(self._clock.now(), self._clock.uptime())
        distrust = self._roots.examine(terms.media_root)
        suspect = f"R17: {distrust}" if distrust else doubt
        for due in retention.due(session, self._sessions.successor(session)):
            batch = session.batches[due.batch]
            yield PlanRow(
                session_id=session.session_id,
                channel=terms.channel,
                batch=due.batch,
                due_at=due.by(now),
                because=due.because,
                files=len(batch.files),
                bytes=batch.bytes,
                blocked_by=due.waits_for or suspect,
                plan_hash=due.plan,
            )
        for batch in session.batches.values():
            if batch.purge:
                yield _open_purge(session, batch, suspect, now.at)


def _history_row(record: BatchRecord) -> HistoryRow:
    return HistoryRow(
        batch=record.batch,
        state=record.state,
        attempt=record.attempt,
        files=record.files,
        bytes=record.bytes,
        started_at=record.started_at,
        completed_at=record.completed_at,
        purged_at=record.purged_at,
        because=because_of(record),
        outcome=record.outcome,
    )


def because_of(record: BatchRecord) -> Because | None:
    """Why the batch's purge was authorised, if it was."""
    return msgspec.json.decode(record.because, type=Because) if record.because else None


def _open_purge(session: Session, batch: Batch, suspect: str | None, now: int) -> PlanRow:
    assert batch.purge is not None
    return PlanRow(
        session_id=session.session_id,
        channel=session.terms.channel,
        batch=batch.number,
        due_at=next_attempt(batch.purge, now) or min(batch.purge.issued_at, now),
        because=batch.purge.because,
        files=len(batch.purge.files),
        bytes=sum(file.size for file in batch.purge.files),
        blocked_by=suspect,
    )
