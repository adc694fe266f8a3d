"""The verifier: compares the log with itself, with its seal and with the disk. It only reads."""

from collections.abc import Callable, Iterator
from enum import StrEnum

import msgspec

from application.ports import EventLog, MediaFiles, Seals
from application.purger import check_root
from application.sessions import fold
from domain import merkle
from domain.batch import Batch
from domain.errors import LogDamaged, RootSuspect
from domain.events import FileIdentity, PurgeFailed, Recorded, SegmentsPurged
from domain.lifecycle import BatchState
from domain.segments import batch_numbers, expected_files, identity_of
from domain.session import Session

PAGE = 2000
PASSES = 5


class Level(StrEnum):
    """How closely files are looked at; each level includes those before it."""

    PRESENCE = "presence"
    SIZE = "size"
    IDENTITY = "identity"


class LogReport(msgspec.Struct, frozen=True):
    """What was found of the log: how many events, the Merkle root over them (hexadecimal), and every fault."""

    events: int
    root: str
    ok: bool
    faults: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True):
    """What the verifier found; files are absolute paths.

    ``superseded`` lists files under the name of a purged segment that were left alone; they are told, and no fault.
    """

    ok: bool
    checked: int
    lost: tuple[str, ...]
    orphans: tuple[str, ...]
    superseded: tuple[str, ...]
    changed: tuple[str, ...]
    suspect_roots: tuple[str, ...]
    log: LogReport


class _Disk(msgspec.Struct):
    """What one pass over the disk found."""

    checked: int = 0
    lost: list[str] = []
    orphans: list[str] = []
    superseded: list[str] = []
    changed: list[str] = []
    suspect_roots: list[str] = []

    def clean(self) -> bool:
        return not (self.lost or self.orphans or self.changed or self.suspect_roots)


class Verifier:
    """Reads the whole log and looks at every file of every channel."""

    def __init__(self, log: EventLog, seals: Seals, files: MediaFiles, store_id: str) -> None:
        self._log, self._seals, self._files, self._store_id = log, seals, files, store_id
        self._sessions: dict[str, Session] = {}
        self._left_alone: dict[str, set[FileIdentity]] = {}

    def verify(self, level: Level, progress: Callable[[str, int, int], None] = lambda *_: None) -> Report:
        """Compare everything; ``progress`` hears what is looked at, how much of it is done, and of how much.

        While producers and projectors are at work the disk runs ahead of what was read. A difference counts only if it
        is still there when the log has not moved in between.
        """
        log = self._check_log(progress)
        disk = _Disk()
        for _ in range(PASSES):
            head = self._log.head()
            disk = self._check_disk(level, progress)
            if disk.clean() or not log.ok or (self._log.head() == head == self._seen):
                break
            self._follow()
        return Report(
            ok=log.ok and disk.clean(),
            checked=disk.checked,
            lost=tuple(disk.lost),
            orphans=tuple(disk.orphans),
            superseded=tuple(disk.superseded),
            changed=tuple(disk.changed),
            suspect_roots=tuple(disk.suspect_roots),
            log=log,
        )

    def _check_log(self, progress: Callable[[str, int, int], None]) -> LogReport:
        seal, total = self._seals.load(), self._log.head()
        self._seen = size = 0
        frontier: tuple[bytes, ...] = ()
        faults: list[str] = []
        sealed_root = merkle.EMPTY_ROOT
        while lines := self._log.read_lines(after=self._seen, limit=PAGE):
            for line in lines:
                if line.position != self._seen + 1:
                    faults.append(str(LogDamaged(self._seen + 1, f"missing; the next event is at {line.position}")))
                self._seen = line.position
                try:
                    self._fold(self._log.examine(line))
                except LogDamaged as damaged:
                    faults.append(str(damaged))
                size, frontier = merkle.extend(size, frontier, [merkle.leaf_hash(line.line)])
                if size == seal.size:
                    sealed_root = merkle.root(frontier)
            progress("events", size, total)
        if self._seen < total:
            faults.append(str(LogDamaged(total, f"missing; the newest event is at {self._seen}")))
        if size < seal.size:
            faults.append(f"seal: it is over {seal.size} events, but the log has {size}")
        elif sealed_root != merkle.root(seal.frontier):
            faults.append(f"seal: the root over the first {seal.size} events is not the one that was sealed")
        return LogReport(events=size, root=merkle.root(frontier).hex(), ok=not faults, faults=tuple(faults))

    def _fold(self, recorded: Recorded) -> None:
        session_id, version = recorded.envelope.session_id, recorded.envelope.version
        session = self._sessions.get(session_id) or Session(session_id)
        if version != session.version + 1:
            raise LogDamaged(
                recorded.position, f"version {version} of session {session_id} follows version {session.version}"
            )
        if isinstance(recorded.event, PurgeFailed | SegmentsPurged) and recorded.event.superseded:
            self._left_alone.setdefault(session_id, set()).update(recorded.event.superseded)
        self._sessions[session_id] = fold(session, recorded)

    def _follow(self) -> None:
        """Fold what was recorded since."""
        while page := self._log.read(after=self._seen, limit=PAGE):
            for recorded in page:
                self._fold(recorded)
            self._seen = page[-1].position

    def _check_disk(self, level: Level, progress: Callable[[str, int, int], None]) -> _Disk:
        disk = _Disk()
        channels: dict[tuple[str, str], list[Session]] = {}
        for session in self._sessions.values():
            if session.opened is not None:
                channels.setdefault((session.terms.media_root.path, session.terms.channel), []).append(session)
        for done, ((root, channel), sessions) in enumerate(channels.items(), 1):
            try:
                check_root(self._files, sessions[-1], self._store_id)
                self._check_channel(root, channel, sessions, level, disk)
            except RootSuspect as suspect:
                disk.suspect_roots.append(str(suspect))
            progress("channels", done, len(channels))
        return disk

    def _check_channel(self, root: str, channel: str, sessions: list[Session], level: Level, disk: _Disk) -> None:
        there = {found.file: found for found in self._files.list_files(root, channel)}
        explained: set[str] = set()
        for session in sessions:
            for batch in session.batches.values():
                self._check_batch(session, batch, there, explained, level, disk)
        left_alone = set().union(*(self._left_alone.get(session.session_id, ()) for session in sessions))
        for file, found in there.items():
            if file in explained:
                continue
            kind = disk.superseded if found in left_alone else disk.orphans
            kind.append(self._files.path(root, channel, file))

    def _check_batch(
        self,
        session: Session,
        batch: Batch,
        there: dict[str, FileIdentity],
        explained: set[str],
        level: Level,
        disk: _Disk,
    ) -> None:
        root, channel = session.terms.media_root.path, session.terms.channel
        if batch.state is BatchState.GENERATING:
            explained.update(_names_of(session, batch))
        elif batch.state is BatchState.FAILED:
            explained.update(batch.files_left, (present.file for present in batch.present))
        for file in batch.files:
            recorded = identity_of(file)
            found = there.get(recorded.file)
            disk.checked += 1
            explained.add(recorded.file)
            path = self._files.path(root, channel, recorded.file)
            if found is None:
                if batch.state is BatchState.COMPLETED:
                    disk.lost.append(path)
            elif not _same(recorded, found, level):
                (disk.superseded if batch.state is BatchState.PURGING else disk.changed).append(path)


def _names_of(session: Session, batch: Batch) -> Iterator[str]:
    terms = session.terms
    for one in expected_files(terms.naming, terms.renditions, batch_numbers(batch.number, terms.batch_size)):
        yield one.file


def _same(recorded: FileIdentity, found: FileIdentity, level: Level) -> bool:
    if level is Level.PRESENCE:
        return True
    if level is Level.SIZE:
        return recorded.size == found.size
    return recorded == found
