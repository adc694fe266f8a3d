"""The purger: carries out purges, by numbered steps (docs/explanation/deletion-protocol.md).

1. the files are looked at, and the authorisation    4. the root's journal has the authorisation, durably
   is durable in the log                             5. files go by identity, through descriptors of their directories
2. the root proves itself                            6. every directory that held them is flushed
3. no playlist lists them any more                   7. the outcome is recorded

A crash after any step leaves the authorisation in the log, and carrying it out again does the rest.
"""

from collections.abc import Sequence
from typing import NamedTuple

import structlog

from application.handlers import Cause, Handler, Order
from application.journal import IntentJournal
from application.ports import Clock, Deletion, IdSource, MediaFiles
from application.publisher import Publisher
from application.roots import Roots
from application.sessions import Sessions
from domain.batch import Purge
from domain.commands import IssuePurge, RecordPurge
from domain.errors import LogDamaged, Refused
from domain.events import MediaRoot, Recorded
from domain.retention import is_among_the_newest
from domain.segments import identity_of
from domain.session import Session

ACTOR = "retention projector"
FIRST_RETRY_US = 1_000_000
LAST_RETRY_US = 300_000_000

log = structlog.get_logger("trailkeep.purge")


class Place(NamedTuple):
    """A batch of a session."""

    session_id: str
    batch: int


class _Open(NamedTuple):
    """A purge that is authorised and has no outcome."""

    session: Session
    batch: int
    purge: Purge


class Purger:
    """Authorises purges and carries them out: one, or those of different sessions below one root together.

    Together they share the transactions of the log, the look at the root, and the flush of its journal; each has an
    authorisation and an outcome of its own.
    """

    def __init__(
        self,
        handler: Handler,
        sessions: Sessions,
        publisher: Publisher,
        files: MediaFiles,
        journal: IntentJournal,
        roots: Roots,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._handler, self._sessions, self._publisher = handler, sessions, publisher
        self._files, self._journal, self._roots = files, journal, roots
        self._clock, self._ids = clock, ids

    def issue(self, session_id: str, batch: int, *, confirmed: str | None = None, actor: str = ACTOR) -> Recorded:
        """Record the authorisation to purge the batch (R10), on a root that proves to be ours (R17).

        If most of its files are not what they should be, PurgeRefused is recorded instead, until an operator confirms
        the plan that it names.

        Raises:
            Refused: it is not due, was issued before, or ``confirmed`` is not the plan that it waits for.
            RootSuspect: the root is not the one that the session was opened on.

        """
        session = self._sessions.load(session_id)
        with self._roots.proven(session.terms.media_root):
            order = self._order(session, batch, confirmed, actor)
        return self._handler.execute(*order)[0]

    def issue_each(self, root: MediaRoot, places: Sequence[Place]) -> list[Recorded | Refused]:
        """`issue`, for those of the batches, of different sessions below the root, that were not issued before.

        What is refused is in its batch's place.
        """
        found = [(self._sessions.load(place.session_id), place.batch) for place in places]
        new = [(session, batch) for session, batch in found if not _is_issued(session, batch)]
        if not new:
            return []
        with self._roots.proven(root):
            orders = [self._order(session, batch) for session, batch in new]
        answers = self._handler.execute_each(orders)
        return [answer if isinstance(answer, Refused) else answer[0] for answer in answers]

    def carry_out(self, session_id: str, batch: int) -> tuple[Recorded, ...]:
        """Do what an authorised purge still has to do and record the outcome; nothing if it has one or must wait.

        Raises:
            RootSuspect: the root is not ours, or would not flush; there is no outcome then.

        """
        return self.carry_out_each(self._sessions.load(session_id).terms.media_root, [Place(session_id, batch)])

    def carry_out_each(self, root: MediaRoot, places: Sequence[Place]) -> tuple[Recorded, ...]:
        """`carry_out`, for purges of different sessions below the root. If one cannot be done none has an outcome."""
        with self._files.exclusive(root.path):
            going = self._open(places)
            if not going:
                return ()
            self._roots.require(root)
            self._publisher.publish_held(root, [one.session for one in going])
            with self._journal.intent(root, *(one.purge.event_id for one in going)), self._roots.flushing(root):
                deletions = self._files.delete_each(root.path, [(_channel(one), one.purge.files) for one in going])
            return self._record(going, deletions)

    def _order(self, session: Session, batch: int, confirmed: str | None = None, actor: str = ACTOR) -> Order:
        """To authorise a purge, by what its files are found to be."""
        found, successor = session.batches.get(batch), self._sessions.successor(session)
        because = found.due if found and found.due else successor.newest
        cause = Cause(actor, because.correlation_id, because.event_id) if because else Cause(actor)
        identities = tuple(identity_of(file) for file in found.files) if found else ()
        compared = self._files.compare(session.terms.media_root.path, session.terms.channel, identities)
        command = IssuePurge(
            batch=batch,
            purge_id=self._ids.new(),
            now=self._clock.now(),
            uptime=self._clock.uptime(),
            successor=successor,
            absent=compared.absent,
            changed=compared.changed,
            confirmed=confirmed,
        )
        return Order(session.session_id, command, cause)

    def _open(self, places: Sequence[Place]) -> list[_Open]:
        """Those of the purges that have no outcome, and need not wait any more.

        Raises:
            LogDamaged: one is authorised that nothing can have led to, for it would take the channel's newest batches.

        """
        going, now = list[_Open](), self._clock.now()
        for session_id, number in places:
            session = self._sessions.load(session_id)
            batch = session.batches.get(number)
            if batch and batch.purge and now >= next_attempt(batch.purge, now):
                self._require_newer(session, number)
                going.append(_Open(session, number, batch.purge))
        return going

    def _require_newer(self, session: Session, batch: int) -> None:
        """Most have enough newer ones in their own session; only of a closed one the channel has to be asked."""
        if is_among_the_newest(session, batch) and is_among_the_newest(
            session, batch, self._sessions.successor(session)
        ):
            where = f"batch {batch} of session {session.session_id}"
            raise LogDamaged(None, f"the purge of {where} is authorised and would take the channel's newest (R19)")

    def _record(self, going: Sequence[_Open], deletions: Sequence[Deletion]) -> tuple[Recorded, ...]:
        orders = [self._outcome(one, deletion) for one, deletion in zip(going, deletions, strict=True)]
        recorded: list[Recorded] = []
        for answer in self._handler.execute_each(orders):
            if isinstance(answer, Refused):
                raise answer
            recorded += answer
        return tuple(recorded)

    def _outcome(self, one: _Open, deletion: Deletion) -> Order:
        purge, retry_at = one.purge, 0
        if deletion.remaining:
            retry_at = self._clock.now() + min(FIRST_RETRY_US << min(purge.attempt - 1, 30), LAST_RETRY_US)
            log.warning(
                "purge incomplete, will be tried again",
                session=one.session.session_id,
                batch=one.batch,
                attempt=purge.attempt,
                remaining={file.name: file.errno for file in deletion.remaining},
            )
        command = RecordPurge(
            batch=one.batch,
            deleted=len(deletion.deleted),
            bytes_freed=sum(file.size for file in deletion.deleted),
            already_absent=deletion.already_absent,
            superseded=deletion.superseded,
            remaining=deletion.remaining,
            retry_at=retry_at,
        )
        return Order(one.session.session_id, command, Cause(ACTOR, purge.correlation_id, purge.event_id))


def _is_issued(session: Session, number: int) -> bool:
    batch = session.batches.get(number)
    return batch is not None and batch.purge is not None


def _channel(one: _Open) -> str:
    return one.session.terms.channel


def next_attempt(purge: Purge, now: int) -> int:
    """When the purge is to be tried; at once, if it is to wait longer than any does: then the clock was set back."""
    return purge.retry_at if purge.retry_at <= now + LAST_RETRY_US else now
