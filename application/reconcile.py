"""What the media know and the log does not: told from the journals and the playlists, and accepted by an operator."""

from collections.abc import Sequence

import msgspec

from application.handlers import Cause
from application.journal import IntentJournal
from application.ports import MediaFiles
from application.roots import Roots
from application.witnesses import Witnesses
from domain.errors import NotFound, RootUnavailable
from domain.events import LostEvent, MediaRoot, Recorded


class MissingEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that the journal of a root tells of, and the log does not have. The time is of its recording."""

    root: str
    channel: str
    session_id: str
    batch: int | None
    type: str
    recorded_at: int
    position: int
    event_id: str


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """What is missing, and which playlists show more than the log knows, unless that was accepted before.

    ``roots`` are those whose journals were read, ``unread`` says of the others why not.
    """

    roots: tuple[str, ...]
    missing: tuple[MissingEvent, ...]
    playlists: tuple[str, ...]
    unread: tuple[str, ...]


class Reconciler:
    """Compares the journals of roots with the log, and records an operator's word on what is missing."""

    def __init__(
        self, journal: IntentJournal, witnesses: Witnesses, roots: Roots, files: MediaFiles, store_id: str
    ) -> None:
        self._journal, self._witnesses, self._roots, self._files = journal, witnesses, roots, files
        self._store_id = store_id

    def find(self, others: Sequence[str] = ()) -> Reconciliation:
        """What the journals of all known roots, and of ``others``, have and the log has not.

        Raises:
            NotFound: one of the others bears no marker of this store.

        """
        read: list[str] = []
        unread: list[str] = []
        missing: list[MissingEvent] = []
        for root in self._all(others):
            try:
                lost = self._journal.missing(root)
            except RootUnavailable as unavailable:
                unread.append(str(unavailable))
                continue
            read.append(root.path)
            missing += [
                MissingEvent(
                    root=root.path,
                    channel=line.channel,
                    session_id=line.session_id,
                    batch=line.batch,
                    type=line.type,
                    recorded_at=line.recorded_at,
                    position=line.position,
                    event_id=line.event_id,
                )
                for line in sorted(lost, key=lambda line: line.position)
            ]
        ahead = tuple(one.fact for one in self._witnesses.ahead() if one.channel not in self._roots.lossy(one.root_id))
        return Reconciliation(roots=tuple(read), missing=tuple(missing), playlists=ahead, unread=tuple(unread))

    def in_the_way(self) -> list[str]:
        """The playlists that show what the log does not know, whether that was accepted or not: none follows them."""
        return [one.fact for one in self._witnesses.ahead()]

    def accept(self, reason: str, cause: Cause, others: Sequence[str] = ()) -> list[Recorded]:
        """Record for each root what the log lost, as its journal tells, and that an operator knows; errors as `find`.

        Raises:
            RootSuspect: a journal cannot be read; those before it are accepted.

        """
        recorded: list[Recorded] = []
        for root in self._all(others):
            try:
                there = msgspec.structs.replace(root, device=self._files.device(root.path))
            except RootUnavailable:
                continue
            lost = [
                LostEvent(
                    position=line.position,
                    event_id=line.event_id,
                    type=line.type,
                    channel=line.channel,
                    batch=line.batch,
                )
                for line in sorted(self._journal.missing(root), key=lambda line: line.position)
            ]
            recorded += self._roots.accept(there, lost, reason, cause)
        return recorded

    def _all(self, others: Sequence[str]) -> list[MediaRoot]:
        known = self._journal.roots()
        paths = {root.path for root in known}
        return [*known, *(self._marked(path) for path in dict.fromkeys(others) if path not in paths)]

    def _marked(self, path: str) -> MediaRoot:
        """A root that the log knows nothing of, for what it knew is lost: its marker tells whose it is."""
        marker = self._files.read_marker(path)
        if marker is None or marker.store_id != self._store_id:
            raise NotFound("root", path, "a directory that bears a marker of this store")
        return MediaRoot(path=path, root_id=marker.root_id)
