"""The ports of the log and its readers in memory: the same promises, for as long as the process lives."""

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from application import ports
from application.ports import AgendaItem, Draft, Fence, LogLine, OtherLine, Seal, Share
from domain.errors import ConcurrencyConflict, EventIdConflict, LeaseLost
from domain.events import Envelope, Recorded
from domain.merkle import EMPTY_ROOT, leaf_hash
from persistence import codec
from persistence.memory_leases import MemoryLeases


class MemoryEventLog(ports.EventLog):
    """The log as a list of lines. ``on_append`` is called after each append that added events."""

    def __init__(self, on_append: Callable[[], None] | None = None, leases: MemoryLeases | None = None) -> None:
        self._on_append, self._leases = on_append, leases or MemoryLeases(lambda: 0)
        self._lock = threading.Lock()
        self._lines: list[LogLine] = []
        self._sessions: dict[str, list[LogLine]] = {}
        self._ids: dict[str, LogLine] = {}
        self._store_id = str(uuid.uuid4())

    def append(
        self, envelopes: Sequence[Envelope], *, expected_version: int, fence: Fence | None = None
    ) -> tuple[Recorded, ...]:
        """See `EventLog.append`."""
        written = codec.encode_append(envelopes, expected_version)
        if not written:
            return ()
        session_id = envelopes[0].session_id
        with self._lock:
            version = len(self._sessions.get(session_id, ()))
            known = self._known(written)
            if known:
                return known
            if version != expected_version:
                raise ConcurrencyConflict(session_id, expected_version)
            if fence and not self._leases.holds(fence):
                raise LeaseLost(fence.resource, fence.epoch)
            recorded = tuple(self._add(line, envelope) for line, envelope in written)
        if self._on_append:
            self._on_append()
        return recorded

    def append_each(self, drafts: Sequence[Draft]) -> list[tuple[Recorded, ...] | None]:
        """See `EventLog.append_each`."""
        answers: list[tuple[Recorded, ...] | None] = []
        for one in drafts:
            try:
                answers.append(self.append(one.envelopes, expected_version=one.expected_version, fence=one.fence))
            except (ConcurrencyConflict, EventIdConflict, LeaseLost):
                answers.append(None)
        return answers

    def read_session(self, session_id: str, *, after_version: int = 0) -> Iterator[Recorded]:
        """See `EventLog.read_session`."""
        with self._lock:
            lines = self._sessions.get(session_id, [])[max(after_version, 0) :]
        return map(self.examine, lines)

    def version_of(self, session_id: str) -> int:
        """See `EventLog.version_of`."""
        with self._lock:
            return len(self._sessions.get(session_id, ()))

    def read_session_lines(self, session_id: str, *, after_version: int = 0, limit: int = 1000) -> list[LogLine]:
        """See `EventLog.read_session_lines`."""
        start = max(after_version, 0)
        with self._lock:
            return self._sessions.get(session_id, [])[start : start + limit]

    def read(self, *, after: int = 0, limit: int = 1000) -> list[Recorded]:
        """See `EventLog.read`."""
        return [self.examine(line) for line in self.read_lines(after=after, limit=limit)]

    def read_lines(self, *, after: int = 0, limit: int = 1000) -> list[LogLine]:
        """See `EventLog.read_lines`."""
        start = max(after, 0)
        with self._lock:
            return self._lines[start : start + limit]

    def read_share(self, share: Share, *, after: int = 0, limit: int = 1000) -> list[LogLine | OtherLine]:
        """See `EventLog.read_share`."""
        lines = self.read_lines(after=after, limit=limit)
        return [
            line if share.has(codec.id_bytes(line.session_id)) else OtherLine(line.position, line.leaf_hash)
            for line in lines
        ]

    def lines_at(self, positions: Iterable[int]) -> dict[int, LogLine]:
        """See `EventLog.lines_at`."""
        with self._lock:
            return {position: self._lines[position - 1] for position in positions if 0 < position <= len(self._lines)}

    def examine(self, line: LogLine) -> Recorded:
        """See `EventLog.examine`."""
        return codec.examine(line)

    def fault_of(self, line: LogLine) -> str | None:
        """See `EventLog.fault_of`."""
        return codec.fault_of(line)

    def head(self) -> int:
        """See `EventLog.head`."""
        with self._lock:
            return len(self._lines)

    def lines_of(self, event_ids: Iterable[str]) -> dict[str, LogLine]:
        """See `EventLog.lines_of`."""
        with self._lock:
            return {event_id: self._ids[event_id] for event_id in event_ids if event_id in self._ids}

    def storage_faults(self) -> Iterator[str]:
        """See `EventLog.storage_faults`."""
        return iter(())

    def incarnation(self) -> str:
        """See `EventLog.incarnation`."""
        return ""

    def store_id(self) -> str:
        """See `EventLog.store_id`."""
        return self._store_id

    def _known(self, written: Sequence[tuple[bytes, Envelope]]) -> tuple[Recorded, ...]:
        found = []
        for line, envelope in written:
            known = self._ids.get(envelope.event_id)
            if known is None:
                continue
            if known.line != line:
                raise EventIdConflict(envelope.event_id, known.position)
            found.append(Recorded(known.position, envelope))
        return tuple(found) if len(found) == len(written) else ()

    def _add(self, line: bytes, envelope: Envelope) -> Recorded:
        row = LogLine(
            position=len(self._lines) + 1,
            line=line,
            leaf_hash=leaf_hash(line),
            event_id=envelope.event_id,
            session_id=envelope.session_id,
            version=envelope.version,
        )
        self._lines.append(row)
        self._sessions.setdefault(row.session_id, []).append(row)
        self._ids[row.event_id] = row
        return Recorded(row.position, envelope)


class MemorySeals(ports.Seals):
    """The newest seal and its root."""

    def __init__(self) -> None:
        self._kept = (Seal(), EMPTY_ROOT)

    def load(self) -> Seal:
        """See `Seals.load`."""
        return self._kept[0]

    def save(self, seal: Seal, root: bytes) -> None:
        """See `Seals.save`."""
        self._kept = (seal, root)


class MemoryAgenda(ports.Agenda):
    """The agenda as a dict of sessions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._checkpoint = 0
        self._items: dict[str, list[AgendaItem]] = {}

    def checkpoint(self) -> int:
        """See `Agenda.checkpoint`."""
        with self._lock:
            return self._checkpoint

    def replace(self, items: Mapping[str, Sequence[AgendaItem]], *, checkpoint: int) -> None:
        """See `Agenda.replace`."""
        with self._lock:
            for session_id, of_session in items.items():
                self._items[session_id] = sorted(of_session, key=lambda item: item.batch)
            self._checkpoint = checkpoint

    def due(self, now: int) -> list[AgendaItem]:
        """See `Agenda.due`."""
        with self._lock:
            return [
                item
                for _, items in sorted(self._items.items())
                for item in items
                if item.due_at is not None and item.due_at <= now
            ]

    def next_due_at(self, after: int) -> int | None:
        """See `Agenda.next_due_at`."""
        with self._lock:
            times = (item.due_at for items in self._items.values() for item in items)
            return min((time for time in times if time is not None and time > after), default=None)

    def waiting(self) -> list[AgendaItem]:
        """See `Agenda.waiting`."""
        return [item for item in self.items() if item.due_at is None]

    def items(self) -> list[AgendaItem]:
        """See `Agenda.items`."""
        with self._lock:
            return [item for _, items in sorted(self._items.items()) for item in items]

    def clear(self) -> None:
        """See `Agenda.clear`."""
        with self._lock:
            self._items.clear()
            self._checkpoint = 0
