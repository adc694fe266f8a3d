"""The journal that each media root keeps: what the log said, on the disk that it is about, to compare the log with.

A log that lost events (put back, or failed over to a copy that lagged) is whole in itself, and may not know of a
closing or a purge any more. The journals do. So a line is durable before the act that it stands for: that of
PurgeIssued before the first unlink, that of BatchCompleted before a playlist lists it. And nothing is deleted while a
journal tells of an event that the log does not have, unless an operator accepted that.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import msgspec
import structlog
from msgspec.structs import replace

from application.journal_lines import JournalLines
from application.ports import EventLog, JournalLine, JournalPlace, Journals, MediaFiles, ReadModels
from application.roots import Roots
from application.seen import Sighting, absent, sentence
from application.sessions import Sessions
from domain.errors import EventsLost, RootFull, RootUnavailable
from domain.events import MediaRoot, Recorded

LONGEST = 4000
KEEP = 2000
"""A journal longer than `LONGEST` lines is rewritten with the newest `KEEP`, by who found each of them in the log."""

RELIST = 500
"""After so many events it is asked anew which roots there are: that is a look at every session."""

log = structlog.get_logger("trailkeep.journal")


class _Known(msgspec.Struct, frozen=True):
    """What this process has read of one journal: up to where, and the ids in it.

    ``strange`` are the lines that were not compared with the log yet, or that it did not have.
    """

    ids: set[str]
    place: JournalPlace = JournalPlace()
    strange: tuple[JournalLine, ...] = ()


class IntentJournal:
    """Writes the journals of all media roots, and compares them with the log."""

    def __init__(
        self,
        event_log: EventLog,
        sessions: Sessions,
        roots: Roots,
        files: MediaFiles,
        journals: Journals,
        read_models: ReadModels,
        store_id: str,
    ) -> None:
        self._log, self._sessions, self._roots, self._files = event_log, sessions, roots, files
        self._journals, self._read_models, self._store_id = journals, read_models, store_id
        self._lines = JournalLines(event_log, sessions, store_id)
        self._known: dict[str, _Known] = {}
        self._unflushed: dict[str, set[str]] = {}
        self._listed: int | None = None
        self._roots_known: set[MediaRoot] = set()

    def write(self, root: MediaRoot, *event_ids: str) -> None:
        """Write the events' lines, durably, unless they are there; for one who holds the root.

        A line that is there, and that this process did not write, may not be on disk yet: who wrote it may have been
        killed before it flushed it, or before it flushed the root in which the journal was made.

        Raises:
            EventsLost: the log does not have one of them any more; nothing was written.
            RootUnavailable: it cannot be written now; `RootFull` if there is no room.
            RootSuspect: it cannot be written at all, or was not flushed, and that is recorded.

        """
        known = self._read(root.path)
        self._write(root, known, event_ids, self._new_lines(root, known, event_ids))

    def _new_lines(self, root: MediaRoot, known: _Known, event_ids: Iterable[str]) -> list[JournalLine]:
        """Those of the events' lines that are not there yet."""
        try:
            return self._lines.named(root, [one for one in dict.fromkeys(event_ids) if one not in known.ids])
        except EventsLost:
            self.forget()
            raise

    def _write(self, root: MediaRoot, known: _Known, event_ids: Sequence[str], lines: Sequence[JournalLine]) -> None:
        self._roots_known.add(MediaRoot(path=root.path, root_id=root.root_id))
        by_path = self._unflushed
        if first := root.path not in by_path:
            by_path[root.path] = set(known.ids)
        unflushed = by_path[root.path]
        with self._roots.flushing(root):
            if (first and unflushed) or not unflushed.isdisjoint(event_ids):
                self._journals.flush(root.path)
                unflushed.clear()
            if lines:
                self._journals.append(root.path, lines)
                self._read(root.path)
                unflushed.clear()

    def note(self, root: MediaRoot, event_id: str) -> None:
        """`write` where that is possible, for one who does not hold the root, and does not wait for its disk.

        Raises:
            EventsLost: as `write`.

        """
        try:
            self._roots.require(root)
            with self._files.exclusive(root.path):
                self.write(root, event_id)
        except EventsLost:
            raise
        except RootUnavailable as unavailable:
            log.warning("the root's journal does not tell of it", event_id=event_id, reason=unavailable.reason)

    @contextmanager
    def intent(self, root: MediaRoot, *event_ids: str) -> Iterator[None]:
        """`write` before what the events authorise is done, inside the block, by one who holds the root.

        Where the disk has no room for the lines, doing it may be what makes room: they are written right after.
        A journal that became long is shortened before.
        """
        known, full = self._read(root.path), False
        lines = self._new_lines(root, known, event_ids)
        try:
            self._write(root, known, event_ids, lines)
            self._shorten(root)
        except RootFull:
            full = True
        yield
        if full:
            known = self._read(root.path)
            self._write(root, known, event_ids, [line for line in lines if line.event_id not in known.ids])

    def missing(self, root: MediaRoot) -> list[JournalLine]:
        """The lines of the root's journal that the log does not have, and nobody accepted.

        Raises:
            RootSuspect: the root is missing, or its journal cannot be read or understood.
            RootUnavailable: it cannot be read now.

        """
        by_path, known = self._known, self._read(root.path)
        strange = absent(self._log, (Sighting(one.position, one.event_id, one.leaf_hash) for one in known.strange))
        strange -= self._roots.accepted(root.root_id) if strange else set()
        left = tuple(line for line in known.strange if line.event_id in strange)
        by_path[root.path] = replace(known, strange=left)
        return list(left)

    def require_known(self) -> None:
        """Return if the log has what the journals of all known roots tell.

        A root that cannot be looked at has no say; below it nothing is deleted anyway.

        Raises:
            EventsLost: it has not.
            RootSuspect: a journal is there, and cannot be read or understood.

        """
        checkpoint = self._read_models.checkpoint()
        if self._listed is None or checkpoint >= self._listed + RELIST:
            self._listed = checkpoint
            self._roots_known |= set(self.roots())
        for complaint in self.complaints(sorted(self._roots_known, key=lambda root: root.path)):
            raise complaint

    def complaints(self, roots: Iterable[MediaRoot]) -> Iterator[RootUnavailable]:
        """What `require_known` would raise, of each of these roots."""
        for root in roots:
            try:
                lost = self.missing(root)
            except RootUnavailable as unavailable:
                if self._is_there(root):
                    yield unavailable
            else:
                if lost:
                    yield EventsLost(root.path, sentence(f"the journal of {root.path}", lost))

    def roots(self) -> list[MediaRoot]:
        """The media roots that the read models know, each place once."""
        return [MediaRoot(path=path, root_id=root_id) for path, root_id in self._read_models.roots()]

    def forget(self) -> None:
        """Forget what was folded from the log, and what was compared with it."""
        self._sessions.forget()
        self._roots.forget()
        self._known, self._unflushed, self._listed = {}, {}, None

    def gone(self, seen: Sequence[Recorded]) -> None:
        """Take note that the log does not have these events any more, which this process saw in it.

        That is written to the journals, so that the next process knows it too, until an operator accepts it; and what
        was folded from the log, or compared with it, is forgotten, for it may be what was lost.

        Raises:
            EventsLost: nobody accepted it yet.

        """
        self.forget()
        roots = sorted({*self._roots_known, *self.roots()}, key=lambda root: root.path)
        accepted = frozenset[str]().union(*(self._roots.accepted(root.root_id) for root in roots))
        lost = [self._lines.of(one) for one in seen if one.envelope.event_id not in accepted]
        if lost:
            for root in roots:
                self._tell(root, lost)
            raise EventsLost(roots[0].path if roots else "", f"the log went back; {sentence('this process', lost)}")

    def _is_there(self, root: MediaRoot) -> bool:
        try:
            self._files.device(root.path)
        except RootUnavailable:
            return False
        return True

    def _tell(self, root: MediaRoot, lost: Sequence[JournalLine]) -> None:
        try:
            with self._files.exclusive(root.path), self._roots.flushing(root):
                known = self._read(root.path)
                if new := [line for line in lost if line.event_id not in known.ids]:
                    self._journals.append(root.path, new)
        except RootUnavailable as unavailable:
            log.warning("the loss is not in this root's journal", root=root.path, reason=unavailable.reason)

    def _read(self, path: str) -> _Known:
        """Read on in a journal. Of two threads that do, one may forget what the other read: it is read again.

        Where `forget` comes in between, what is read goes with what was known before.
        """
        by_path, unflushed = self._known, self._unflushed
        known = by_path.get(path) or _Known(ids=set())
        lines, place = self._journals.read(path, known.place)
        if place.lines == len(lines):
            known = _Known(ids=set())  # from its beginning: it is another file
        known.ids.update(line.event_id for line in lines)
        if path in unflushed:
            unflushed[path].update(line.event_id for line in lines)
        ours = tuple(line for line in lines if line.store_id == self._store_id)
        known = by_path[path] = replace(known, place=place, strange=known.strange + ours)
        return known

    def _shorten(self, root: MediaRoot) -> None:
        """Only who found every line in the log may drop any: what was lost is not forgotten over what follows."""
        if self._read(root.path).place.lines > LONGEST and not self.missing(root):
            with self._roots.flushing(root):
                self._journals.shorten(root.path, KEEP)
