"""The read models in memory, for as long as the process lives."""

import threading
from collections.abc import Collection, Sequence

from application import ports
from application.ports import BatchRecord, SessionSummary


class MemoryReadModels(ports.ReadModels):
    """The rows by their keys."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._checkpoint = 0
        self._sessions: dict[str, SessionSummary] = {}
        self._batches: dict[str, dict[int, BatchRecord]] = {}

    def checkpoint(self) -> int:
        """See `ReadModels.checkpoint`."""
        with self._lock:
            return self._checkpoint

    def apply(
        self, sessions: Sequence[SessionSummary], batches: Sequence[BatchRecord], *, after: int, checkpoint: int
    ) -> bool:
        """See `ReadModels.apply`."""
        with self._lock:
            if self._checkpoint != after:
                return False
            self._sessions.update((row.session_id, row) for row in sessions)
            for row in batches:
                self._batches.setdefault(row.session_id, {})[row.batch] = row
            self._checkpoint = checkpoint
            return True

    def clear(self) -> None:
        """See `ReadModels.clear`."""
        with self._lock:
            self._sessions.clear()
            self._batches.clear()
            self._checkpoint = 0

    def sessions(self, channel: str | None = None) -> list[SessionSummary]:
        """See `ReadModels.sessions`."""
        with self._lock:
            rows = [row for row in self._sessions.values() if channel is None or row.channel == channel]
        return sorted(rows, key=lambda row: (row.opened_at, row.session_id))

    def session(self, session_id: str) -> SessionSummary | None:
        """See `ReadModels.session`."""
        with self._lock:
            return self._sessions.get(session_id)

    def newest_on(self, root: str) -> str | None:
        """See `ReadModels.newest_on`."""
        return next((row.session_id for row in reversed(self.sessions()) if row.root == root), None)

    def roots(self) -> list[tuple[str, str]]:
        """See `ReadModels.roots`."""
        with self._lock:
            return sorted({(row.root, row.root_id) for row in self._sessions.values()})

    def summaries(self, session_ids: Collection[str]) -> list[SessionSummary]:
        """See `ReadModels.summaries`."""
        with self._lock:
            return [self._sessions[one] for one in session_ids if one in self._sessions]

    def records(self, keys: Collection[tuple[str, int]]) -> list[BatchRecord]:
        """See `ReadModels.records`."""
        with self._lock:
            found = [self._batches.get(session_id, {}).get(number) for session_id, number in keys]
        return [row for row in found if row is not None]

    def batches(self, session_id: str, *, numbers: Sequence[int] | None = None) -> list[BatchRecord]:
        """See `ReadModels.batches`."""
        with self._lock:
            rows = self._batches.get(session_id, {})
            chosen = rows.keys() if numbers is None else rows.keys() & set(numbers)
            return [rows[number] for number in sorted(chosen)]

    def ledger_sizes(self) -> dict[str, int]:
        """See `ReadModels.ledger_sizes`."""
        with self._lock:
            return {session_id: len(rows) for session_id, rows in self._batches.items()}

    def ledger_numbers(self, session_id: str) -> list[int]:
        """See `ReadModels.ledger_numbers`."""
        with self._lock:
            return sorted(self._batches.get(session_id, {}))
