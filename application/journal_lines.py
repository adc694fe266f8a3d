"""What a line of a media root's journal says of an event."""

from collections.abc import Sequence

from application.ports import EventLog, JournalLine
from application.seen import ADVICE
from application.sessions import Sessions
from domain.errors import EventsLost
from domain.events import OF_ROOTS, MediaRoot, Recorded


class JournalLines:
    """Makes lines of events, as the log has them."""

    def __init__(self, event_log: EventLog, sessions: Sessions, store_id: str) -> None:
        self._log, self._sessions, self._store_id = event_log, sessions, store_id

    def named(self, root: MediaRoot, event_ids: Sequence[str]) -> list[JournalLine]:
        """The lines of events that this process knows to be recorded, for the journal of the root.

        Raises:
            EventsLost: the log does not have one any more: it was put back, or failed over to a copy that lagged.

        """
        found = self._log.lines_of(event_ids) if event_ids else {}
        for event_id in event_ids:
            if event_id not in found:
                reason = f"it does not have event {event_id} any more, which the root's journal is to tell of"
                raise EventsLost(root.path, f"{reason}; {ADVICE}")
        return [self._line(self._log.examine(line), line.leaf_hash.hex()) for line in map(found.__getitem__, event_ids)]

    def of(self, recorded: Recorded) -> JournalLine:
        """The line of an event; without a leaf hash if the log does not have it, or another one in its place."""
        stored = self._log.lines_at([recorded.position]).get(recorded.position)
        is_there = stored and stored.event_id == recorded.envelope.event_id
        return self._line(recorded, stored.leaf_hash.hex() if stored and is_there else "")

    def _line(self, recorded: Recorded, leaf_hash: str) -> JournalLine:
        envelope, event = recorded.envelope, recorded.event
        opened = None if isinstance(event, OF_ROOTS) else self._sessions.opened(envelope.session_id)
        return JournalLine(
            position=recorded.position,
            leaf_hash=leaf_hash,
            event_id=envelope.event_id,
            store_id=self._store_id,
            session_id=envelope.session_id,
            channel=opened.channel if opened else "",
            batch=getattr(event, "batch", None),
            type=type(event).__name__,
            recorded_at=envelope.recorded_at,
        )
