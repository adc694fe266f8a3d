"""The whole log as the verifier reads it: every fault of it is named, and sessions are folded from the rest."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from application.folding import fold_in
from application.log_check import beyond_the_head, missing, other_root
from application.ports import EventLog, LogLine, OtherLine, Seal, Seals, Share, Snapshots
from domain import merkle
from domain.errors import LogDamaged
from domain.events import OF_ROOTS, FileIdentity, PurgeFailed, Recorded, SegmentsPurged
from domain.session import Folding, Session

PAGE = 2000

Progress = Callable[[str, int, int], None]
"""Hears what is looked at, how much of it is done, and of how much."""


class LogReport(msgspec.Struct, frozen=True):
    """What was found of the log: how many events, the Merkle root over them (hexadecimal), and every fault."""

    events: int
    root: str
    ok: bool
    faults: tuple[str, ...] = ()


class Folded(msgspec.Struct, frozen=True):
    """What some sessions came to, up to a position: see `WholeLog`. Nothing was wrong with their events."""

    sessions: dict[str, Session]
    first: dict[str, int]
    versions: dict[str, int]
    moved: dict[str, tuple[int, int]]
    left_alone: dict[str, set[FileIdentity]]
    misleading: list[str]


class Others(NamedTuple):
    """Other processes that read the same log at the same time, up to ``end``; the sessions of ``share`` are left to us.

    Asked for what they ``folded``, and for the faults of the storage, they are waited for. `LogDamaged` says that one
    of them found something, or did not come to its end.
    """

    share: Share
    end: int
    folded: Callable[[], Iterable[Folded]]
    storage_faults: Callable[[], Iterable[str]]


class _Tree:
    """The Merkle tree over the leaves so far, and its root when it had the size of a seal."""

    def __init__(self, seal: Seal | None) -> None:
        self._seal, self._frontier = seal, tuple[bytes, ...]()
        self.size, self.sealed_root = 0, merkle.EMPTY_ROOT

    def grow(self, leaves: Sequence[bytes]) -> None:
        """Append leaves."""
        to_seal = self._seal.size - self.size if self._seal else -1
        if 0 < to_seal <= len(leaves):
            self.sealed_root = merkle.root(merkle.extend(self.size, self._frontier, leaves[:to_seal])[1])
        self.size, self._frontier = merkle.extend(self.size, self._frontier, leaves)

    def root(self) -> bytes:
        """The root over all of them."""
        return merkle.root(self._frontier)


class WholeLog:
    """Reads the log page by page. It keeps the sessions, which stay small, and no events.

    ``sessions`` are in the order in which they were opened. ``broken`` are ids of sessions with a damaged event: what
    they keep is not known. ``moved`` tells for each stream the position and time of its newest event. ``left_alone``
    are files that purges found under a name of theirs and did not delete (R11), by session. ``misleading`` tells of
    snapshots that are not what the events tell.
    """

    def __init__(self, log: EventLog, seals: Seals, snapshots: Snapshots | None = None) -> None:
        self._log, self._seals, self._snapshots = log, seals, snapshots
        self._snapped = snapshots.versions() if snapshots else {}
        self.misleading: list[str] = []
        self._versions: dict[str, int] = {}
        self._first: dict[str, int] = {}
        self.sessions: dict[str, Session] = {}
        self._folding: dict[str, Folding] = {}
        self.broken: set[str] = set()
        self.moved: dict[str, tuple[int, int]] = {}
        self.left_alone: dict[str, set[FileIdentity]] = {}
        self.end = 0

    def read(self, heard: Callable[[Recorded], None], progress: Progress, others: Others | None = None) -> LogReport:
        """Read it from the beginning to the end. ``heard`` is told of every event that is sound.

        With ``others``, of their sessions it only hears what comes after the position up to which they read.

        Raises:
            LogDamaged: something is wrong up to there. Who reads it alone names everything.

        """
        faults: list[str] = []
        seal = self._seal(faults)
        tree, total = _Tree(seal), self._log.head()
        if others:
            for lines in self._share(others.share, others.end, heard):
                tree.grow([line.leaf_hash for line in lines])
                progress("events", self.end, total)
            self._absorb(others.folded())
        while stored := self._log.read_lines(after=self.end, limit=PAGE):
            leaves = []
            for line in stored:
                if found := self._examine(line, heard):
                    faults += found
                # A line without a fault has the leaf hash that stands beside it.
                leaves.append(merkle.leaf_hash(line.line) if found else line.leaf_hash)
            tree.grow(leaves)
            progress("events", tree.size, max(tree.size, total))
        self._settle()
        head = self._log.head()
        if self.end < total:
            faults.append(str(LogDamaged(total, f"missing; the newest event is at {self.end}")))
        elif self.end > head:
            faults.append(str(LogDamaged(self.end, beyond_the_head(head))))
        if seal and tree.size < seal.size:
            faults.append(f"seal: it is over {seal.size} events, but the log has {tree.size}")
        elif seal and tree.sealed_root != merkle.root(seal.frontier):
            faults.append(f"seal: {other_root(seal.size)}")
        storage = others.storage_faults() if others else self._log.storage_faults()
        faults += [f"storage: {fault}" for fault in storage]
        return LogReport(events=tree.size, root=tree.root().hex(), ok=not faults, faults=tuple(faults))

    def fold_share(self, share: Share, end: int, heard: Callable[[Recorded], None]) -> Folded:
        """Read the events of some sessions, up to a position, for one who reads those of the others.

        Raises:
            LogDamaged: something is wrong.

        """
        for _ in self._share(share, end, heard):
            pass
        self._settle()
        return Folded(self.sessions, self._first, self._versions, self.moved, self.left_alone, self.misleading)

    def follow(self) -> None:
        """Fold what was recorded since. What is damaged of that is left to the next who reads it all."""
        while lines := self._log.read_lines(after=self.end, limit=PAGE):
            for line in lines:
                self._examine(line, lambda _: None)
        self._settle()

    def channels(self) -> dict[str, list[Session]]:
        """The sessions of each channel, oldest first."""
        channels: dict[str, list[Session]] = {}
        for session in self.sessions.values():
            channels.setdefault(session.terms.channel, []).append(session)
        for sessions in channels.values():
            sessions.sort(key=lambda session: session.terms.ordinal)
        return channels

    def _share(
        self, share: Share, end: int, heard: Callable[[Recorded], None]
    ) -> Iterator[Sequence[LogLine | OtherLine]]:
        while self.end < end:
            lines = self._log.read_share(share, after=self.end, limit=min(PAGE, end - self.end))
            if not lines:
                raise LogDamaged(end, f"missing; the newest event is at {self.end}")
            for line in lines:
                if faults := self._examine(line, heard):
                    raise LogDamaged(line.position, faults[0])
            yield lines

    def _absorb(self, folded: Iterable[Folded]) -> None:
        self._settle()
        for one in folded:
            self.sessions |= one.sessions
            self._first |= one.first
            self._versions |= one.versions
            self.moved |= one.moved
            self.left_alone |= one.left_alone
            self.misleading += one.misleading
        self.sessions = dict(sorted(self.sessions.items(), key=lambda item: self._first[item[0]]))

    def _seal(self, faults: list[str]) -> Seal | None:
        try:
            return self._seals.load()
        except LogDamaged as damaged:
            faults.append(f"seal: {damaged.reason}")
            return None

    def _examine(self, line: LogLine | OtherLine, heard: Callable[[Recorded], None]) -> list[str]:
        """Fold the event of a line, unless it is for others to fold; the faults of it."""
        expected, self.end = self.end + 1, line.position
        faults = [] if line.position == expected else [str(LogDamaged(expected, missing(line.position)))]
        if isinstance(line, OtherLine):
            return faults
        try:
            recorded = self._log.examine(line)
            self._fold(recorded)
        except LogDamaged as damaged:
            self.broken.add(line.session_id)
            return [*faults, str(damaged)]
        if line.session_id not in self.broken:
            heard(recorded)
        return faults

    def _fold(self, recorded: Recorded) -> None:
        envelope, event = recorded.envelope, recorded.event
        session_id, version = envelope.session_id, envelope.version
        before, self._versions[session_id] = self._versions.get(session_id, 0), version
        if not before:
            self._first[session_id] = recorded.position
        self.moved[session_id] = recorded.position, envelope.recorded_at
        if session_id in self.broken:
            return
        if version != before + 1:
            raise LogDamaged(recorded.position, f"version {version} of session {session_id} follows version {before}")
        if isinstance(event, OF_ROOTS):
            return
        folding = self._folding.get(session_id) or Folding(self.sessions.get(session_id) or Session(session_id))
        fold_in(folding, recorded)
        self._folding[session_id] = folding
        if isinstance(event, PurgeFailed | SegmentsPurged) and event.superseded:
            self.left_alone.setdefault(session_id, set()).update(event.superseded)
        if self._snapshots and self._snapped.get(session_id) == version:
            snapshot = self._snapshots.load(session_id)
            if snapshot and snapshot.version == version and snapshot != folding.session():
                self.misleading.append(
                    f"the snapshot of session {session_id} is not what its events tell: run `trailkeep rebuild`"
                )

    def _settle(self) -> None:
        """Make states of what was folded."""
        for session_id, folding in self._folding.items():
            self.sessions[session_id] = folding.session()
        self._folding.clear()
