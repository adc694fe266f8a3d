"""The repair of orphans: files of a channel that no event explains are deleted, by an operator's order.

They go as segments do (docs/explanation/deletion-protocol.md): authorised in the log, deleted by identity below a root
that proves to be ours, flushed, recorded. A crash in between leaves the authorisation, and carrying it out again does
the rest.
"""

from collections.abc import Sequence

import msgspec

from application.disk_check import explained_by, needed_by
from application.handlers import Cause, Handler
from application.journal import IntentJournal
from application.log_check import LogCheck
from application.ports import EventLog, IdSource, MediaFiles, Playlists
from application.roots import Roots
from application.sessions import Sessions, by_root
from domain.commands import CondemnOrphans, RecordRemoval
from domain.errors import Refused, RootSuspect
from domain.events import FileIdentity, PurgeFailed, Recorded, RemainingFile, SegmentsPurged
from domain.segments import relative_file
from domain.session import Session

ACTOR = "repair"
AT_ONCE = 1000
"""How many files one authorisation names: it is one line of the log."""

LISTED = "a playlist lists it (R8)"
NO_FILE = "it is no regular file, its name is not printable, or it changes just now"


class Orphans(msgspec.Struct, frozen=True):
    """Files that no event explains, relative to the channel's directory below ``root``.

    ``left`` are those that are not deleted, each with the reason.
    """

    channel: str
    root: str
    files: tuple[FileIdentity, ...]
    left: tuple[tuple[str, str], ...]


class OrphanRemover:
    """Tells which orphans there are, and deletes them."""

    def __init__(
        self,
        log: EventLog,
        log_check: LogCheck,
        handler: Handler,
        sessions: Sessions,
        files: MediaFiles,
        playlists: Playlists,
        journal: IntentJournal,
        roots: Roots,
        ids: IdSource,
    ) -> None:
        self._log, self._log_check, self._handler, self._sessions = log, log_check, handler, sessions
        self._files, self._playlists, self._journal, self._roots, self._ids = files, playlists, journal, roots, ids

    def find(self, channel: str) -> list[Orphans]:
        """What `remove` would delete and leave now, by root.

        Raises:
            NotFound: the channel never had a session.
            RootSuspect: a root does not prove to be ours (R17).

        """
        found: list[Orphans] = []
        for sessions in by_root(self._sessions.of_channel(channel)):
            root = sessions[-1].terms.media_root
            if distrust := self._roots.examine(root):
                raise RootSuspect(root.path, distrust)
            found.append(self._orphans_of(sessions))
        return found

    def remove(self, channel: str, reason: str, cause: Cause) -> list[Recorded]:
        """Finish what an earlier removal left open, then authorise and delete the orphans that there are.

        Raises:
            NotFound: as `find`.
            RootSuspect: a root does not prove to be ours, or would not flush: there is no outcome then.
            LogDamaged: the log is not whole.

        """
        self._log_check.require_intact()
        recorded: list[Recorded] = []
        for sessions in by_root(self._sessions.of_channel(channel)):
            root = sessions[-1].terms.media_root
            with self._files.exclusive(root.path):
                self._roots.require(root)
                for session in sessions:
                    recorded += self._carry_out(session.session_id)
                now = self._on_root(sessions[-1])
                found = self._orphans_of(now).files
                for start in range(0, len(found), AT_ONCE):
                    recorded += self._condemn(now[-1], found[start : start + AT_ONCE], reason, cause)
                    recorded += self._carry_out(now[-1].session_id)
        return recorded

    def finish(self, session_id: str) -> tuple[Recorded, ...]:
        """Carry out a removal that a crash left open, if the session has one.

        Raises:
            RootSuspect, LogDamaged: as `remove`.

        """
        session = self._sessions.load(session_id)
        if session.removal is None:
            return ()
        self._log_check.require_intact()
        root = session.terms.media_root
        with self._files.exclusive(root.path):
            self._roots.require(root)
            return self._carry_out(session_id)

    def _on_root(self, session: Session) -> list[Session]:
        """The sessions of the channel, as they are now, that are on the session's root."""
        root = session.terms.media_root.path
        return [one for one in self._sessions.of_channel(session.terms.channel) if one.terms.media_root.path == root]

    def _orphans_of(self, sessions: Sequence[Session]) -> Orphans:
        root, channel = sessions[-1].terms.media_root.path, sessions[-1].terms.channel
        explained, left_alone = explained_by(sessions), self._left_alone(sessions)
        strange = [
            file
            for file in self._files.list_files(root, channel)
            if file.file not in explained and file not in left_alone
        ]
        listed = self._listed(sessions)
        removable = self._files.removable(root, channel, [file for file in strange if file.file not in listed])
        left = {file.file: LISTED if file.file in listed else NO_FILE for file in strange}
        for file in removable:
            del left[file.file]
        return Orphans(channel, root, removable, tuple(left.items()))

    def _listed(self, sessions: Sequence[Session]) -> set[str]:
        """What the playlists on disk list, whether the log wants it or not: viewers ask for it."""
        terms = sessions[-1].terms
        shown = self._playlists.shown(terms.media_root.path, terms.channel)
        return {relative_file(rendition, name) for rendition, one in shown.items() for name in one.names}

    def _left_alone(self, sessions: Sequence[Session]) -> set[FileIdentity]:
        """The files that purges found under a name of theirs and left alone (R11): an event speaks of them."""
        return {
            file
            for session in sessions
            for recorded in self._log.read_session(session.session_id)
            if isinstance(recorded.event, PurgeFailed | SegmentsPurged)
            for file in recorded.event.superseded
        }

    def _condemn(
        self, session: Session, files: tuple[FileIdentity, ...], reason: str, cause: Cause
    ) -> tuple[Recorded, ...]:
        """Authorise the deletion of those that still are orphans: a batch may have started that needs one (R2)."""
        order = CondemnOrphans(removal_id=self._ids.new(), files=files, reason=reason)
        while True:
            try:
                return self._handler.execute(session.session_id, order, cause)
            except Refused:
                needed = needed_by(self._on_root(session))
                free = tuple(file for file in order.files if file.file not in needed)
                if free == order.files:
                    raise
                order = msgspec.structs.replace(order, files=free)

    def _carry_out(self, session_id: str) -> tuple[Recorded, ...]:
        """Delete what is condemned and record the outcome, for one who holds the root; nothing if nothing is."""
        session = self._sessions.load(session_id)
        removal, terms = session.removal, session.terms
        if removal is None:
            return ()
        needed = needed_by(self._on_root(session))
        root = terms.media_root
        with self._journal.intent(root, removal.event_id), self._roots.flushing(root):
            deletion = self._files.remove(
                root.path, terms.channel, [file for file in removal.files if file.file not in needed]
            )
        kept = [RemainingFile(name=file.file, errno="EBUSY") for file in removal.files if file.file in needed]
        return self._handler.execute(
            session_id,
            RecordRemoval(
                deleted=len(deletion.deleted),
                bytes_freed=sum(file.size for file in deletion.deleted),
                already_absent=deletion.already_absent,
                superseded=deletion.superseded,
                remaining=(*deletion.remaining, *kept),
            ),
            Cause(ACTOR, removal.correlation_id, removal.event_id),
        )
