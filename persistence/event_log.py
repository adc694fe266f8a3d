"""The event log in a database.

It speaks plain SQL to the driver: `persistence.engine.driver_cursor` tells why.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Engine

from application.ports import Draft, EventLog, Fence, LogLine, OtherLine, Share
from application.together import Together
from domain.errors import ConcurrencyConflict, EventIdConflict, LeaseLost, LogDamaged, StoreUnavailable
from domain.events import Envelope, Recorded
from domain.ids import is_id
from persistence import codec, lines
from persistence.codec import Written
from persistence.engine import fetched
from persistence.leases import SqlLeases
from persistence.storage import checks_of, writer_of
from persistence.writer import Append, append_of

PAGE = 500
"""Events of a session that are read at once; no transaction stays open in between."""

_NEWEST = 2**63 - 1

_FIND = "SELECT position, line, leaf_hash FROM events WHERE event_id = ?"
_READ = "SELECT position, line, leaf_hash FROM events WHERE position BETWEEN ? AND ? ORDER BY position"
_READ_SESSION = """
    SELECT position, line, leaf_hash FROM events
    WHERE session_id = ? AND version > ? ORDER BY version LIMIT ?"""
_VERSION = "SELECT coalesce(max(version), 0) FROM events WHERE session_id = ?"
_READ_SESSION_LINES = """
    SELECT position, line, leaf_hash, event_id, session_id, version FROM events
    WHERE session_id = ? AND version > ? ORDER BY version LIMIT ?"""
_READ_LINES = """
    SELECT position, line, leaf_hash, event_id, session_id, version FROM events
    WHERE position > ? ORDER BY position LIMIT ?"""
_LINES_AT = """
    SELECT position, line, leaf_hash, event_id, session_id, version FROM events WHERE position IN ({})"""
_LINES_OF = """
    SELECT position, line, leaf_hash, event_id, session_id, version FROM events WHERE event_id IN ({})"""


class SqlEventLog(EventLog):
    """The log in the tables of `persistence.tables`. ``on_append`` is called after each append that succeeded."""

    def __init__(self, engine: Engine, on_append: Callable[[], None] | None = None) -> None:
        self._engine = engine
        self._writer = writer_of(engine)
        self._commits = Together[Append, int | None](self._writer.commit, apart=LogDamaged)
        self._on_append = on_append

    def append(
        self, envelopes: Sequence[Envelope], *, expected_version: int, fence: Fence | None = None
    ) -> tuple[Recorded, ...]:
        """See `EventLog.append`.

        After `StoreUnavailable` append the same events again: should they be recorded after all, that tells.
        """
        written = codec.encode_append(envelopes, expected_version)
        if not written:
            return ()
        try:
            recorded = self._commit(written, expected_version, fence)
        except (ConcurrencyConflict, LeaseLost, LogDamaged, StoreUnavailable):
            # Were they recorded before, or just now by a commit that told otherwise?
            recorded = self._known(written)
            if not recorded:
                raise
        if self._on_append:
            self._on_append()
        return recorded

    def append_each(self, drafts: Sequence[Draft]) -> list[tuple[Recorded, ...] | None]:
        """See `EventLog.append_each`."""
        written = [codec.encode_append(one.envelopes, one.expected_version) for one in drafts]
        appends = [append_of(new, one.expected_version, one.fence) for new, one in zip(written, drafts, strict=True)]
        if not appends:
            return []
        heads: Sequence[int | None]
        try:
            heads = self._commits.ask(appends)
        except (LogDamaged, StoreUnavailable):
            heads = [None] * len(drafts)
        answers = [
            self._after_all(new) if head is None else _recorded(new, head)
            for new, head in zip(written, heads, strict=True)
        ]
        if self._on_append:
            self._on_append()
        return answers

    def read_session(self, session_id: str, *, after_version: int = 0) -> Iterator[Recorded]:
        """See `EventLog.read_session`."""
        if not is_id(session_id):
            return
        key, version, more = codec.id_bytes(session_id), max(after_version, 0), True
        while more:
            rows = self._rows(_READ_SESSION, key, version, PAGE)
            for position, line, stored_hash in rows:
                version += 1
                recorded = codec.verified(position, line, stored_hash)
                if recorded.envelope.version != version or recorded.envelope.session_id != session_id:
                    raise LogDamaged(position, f"version {version} of session {session_id} should be here")
                yield recorded
            more = len(rows) == PAGE

    def version_of(self, session_id: str) -> int:
        """See `EventLog.version_of`."""
        found: int = self._rows(_VERSION, codec.id_bytes(session_id))[0][0] if is_id(session_id) else 0
        return found

    def read_session_lines(self, session_id: str, *, after_version: int = 0, limit: int = 1000) -> list[LogLine]:
        """See `EventLog.read_session_lines`."""
        if not is_id(session_id):
            return []
        key, version = codec.id_bytes(session_id), min(max(after_version, 0), _NEWEST)
        return [lines.stored(*row) for row in self._rows(_READ_SESSION_LINES, key, version, limit)]

    def read(self, *, after: int = 0, limit: int = 1000) -> list[Recorded]:
        """See `EventLog.read`."""
        after = max(after, 0)
        last = min(self.head(), after + limit)
        if last <= after:
            return []
        rows = self._rows(_READ, after + 1, last)
        if len(rows) < last - after:
            missing = set(range(after + 1, last + 1)).difference(row[0] for row in rows)
            raise LogDamaged(min(missing), "the event is missing")
        return [codec.verified(*row) for row in rows]

    def read_lines(self, *, after: int = 0, limit: int = 1000) -> list[LogLine]:
        """See `EventLog.read_lines`."""
        return [lines.stored(*row) for row in self._rows_after(after, limit)]

    def read_share(self, share: Share, *, after: int = 0, limit: int = 1000) -> list[LogLine | OtherLine]:
        """See `EventLog.read_share`."""
        return [lines.shared(share, row) for row in self._rows_after(after, limit)]

    def lines_at(self, positions: Iterable[int]) -> dict[int, LogLine]:
        """See `EventLog.lines_at`."""
        return {row[0]: lines.stored(*row) for row in self._rows_in(_LINES_AT, sorted(positions))}

    def examine(self, line: LogLine) -> Recorded:
        """See `EventLog.examine`."""
        return codec.examine(line)

    def fault_of(self, line: LogLine) -> str | None:
        """See `EventLog.fault_of`."""
        return codec.fault_of(line)

    def head(self) -> int:
        """See `EventLog.head`."""
        head = self._one("SELECT position FROM log_head")
        if not isinstance(head, int):
            raise LogDamaged(None, f"the head of the log is {head!r}, which is no position")
        return head

    def lines_of(self, event_ids: Iterable[str]) -> dict[str, LogLine]:
        """See `EventLog.lines_of`."""
        wanted = {codec.id_bytes(event_id): event_id for event_id in event_ids if is_id(event_id)}
        found: dict[str, LogLine] = {}
        for row in self._rows_in(_LINES_OF, list(wanted)):
            if row[3] not in wanted:  # a damaged page: the index has the event there, the row has another one
                raise LogDamaged(row[0], "an index has another event there")
            found[wanted[row[3]]] = lines.stored(*row)
        return found

    def storage_faults(self) -> Iterator[str]:
        """See `EventLog.storage_faults`."""
        yield from checks_of(self._engine).storage_faults(self._engine)

    def incarnation(self) -> str:
        """See `EventLog.incarnation`."""
        return checks_of(self._engine).incarnation(self._engine)

    def store_id(self) -> str:
        """See `EventLog.store_id`."""
        store_id = self._one("SELECT store_id FROM store")
        if not isinstance(store_id, str) or not is_id(store_id):
            raise LogDamaged(None, f"the store's id is {store_id!r}, which is none")
        return store_id

    def _commit(self, written: Sequence[Written], expected_version: int, fence: Fence | None) -> tuple[Recorded, ...]:
        (head,) = self._commits.ask([append_of(written, expected_version, fence)])
        if head is None and fence and not self._holds(fence):
            raise LeaseLost(fence.resource, fence.epoch)
        if head is None:
            raise ConcurrencyConflict(written[0][1].session_id, expected_version)
        return _recorded(written, head)

    def _holds(self, fence: Fence) -> bool:
        """Whether the lease has that epoch still. Epochs only grow: a fence that does not hold never will again."""
        lease = SqlLeases(self._engine).find(fence.resource)
        return lease is not None and lease.epoch == fence.epoch

    def _after_all(self, written: Sequence[Written]) -> tuple[Recorded, ...] | None:
        """The events of a draft that was left out, if they are recorded all the same; None if they are not."""
        try:
            return self._known(written) or None
        except EventIdConflict:
            return None

    def _known(self, written: Sequence[Written]) -> tuple[Recorded, ...]:
        """The events as the log holds them already; nothing unless it holds them all."""
        found = []
        for line, envelope in written:
            for position, stored, _ in self._rows(_FIND, codec.id_bytes(envelope.event_id)):
                if stored != line:
                    raise EventIdConflict(envelope.event_id, position)
                found.append(Recorded(position, envelope))
        return tuple(found) if len(found) == len(written) else ()

    def _rows_after(self, after: int, limit: int) -> Iterator[Any]:
        last = min(max(after, 0), _NEWEST)
        for row in self._rows(_READ_LINES, last, limit):
            if row[0] <= last:  # pages that changed places; who reads on from here would come back to it
                return
            last = row[0]
            yield row

    def _rows_in(self, sql: str, wanted: Sequence[object]) -> Iterator[Any]:
        """The rows of a statement with a list of any length."""
        for start in range(0, len(wanted), PAGE):
            some = wanted[start : start + PAGE]
            yield from self._rows(sql.format(",".join("?" * len(some))), *some)

    def _rows(self, sql: str, *parameters: object) -> list[Any]:
        return fetched(self._engine, sql, parameters)

    def _one(self, sql: str) -> Any:
        rows = self._rows(sql)
        if not rows:
            raise LogDamaged(None, f"{sql!r} finds no row")
        return rows[0][0]


def _recorded(written: Sequence[Written], head: int) -> tuple[Recorded, ...]:
    return tuple(Recorded(position, envelope) for position, (_, envelope) in enumerate(written, head + 1))
