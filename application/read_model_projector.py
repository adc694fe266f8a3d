"""The read model projector: session summaries and the batch ledger, one event at a time.

Rows move only together with the checkpoint that they were made from. So the projector may repeat itself, and several of
them, or one that rebuilds, may run side by side: the first to write wins, and the others read again.
"""

from collections.abc import Callable, Iterable, Sequence

from application.ports import BatchRecord, EventLog, ReadModels
from application.read_model_rows import Rows
from domain.errors import ReadModelsDamaged
from domain.events import Recorded

PAGE = 10_000
"""Events that are applied in one transaction: the more, the fewer rows are written again and again."""


class ReadModelProjector:
    """Keeps the read models in step with the log."""

    def __init__(self, log: EventLog, read_models: ReadModels) -> None:
        self._log, self._read_models = log, read_models

    def catch_up(self, progress: Callable[[int], None] = lambda _: None) -> int:
        """Apply every event that is recorded by now; ``progress`` hears of each position. Returns the last one.

        What comes while the last page is applied is for the next time: else this would not end beside busy producers.

        Raises:
            LogDamaged: as `EventLog.read`; the rows tell the log up to the page before.
            ReadModelsDamaged: an event does not follow from the rows; they tell the log up to the page before.

        """
        while page := self._log.read(after=(checkpoint := self._read_models.checkpoint()), limit=PAGE):
            if self._apply(page, checkpoint):
                checkpoint = page[-1].position
                progress(checkpoint)
                if len(page) < PAGE:
                    break
        return checkpoint

    def _apply(self, page: Sequence[Recorded], after: int) -> bool:
        """Apply a page to the rows at checkpoint ``after``; False if the rows were not at it, or not any more."""
        rows = Rows(self._read_models)
        rows.prefetch(page)
        try:
            for recorded in page:
                rows.apply(recorded)
        except LookupError as error:
            if self._read_models.checkpoint() == after:
                raise ReadModelsDamaged(str(error)) from error
            return False
        return self._read_models.apply(rows.sessions(), rows.batches(), after=after, checkpoint=page[-1].position)

    def rebuild(self, progress: Callable[[int], None] = lambda _: None) -> int:
        """Drop all rows and make them again from the log. Returns the last position."""
        self._read_models.clear()
        return self.catch_up(progress)


def ledger(history: Iterable[Recorded]) -> list[BatchRecord]:
    """The batch ledger of one session as these events alone tell it."""
    rows = Rows(None)
    for recorded in history:
        rows.apply(recorded)
    return sorted(rows.batches(), key=lambda row: row.batch)
