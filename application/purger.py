"""The purger: carries out one purge, by numbered steps (docs/explanation/deletion-protocol.md).

1. the authorisation is durable in the log        4. files go by identity, through descriptors of their directories
2. the marker proves the root                     5. every directory that held them is flushed
3. no playlist lists them any more                6. the outcome is recorded

A crash after any step leaves the authorisation in the log, and carrying it out again does the rest.
"""

import structlog

from application.handlers import Cause, Handler
from application.ports import Clock, Deletion, IdSource, Marker, MediaFiles
from application.publisher import Publisher
from application.sessions import Sessions
from domain.batch import Purge
from domain.commands import IssuePurge, RecordPurge
from domain.errors import RootSuspect
from domain.events import Recorded
from domain.session import Session

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
        clock: Clock,
        ids: IdSource,
        store_id: str,
    ) -> None:
        self._handler, self._sessions, self._publisher = handler, sessions, publisher
        self._files, self._clock, self._ids, self._store_id = files, clock, ids, store_id

    def issue(self, session_id: str, batch: int) -> tuple[Recorded, ...]:
        """Record the authorisation to purge the batch (R10), on a root that proves to be ours (R17).

        Raises:
            Refused: it is not due, or was issued before.
            RootSuspect: the root is not the one that the session was opened on.

        """
        session = self._sessions.load(session_id)
        check_root(self._files, session, self._store_id)
        found, successor = session.batches.get(batch), self._sessions.successor(session)
        because = found.due if found and found.due else successor.newest
        cause = Cause(ACTOR, because.correlation_id, because.event_id) if because else Cause(ACTOR)
        return self._handler.execute(
            session_id,
            IssuePurge(
                batch=batch,
                purge_id=self._ids.new(),
                now=self._clock.now(),
                successor=successor,
            ),
            cause,
        )

    def carry_out(self, session_id: str, batch: int) -> tuple[Recorded, ...]:
        """Do what an authorised purge still has to do and record the outcome; nothing if it has one or must wait.

        Raises:
            RootSuspect: the root is not ours, or would not flush; there is no outcome then.

        """
        root = self._sessions.load(session_id).terms.media_root.path
        with self._files.exclusive(root):
            session = self._sessions.load(session_id)
            found = session.batches.get(batch)
            if found is None or found.purge is None or self._clock.now() < found.purge.retry_at:
                return ()
            check_root(self._files, session, self._store_id)
            self._publisher.publish_held(session_id)
            deletion = self._files.delete(root, session.terms.channel, found.purge.files)
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


def check_root(files: MediaFiles, session: Session, store_id: str) -> None:
    """Compare the root's marker with what the log says of it (R17).

    Raises:
        RootSuspect: the root is missing, has no marker, or has that of another root or store.

    """
    root = session.terms.media_root
    found, expected = files.read_marker(root.path), Marker(store_id=store_id, root_id=root.root_id)
    if found is None:
        raise RootSuspect(root.path, "its marker file is missing; is the disk mounted?")
    if found != expected:
        raise RootSuspect(root.path, f"its marker is of store {found.store_id} and root {found.root_id}, not ours")
