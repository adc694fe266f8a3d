"""Commands become events: with everything that R16 wants, once, and on the version that was decided upon."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from application.claims import Claims
from application.handlers import ATTEMPTS, Cause, Handler
from application.sessions import Sessions
from domain.commands import CloseSession, FailBatch, RecordPlaylist
from domain.errors import ConcurrencyConflict, Refused
from domain.events import SCHEMA, Disposition, Envelope, Recorded
from tests.builders import NOW, CountingIds, FakeClock, an_id, open_session, start_batch
from tests.memory_app import Channel, TestLog

SESSION = an_id(500)


class RacedLog(TestLog):
    """A log on which somebody else appends first, as often as ``rivals`` has something to do."""

    def __init__(self) -> None:
        super().__init__()
        self.rivals: list[Callable[[], object]] = []

    def append(self, envelopes: Sequence[Envelope], **terms: Any) -> tuple[Recorded, ...]:
        if self.rivals:
            self.rivals.pop(0)()
        return super().append(envelopes, **terms)


def a_handler(log: TestLog, worker: str = "here:1", ids: CountingIds | None = None) -> Handler:
    ids = ids or CountingIds()
    clock = FakeClock()
    return Handler(log, Sessions(log, ids), clock, ids, worker, Claims(None, clock, worker, "here"))


@pytest.mark.rule("R16")
def test_an_event_says_who_when_why_and_under_which_policy() -> None:
    """R16."""
    handler = a_handler(TestLog(), worker="studio:7")
    handler.execute(SESSION, open_session(), Cause("ann"))
    (recorded,) = handler.execute(SESSION, start_batch(), Cause("bob", an_id(70), an_id(80)))
    envelope = recorded.envelope
    assert (envelope.actor, envelope.worker, envelope.recorded_at) == ("bob", "studio:7", NOW)
    assert (envelope.correlation_id, envelope.causation_id) == (an_id(70), an_id(80))
    assert (envelope.policy, envelope.schema) == ("keep_previous=1 availability=off", SCHEMA)
    assert (recorded.position, envelope.version, envelope.session_id) == (2, 2, SESSION)


@pytest.mark.rule("R16")
def test_what_nobody_caused_begins_a_correlation_of_its_own() -> None:
    """R16."""
    handler = a_handler(TestLog())
    first = handler.execute(SESSION, open_session(), Cause("ann"))[0].envelope
    second = handler.execute(SESSION, start_batch(), Cause("ann"))[0].envelope
    assert first.causation_id is None
    assert len({first.event_id, first.correlation_id, second.event_id, second.correlation_id}) == 4


@pytest.mark.rule("R16")
def test_from_the_purge_back_to_the_start_of_the_batch_that_made_it_due(channel: Channel) -> None:
    """R16: SegmentsPurged <- PurgeIssued <- BatchCompleted <- BatchStarted, all of one correlation."""
    channel.open()
    channel.generate(3)
    channel.app.project()
    log = {one.envelope.event_id: one for one in channel.app.log.read()}
    chain, event = [], list(log.values())[-1]
    while True:
        chain.append((type(event.event).__name__, event.event.batch))  # type: ignore[union-attr]
        if event.envelope.causation_id is None:
            break
        assert log[event.envelope.causation_id].envelope.correlation_id == event.envelope.correlation_id
        event = log[event.envelope.causation_id]
    assert chain == [("SegmentsPurged", 0), ("PurgeIssued", 0), ("BatchCompleted", 2), ("BatchStarted", 2)]


@pytest.mark.rule("R15", "R20")
def test_on_a_race_it_is_decided_again_and_follows_what_was_first() -> None:
    """R15: both events are there, and their versions have no gap."""
    log = RacedLog()
    ids = CountingIds()
    handler, rival = a_handler(log, ids=ids), a_handler(log, "there:2", ids)
    handler.execute(SESSION, open_session(), Cause("ann"))
    log.rivals.append(
        lambda: rival.execute(SESSION, CloseSession(reason="no", disposition=Disposition.KEEP), Cause("bob"))
    )
    close = CloseSession(reason="the end", disposition=Disposition.PURGE)
    (recorded,) = handler.execute(SESSION, close, Cause("ann"))
    assert [(one.envelope.version, one.envelope.worker) for one in log.read()] == [
        (1, "here:1"),
        (2, "there:2"),
        (3, "here:1"),
    ]
    assert recorded.position == 3


@pytest.mark.rule("R20")
def test_on_a_race_that_was_lost_the_command_is_refused_by_what_is_true_now() -> None:
    """R20: two start the same batch; one does."""
    log = RacedLog()
    ids = CountingIds()
    handler, rival = a_handler(log, ids=ids), a_handler(log, "there:2", ids)
    handler.execute(SESSION, open_session(), Cause("ann"))
    log.rivals.append(lambda: rival.execute(SESSION, start_batch(), Cause("bob")))
    with pytest.raises(Refused, match="it is generating"):
        handler.execute(SESSION, start_batch(), Cause("ann"))
    assert log.head() == 2


def test_who_loses_every_race_is_told_so() -> None:
    log = RacedLog()
    ids = CountingIds()
    handler, rival = a_handler(log, ids=ids), a_handler(log, "there:2", ids)
    handler.execute(SESSION, open_session(), Cause("ann"))
    handler.execute(SESSION, start_batch(), Cause("ann"))

    def disturb() -> None:
        others, log.rivals = log.rivals, []
        rival.execute(SESSION, FailBatch(batch=0, reason="rival"), Cause("bob"))
        rival.execute(SESSION, start_batch(), Cause("bob"))
        log.rivals = others

    log.rivals = [disturb] * (ATTEMPTS + 1)
    with pytest.raises(ConcurrencyConflict) as error:
        handler.execute(SESSION, FailBatch(batch=0, reason="ours"), Cause("ann"))
    assert error.value.session_id == SESSION
    assert len(log.rivals) == 1, "it gave up after so many attempts"
    assert log.head() == 2 + 2 * ATTEMPTS


def test_a_command_that_nothing_follows_from_records_nothing() -> None:
    log = TestLog()
    handler = a_handler(log)
    handler.execute(SESSION, open_session(), Cause("ann"))
    playlist = RecordPlaylist(first_segment=0, last_segment=1, duration_ms=4000)
    assert handler.execute(SESSION, playlist, Cause("ann")) == ()
    assert log.head() == 1


@pytest.mark.rule("R20")
def test_a_refused_command_records_nothing() -> None:
    """R20."""
    log = TestLog()
    with pytest.raises(Refused):
        a_handler(log).execute(SESSION, start_batch(), Cause("ann"))
    assert log.head() == 0
