"""The purger: carries out one purge, by numbered steps (docs/explanation/deletion-protocol.md).

1. the files are looked at, and the authorisation    4. the root's journal has the authorisation, durably
   is durable in the log                             5. files go by identity, through descriptors of their directories
2. the root proves itself                            6. every directory that held them is flushed
3. no playlist lists them any more                   7. the outcome is recorded

A crash after any step leaves the authorisation in the log, and carrying it out again does the rest.
"""

import structlog

from application.handlers import Cause, Handler
from application.journal import IntentJournal
from application.ports import Clock, Deletion, IdSource, MediaFiles
from application.publisher import Publisher
from application.roots import Roots
from application.sessions import Sessions
from domain.batch import Purge
from domain.commands import IssuePurge, RecordPurge
from domain.events import Recorded
from domain.segments import identity_of

ACTOR = "retention projector"
FIRST_RETRY_US = 1_000_000
LAST_RETRY_US = 300_000_000

log = structlog.get_logger("trailkeep.purge")


class Purger:
    """Authorises purges and carries them out."""

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
        self._roots.require(session.terms.media_root)
        found, successor = session.batches.get(batch), self._sessions.successor(session)
        because = found.due if found and found.due else successor.newest
        cause = Cause(actor, because.correlation_id, because.event_id) if because else Cause(actor)
        identities = tuple(identity_of(file) for file in found.files) if found else ()
        compared = self._files.compare(session.terms.media_root.path, session.terms.channel, identities)
        return self._handler.execute(
            session_id,
            IssuePurge(
                batch=batch,
                purge_id=self._ids.new(),
                now=self._clock.now(),
                uptime=self._clock.uptime(),
                successor=successor,
                absent=compared.absent,
                changed=compared.changed,
                confirmed=confirmed,
            ),
            cause,
        )[0]

    def carry_out(self, session_id: str, batch: int) -> tuple[Recorded, ...]:
        """Do what an authorised purge still has to do and record the outcome; nothing if it has one or must wait.

        Raises:
            RootSuspect: the root is not ours, or would not flush; there is no outcome then.

        """
        root = self._sessions.load(session_id).terms.media_root
        with self._files.exclusive(root.path):
            session = self._sessions.load(session_id)
            found = session.batches.get(batch)
            now = self._clock.now()
            if found is None or found.purge is None or now < next_attempt(found.purge, now):
                return ()
            self._roots.require(root)
            self._publisher.publish_held(session_id)
            with self._journal.intent(root, found.purge.event_id), self._roots.flushing(root):
                deletion = self._files.delete(root.path, session.terms.channel, found.purge.files)
            return self._record(session_id, batch, found.purge, deletion)

    def _record(self, session_id: str, batch: int, purge: Purge, deletion: Deletion) -> tuple[Recorded, ...]:
        retry_at = 0
        if deletion.remaining:
            retry_at = self._clock.now() + min(FIRST_RETRY_US << min(purge.attempt - 1, 30), LAST_RETRY_US)
            log.warning(
                "purge incomplete, will be tried again",
                session=session_id,
                batch=batch,
                attempt=purge.attempt,
                remaining={file.name: file.errno for file in deletion.remaining},
            )
        return self._handler.execute(
            session_id,
            RecordPurge(
                batch=batch,
                deleted=len(deletion.deleted),
                bytes_freed=sum(file.size for file in deletion.deleted),
                already_absent=deletion.already_absent,
                superseded=deletion.superseded,
                remaining=deletion.remaining,
                retry_at=retry_at,
            ),
            Cause(ACTOR, purge.correlation_id, purge.event_id),
        )


def next_attempt(purge: Purge, now: int) -> int:
    """When the purge is to be tried; at once, if it is to wait longer than any does: then the clock was set back."""
    return purge.retry_at if purge.retry_at <= now + LAST_RETRY_US else now
