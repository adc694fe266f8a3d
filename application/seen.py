"""What this process saw in the log: it must stay there. A log that goes back does not tell, but who saw it knows."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from application.ports import EventLog, JournalLine, LogLine
from domain.events import Recorded

AT_MOST = 1000

ADVICE = "`trailkeep db reconcile` names them and says what to do"


class Sighting(NamedTuple):
    """An event that was at this position; its leaf hash, hexadecimal, is empty where it is not known."""

    position: int
    event_id: str
    leaf_hash: str = ""


class Seen:
    """The newest events that this process appended or acted upon since it was last asked, `AT_MOST` of them."""

    def __init__(self) -> None:
        self._noted: deque[Recorded] = deque(maxlen=AT_MOST)

    def note(self, *recorded: Recorded) -> None:
        """The log has these."""
        self._noted.extend(recorded)

    def take(self) -> list[Recorded]:
        """What was noted, and is noted no more."""
        noted: list[Recorded] = []
        while self._noted:
            noted.append(self._noted.popleft())
        return noted


def absent(log: EventLog, sightings: Iterable[Sighting]) -> set[str]:
    """The ids of those events that the log does not have where they were seen."""
    wanted = list(sightings)
    found = log.lines_at({one.position for one in wanted}) if wanted else {}
    return {one.event_id for one in wanted if not _is(found.get(one.position), one)}


def _is(line: LogLine | None, seen: Sighting) -> bool:
    return line is not None and line.event_id == seen.event_id and seen.leaf_hash in {"", line.leaf_hash.hex()}


def sentence(who: str, lost: Sequence[JournalLine]) -> str:
    """What to say of events that the log does not have, and who tells of them."""
    first = min(lost, key=lambda line: line.position)
    what = first.type + (f" of channel {first.channel}" if first.channel else "")
    what += "" if first.batch is None else f", batch {first.batch}"
    events = f"{len(lost)} events" if len(lost) > 1 else "an event"
    return (
        f"{who} knows of {events} that the log does not have: {what}, at position {first.position}"
        f"{', and on' if len(lost) > 1 else ''}; was the database put back, or did it fail over to a copy that was "
        f"behind? {ADVICE}"
    )
