"""The whole log and the read models beside it, read by one process or by several, each of which folds its share."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from typing import NamedTuple, Protocol

from application.ports import EventLog, ReadModels, Seals, Share, Snapshots
from application.read_model_check import Compared, ReadModelCheck
from application.whole_log import Folded, LogReport, Others, Progress, WholeLog
from domain.errors import LogDamaged


class Part(NamedTuple):
    """What one of several readers made of its share of the log."""

    folded: Folded
    compared: Compared


class Reading(Protocol):
    """Processes that read their shares of the log."""

    def parts(self) -> Iterable[Part]:
        """What they made of them, once they are done.

        Raises:
            LogDamaged: one of them found something wrong, or did not come to its end.

        """
        ...

    def storage_faults(self) -> Iterable[str]:
        """See `EventLog.storage_faults`; looked for meanwhile."""
        ...


class Readers(Protocol):
    """Other processes, which can be asked to read shares of the log."""

    def worth(self, events: int) -> int:
        """How many processes, this one included, are worth it for a log of that size."""
        ...

    def begin(self, shares: Sequence[Share], end: int, checkpoint: int) -> AbstractContextManager[Reading]:
        """Have each share read by a process with `LogReader.read_share`; they are gone at the end of the context."""
        ...


class LogReader:
    """Reads the log for the verifier. What is found does not depend on how many read it."""

    def __init__(
        self,
        log: EventLog,
        seals: Seals,
        read_models: ReadModels,
        snapshots: Snapshots | None,
        readers: Readers | None,
    ) -> None:
        self._log, self._seals, self._read_models = log, seals, read_models
        self._snapshots, self._readers = snapshots, readers

    def read(self, progress: Progress, processes: int | None) -> tuple[WholeLog, ReadModelCheck, LogReport]:
        """Read all of it, with that many processes, or with as many as are worth it."""
        end, number = self._log.head(), 1
        if self._readers:
            number = self._readers.worth(end) if processes is None else processes
        if self._readers and number > 1:
            whole, rows = self._begun()
            shares = [Share(at, number) for at in range(number)]
            with self._readers.begin(shares[1:], end, rows.checkpoint) as reading, suppress(LogDamaged):

                def folded() -> Iterator[Folded]:
                    for part in reading.parts():
                        rows.absorb(part.compared)
                        yield part.folded

                others = Others(shares[0], end, folded, reading.storage_faults)
                return whole, rows, whole.read(rows.hear, progress, others)
        whole, rows = self._begun()
        return whole, rows, whole.read(rows.hear, progress)

    def read_share(self, share: Share, end: int, checkpoint: int) -> Part:
        """Read the events of some sessions, up to a position, for another process: see `Readers`.

        Raises:
            LogDamaged: something is wrong with them.

        """
        whole, rows = self._begun(checkpoint)
        return Part(whole.fold_share(share, end, rows.hear), rows.compared())

    def _begun(self, checkpoint: int | None = None) -> tuple[WholeLog, ReadModelCheck]:
        rows = ReadModelCheck(self._log, self._read_models, checkpoint)
        return WholeLog(self._log, self._seals, self._snapshots), rows
