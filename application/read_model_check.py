"""The read models beside the log: their rows are made again, in memory, and compared.

The rows of a purged batch change no more. They are compared page by page and forgotten, so that memory holds what is
kept now and not what ever was.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import groupby, takewhile
from typing import NamedTuple

import msgspec

from application.ports import BatchRecord, EventLog, ReadModels, SessionSummary
from application.read_model_rows import Rows
from application.whole_log import WholeLog
from domain.errors import LogDamaged, ReadModelsDamaged
from domain.events import Recorded

PAGE = 2000
LOOKS = 5
"""How often a row that differs is compared again while projectors are at work."""


class Compared(NamedTuple):
    """What came of comparing the rows of some sessions: those that are left, which differ, and how many there were."""

    rows: Rows
    doubtful: dict[str, set[int]]
    sizes: dict[str, int]


class ReadModelCheck:
    """Compares the rows at the checkpoint that they had when it began; what differs then is looked at again."""

    def __init__(self, log: EventLog, read_models: ReadModels, checkpoint: int | None = None) -> None:
        self._log, self._read_models = log, read_models
        self.checkpoint, self._unreadable = checkpoint or 0, ""
        try:
            self.checkpoint = read_models.checkpoint() if checkpoint is None else checkpoint
        except ReadModelsDamaged as damaged:
            self._unreadable = damaged.reason
        self._rows, self._heard = Rows(None), 0
        self._doubtful: dict[str, set[int]] = {}
        self._sizes: dict[str, int] = {}

    def hear(self, recorded: Recorded) -> None:
        """Take one more event of the log, in order."""
        if recorded.position > self.checkpoint:
            return
        try:
            self._rows.apply(recorded)
        except LookupError:
            return  # its session is damaged: it is not judged
        self._heard += 1
        if self._heard % PAGE == 0:
            self._compare(self._rows.drop_purged())

    def compared(self) -> Compared:
        """What came of the events that were heard: for another one to go on with."""
        return Compared(self._rows, self._doubtful, self._sizes)

    def absorb(self, other: Compared) -> None:
        """Go on with what came of the events of other sessions, at the same checkpoint."""
        self._rows.absorb(other.rows)
        self._doubtful |= other.doubtful
        self._sizes |= other.sizes

    def faults(self, whole: WholeLog) -> Iterator[str]:
        """What is wrong with the rows, each a sentence. The log was read to its end."""
        if self._unreadable:
            yield self._unreadable
            return
        if self.checkpoint > whole.end:
            yield f"checkpoint of the read models: {self.checkpoint} is beyond the head of the log, {whole.end}"
            return
        self._compare(self._rows.batches())
        told = {row.session_id: row for row in self._rows.sessions()}
        try:
            stored = {row.session_id: row for row in self._read_models.sessions()}
        except ReadModelsDamaged as damaged:
            yield f"session_summaries: {damaged.reason}"
            stored = {}
        doubtful = {key for key in told.keys() | stored.keys() if told.get(key) != stored.get(key)}
        sizes = self._read_models.ledger_sizes()
        for session_id in sizes.keys() | self._sizes.keys():
            now, then = sizes.get(session_id, 0), self._sizes.get(session_id, 0)
            if now != then:
                self._doubtful.setdefault(session_id, set()).update(range(min(now, then), max(now, then)))
        for session_id in sorted(doubtful | self._doubtful.keys()):
            if session_id not in whole.broken:
                yield from self._confirmed(session_id, self._doubtful.get(session_id, set()))

    def _compare(self, told: Sequence[BatchRecord]) -> None:
        try:
            stored = {_place(row): row for row in self._read_models.records([_place(row) for row in told])}
        except ReadModelsDamaged:
            self._compare_each(told)
            return
        for row in told:
            self._sizes[row.session_id] = self._sizes.get(row.session_id, 0) + 1
            if stored.get(_place(row)) != row:
                self._doubtful.setdefault(row.session_id, set()).add(row.batch)

    def _compare_each(self, told: Sequence[BatchRecord]) -> None:
        """As `_compare`, where a row cannot be read."""
        for session_id, rows in groupby(sorted(told, key=_place), key=lambda row: row.session_id):
            by_number = {row.batch: row for row in rows}
            self._sizes[session_id] = self._sizes.get(session_id, 0) + len(by_number)
            stored, _ = self._stored(session_id, by_number)
            if different := {number for number, row in by_number.items() if stored.get(number) != row}:
                self._doubtful.setdefault(session_id, set()).update(different)

    def _stored(self, session_id: str, numbers: Collection[int]) -> tuple[dict[int, BatchRecord], dict[int, str]]:
        """The rows with these numbers that can be read, and what is wrong with those that cannot."""
        try:
            return {row.batch: row for row in self._read_models.batches(session_id, numbers=list(numbers))}, {}
        except ReadModelsDamaged as damaged:
            if len(numbers) == 1:
                return {}, dict.fromkeys(numbers, f"batch_ledger: {damaged.reason}")
        rows, unreadable = dict[int, BatchRecord](), dict[int, str]()
        for number in numbers:
            found, faults = self._stored(session_id, [number])
            rows |= found
            unreadable |= faults
        return rows, unreadable

    def _confirmed(self, session_id: str, numbers: set[int]) -> list[str]:
        """How these rows of a session differ from the log, unless they move all the time."""
        for _ in range(LOOKS):
            checkpoint = self._read_models.checkpoint()
            try:
                faults = self._differences(session_id, numbers, checkpoint)
            except (LogDamaged, LookupError):
                return []
            if self._read_models.checkpoint() == checkpoint:
                return faults
        return []

    def _differences(self, session_id: str, numbers: set[int], checkpoint: int) -> list[str]:
        rows, told, count = Rows(None), dict[int, BatchRecord](), 0
        history = takewhile(lambda one: one.position <= checkpoint, self._log.read_session(session_id))
        for number, recorded in enumerate(history, 1):
            rows.apply(recorded)
            if number % PAGE == 0:
                purged = rows.drop_purged()
                count += len(purged)
                told |= {row.batch: row for row in purged if row.batch in numbers}
        told |= {row.batch: row for row in rows.batches() if row.batch in numbers}
        count += len(rows.batches())
        strangers = {found for found in self._read_models.ledger_numbers(session_id) if not 0 <= found < count}
        stored, unreadable = self._stored(session_id, sorted(numbers | strangers))
        faults = self._of_summary(session_id, next(iter(rows.sessions()), None))
        for number in sorted((told.keys() | stored.keys()) - unreadable.keys()):
            where = f"batch_ledger: the row of batch {number} of session {session_id}"
            faults += difference(where, told.get(number), stored.get(number))
        return [*faults, *unreadable.values()]

    def _of_summary(self, session_id: str, told: SessionSummary | None) -> list[str]:
        try:
            stored = self._read_models.session(session_id)
        except ReadModelsDamaged as damaged:
            return [f"session_summaries: {damaged.reason}"]
        return difference(f"session_summaries: the row of session {session_id}", told, stored)


def difference(where: str, told: msgspec.Struct | None, stored: msgspec.Struct | None) -> list[str]:
    """How a stored row is not the one that the log tells, as one sentence; none if it is."""
    if told == stored:
        return []
    if stored is None:
        return [f"{where} is missing"]
    if told is None:
        return [f"{where} is there, but the log does not tell of it"]
    others = [
        f"{field} is {getattr(stored, field)!r}, the log tells {getattr(told, field)!r}"
        for field in told.__struct_fields__
        if getattr(told, field) != getattr(stored, field)
    ]
    return [f"{where}: {'; '.join(others)}"]


def _place(row: BatchRecord) -> tuple[str, int]:
    return row.session_id, row.batch
