"""The agenda beside the log: what is on it is what the retention rule makes of the sessions."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from application.ports import Agenda, AgendaItem
from application.read_model_check import difference
from application.retention_projector import agenda_of
from application.sessions import successor_of
from application.whole_log import WholeLog
from domain.batch import Moment
from domain.errors import ReadModelsDamaged

LOOKS = 5
"""How often it is compared again while projectors are at work."""


def agenda_faults(agenda: Agenda, whole: WholeLog, now: Moment) -> list[str]:
    """What is wrong with the agenda, each a sentence.

    A channel of which the retention projector has not read everything yet is not judged; nor is the time of an item,
    which goes by the clock of whoever put it there and is made again by each process: whether there is one has to fit.
    """
    for _ in range(LOOKS):
        try:
            checkpoint, items = agenda.checkpoint(), agenda.items()
        except ReadModelsDamaged as damaged:
            return [f"agenda: {damaged.reason}"]
        faults = list(_faults(checkpoint, items, whole, now))
        end = whole.end
        whole.follow()
        if not faults or (whole.end == end and agenda.checkpoint() == checkpoint and agenda.items() == items):
            return faults
    return []


def _faults(checkpoint: int, items: Sequence[AgendaItem], whole: WholeLog, now: Moment) -> Iterator[str]:
    if checkpoint > whole.end:
        yield f"checkpoint of the agenda: {checkpoint} is beyond the head of the log, {whole.end}"
        return
    stored: dict[str, dict[int, AgendaItem]] = {}
    for item in items:
        stored.setdefault(item.session_id, {})[item.batch] = item
    for sessions in whole.channels().values():
        ids = [session.session_id for session in sessions]
        judged = whole.broken.isdisjoint(ids) and all(whole.moved[one][0] <= checkpoint for one in ids)
        for at, session in enumerate(sessions):
            found = stored.pop(session.session_id, {})
            if judged:
                told = agenda_of(session, successor_of(sessions[at + 1 :]), now) if session.batches else []
                yield from _of_session(session.session_id, {item.batch: item for item in told}, found)
    for session_id, strange in stored.items():
        if session_id not in whole.broken:
            yield from _of_session(session_id, {}, strange)


def _of_session(session_id: str, told: Mapping[int, AgendaItem], stored: Mapping[int, AgendaItem]) -> Iterator[str]:
    for number in sorted(told.keys() | stored.keys()):
        where = f"agenda: the item of batch {number} of session {session_id}"
        yield from difference(where, _timeless(told.get(number)), _timeless(stored.get(number)))


def _timeless(item: AgendaItem | None) -> AgendaItem | None:
    return replace(item, due_at=0) if item and item.due_at is not None else item
