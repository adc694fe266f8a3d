"""The repair of losses: that files of kept batches are gone is taken note of, by an operator's order."""

from collections.abc import Iterable, Iterator

import msgspec

from application.handlers import Cause, Handler
from application.log_check import LogCheck
from application.ports import MediaFiles
from application.publisher import Publisher
from application.roots import Roots
from application.sessions import Sessions, by_root
from domain.commands import RecordLoss
from domain.errors import RootSuspect
from domain.events import Recorded
from domain.lifecycle import BatchState
from domain.segments import identity_of
from domain.session import Session


class LostFiles(msgspec.Struct, frozen=True):
    """Files of a kept batch that are gone: absolute paths."""

    session_id: str
    channel: str
    batch: int
    files: tuple[str, ...]


class Losses:
    """Tells what is lost, and records it: the playlists go on without it, and a purge does not wait for it."""

    def __init__(
        self,
        log_check: LogCheck,
        handler: Handler,
        sessions: Sessions,
        publisher: Publisher,
        files: MediaFiles,
        roots: Roots,
    ) -> None:
        self._log_check, self._handler, self._sessions = log_check, handler, sessions
        self._publisher, self._files, self._roots = publisher, files, roots

    def find(self, channel: str) -> list[LostFiles]:
        """What `note` would record now.

        Raises:
            NotFound: the channel never had a session.
            RootSuspect: a root does not prove to be ours: absent is not deleted (R17).

        """
        found: list[LostFiles] = []
        for sessions in by_root(self._sessions.of_channel(channel)):
            root = sessions[-1].terms.media_root
            if distrust := self._roots.examine(root):
                raise RootSuspect(root.path, distrust)
            found += [
                LostFiles(session.session_id, channel, batch, self._paths(session, absent))
                for session, batch, absent in self._lost(sessions)
            ]
        return found

    def note(self, channel: str, reason: str, cause: Cause) -> list[Recorded]:
        """Record SegmentsLost for each batch that lost files, and write the playlists again.

        Raises:
            NotFound, RootSuspect: as `find`; of that root nothing was recorded.
            LogDamaged: the log is not whole.

        """
        self._log_check.require_intact()
        recorded: list[Recorded] = []
        for before in by_root(self._sessions.of_channel(channel)):
            root = before[-1].terms.media_root
            # Who holds the root knows that no purge takes a file while it looks.
            with self._files.exclusive(root.path):
                self._roots.require(root)
                for session, batch, absent in self._lost([self._sessions.load(one.session_id) for one in before]):
                    order = RecordLoss(batch=batch, files=absent, reason=reason)
                    recorded += self._handler.execute(session.session_id, order, cause)
                # The first session stands for all: what is written is of the newest that has something to show.
                recorded += self._publisher.publish_held(root, [self._sessions.load(before[0].session_id)])
        return recorded

    def _lost(self, sessions: Iterable[Session]) -> Iterator[tuple[Session, int, tuple[str, ...]]]:
        for session in sessions:
            root, channel = session.terms.media_root.path, session.terms.channel
            for batch in session.batches.values():
                if batch.state is BatchState.COMPLETED:
                    files = [identity_of(file) for file in batch.files]
                    if absent := self._files.compare(root, channel, files).absent:
                        yield session, batch.number, absent

    def _paths(self, session: Session, files: Iterable[str]) -> tuple[str, ...]:
        terms = session.terms
        return tuple(self._files.path(terms.media_root.path, terms.channel, file) for file in files)
