"""What the stores of the projectors promise, whatever keeps them."""

import pytest
from msgspec.structs import replace

from application.ports import Agenda, AgendaItem, BatchRecord, ReadModels, Seal, SessionSummary
from domain.merkle import EMPTY_ROOT, extend, leaf_hash, root
from tests.contract.log_events import session
from tests.contract.stores import Store


def item(batch: int, due_at: int | None, *, of: int = 1) -> AgendaItem:
    return AgendaItem(session(of), batch, due_at)


def a_summary(of: int = 1, **fields: object) -> SessionSummary:
    summary = SessionSummary(
        session_id=session(of),
        channel="news",
        ordinal=of,
        state="ready",
        root="/srv/hls",
        root_id=session(0),
        opened_at=1000 + of,
        closed_at=None,
        version=3,
        batches_completed=1,
        batches_purged=0,
        bytes_kept=2**40,
        bytes_freed=0,
        last_position=3,
    )
    return replace(summary, **fields)


def a_record(batch: int = 0, *, of: int = 1, **fields: object) -> BatchRecord:
    record = BatchRecord(
        session_id=session(of),
        batch=batch,
        state="completed",
        attempt=1,
        first_segment=batch * 2,
        last_segment=batch * 2 + 1,
        files=2,
        bytes=2001,
        started_at=2000,
        completed_at=None,
        purge_issued_at=None,
        purged_at=None,
        because=None,
        outcome=None,
        positions=(2, 3),
    )
    return replace(record, **fields)


@pytest.fixture
def agenda(store: Store) -> Agenda:
    return store.agenda


@pytest.fixture
def read_models(store: Store) -> ReadModels:
    return store.read_models


# the seal


def test_before_the_first_seal_there_is_an_empty_one(store: Store) -> None:
    assert store.seals.load() == Seal()


@pytest.mark.parametrize("size", [0, 1, 2, 3, 64, 100])
def test_a_seal_is_loaded_as_it_was_saved(store: Store, size: int) -> None:
    seal = Seal(*extend(0, (), [leaf_hash(bytes([number])) for number in range(size)]))
    store.seals.save(seal, root(seal.frontier))
    assert store.seals.load() == seal


def test_a_seal_takes_the_place_of_the_one_before(store: Store) -> None:
    store.seals.save(Seal(1, (EMPTY_ROOT,)), EMPTY_ROOT)
    store.seals.save(Seal(2, (leaf_hash(b"2"),)), leaf_hash(b"2"))
    assert store.seals.load() == Seal(2, (leaf_hash(b"2"),))


# the agenda


def test_an_agenda_begins_empty_at_position_zero(agenda: Agenda) -> None:
    assert agenda.checkpoint() == 0
    assert agenda.due(2**62) == []
    assert agenda.next_due_at(0) is None


def test_items_are_due_from_their_time_on(agenda: Agenda) -> None:
    agenda.replace({session(1): [item(0, 100), item(1, 200), item(2, None)]}, checkpoint=5)
    assert agenda.due(99) == []
    assert agenda.due(100) == [item(0, 100)]
    assert agenda.due(2**62) == [item(0, 100), item(1, 200)]
    assert agenda.next_due_at(0) == 100
    assert agenda.checkpoint() == 5


def test_the_oldest_batches_of_a_session_come_first(agenda: Agenda) -> None:
    agenda.replace({session(2): [item(3, 1, of=2), item(1, 9, of=2)], session(1): [item(5, 5)]}, checkpoint=1)
    assert agenda.due(9) == [item(5, 5), item(1, 9, of=2), item(3, 1, of=2)]
    assert agenda.next_due_at(0) == 1


def test_a_sessions_items_take_the_place_of_its_old_ones_alone(agenda: Agenda) -> None:
    agenda.replace({session(1): [item(0, 1), item(1, 2)], session(2): [item(0, 3, of=2)]}, checkpoint=1)
    agenda.replace({session(1): [item(1, 4)]}, checkpoint=2)
    assert agenda.due(9) == [item(1, 4), item(0, 3, of=2)]
    agenda.replace({session(1): []}, checkpoint=3)
    assert agenda.due(9) == [item(0, 3, of=2)]
    assert agenda.checkpoint() == 3


def test_every_item_can_be_told_whenever_it_is_due(agenda: Agenda) -> None:
    items = {session(2): [item(3, None, of=2)], session(1): [item(1, 2**60), item(0, 1)]}
    agenda.replace(items, checkpoint=1)
    assert agenda.items() == [item(0, 1), item(1, 2**60), item(3, None, of=2)]
    assert agenda.waiting() == [item(3, None, of=2)]


def test_the_checkpoint_of_an_agenda_may_stay_and_go_back(agenda: Agenda) -> None:
    agenda.replace({}, checkpoint=4)
    agenda.replace({session(1): [item(0, 1)]}, checkpoint=4)
    assert agenda.checkpoint() == 4
    agenda.replace({}, checkpoint=3)
    assert agenda.checkpoint() == 3
    assert agenda.due(1) == [item(0, 1)]


def test_an_agenda_that_is_cleared_begins_again(agenda: Agenda) -> None:
    agenda.replace({session(1): [item(0, 1)]}, checkpoint=4)
    agenda.clear()
    assert (agenda.checkpoint(), agenda.due(9), agenda.next_due_at(0)) == (0, [], None)


# the read models


def test_read_models_begin_empty_at_position_zero(read_models: ReadModels) -> None:
    assert read_models.checkpoint() == 0
    assert read_models.sessions() == []
    assert read_models.session(session(1)) is None
    assert read_models.batches(session(1)) == []


def test_rows_are_read_as_they_were_applied(read_models: ReadModels) -> None:
    whole = a_record(
        completed_at=3000,
        purge_issued_at=4000,
        purged_at=5000,
        because="R3: batch 2 completed",
        outcome="2 deleted",
        positions=tuple(range(1, 400)),
    )
    rows = [a_summary(1), a_summary(2, closed_at=9000, channel="Spaß 新闻")]
    read_models.apply(rows, [whole, a_record(1)], after=0, checkpoint=7)
    assert read_models.sessions() == rows
    assert read_models.session(session(2)) == rows[1]
    assert read_models.batches(session(1)) == [whole, a_record(1)]
    assert read_models.checkpoint() == 7


def test_many_rows_are_read_at_once(read_models: ReadModels) -> None:
    rows = [a_summary(number) for number in range(1, 1203)]
    records = [a_record(number, of=of) for of in (1, 2) for number in range(700)]
    read_models.apply(rows, records, after=0, checkpoint=1)
    asked = [session(number) for number in (*range(2, 1203), 5000)]
    assert sorted(read_models.summaries(asked), key=lambda row: row.session_id) == sorted(
        rows[1:], key=lambda row: row.session_id
    )
    keys = [(row.session_id, row.batch) for row in records if row.batch % 700]
    found = read_models.records([*keys, (session(1), 700), (session(3), 1)])
    assert sorted(found, key=lambda row: (row.session_id, row.batch)) == sorted(
        (row for row in records if row.batch % 700), key=lambda row: (row.session_id, row.batch)
    )
    assert read_models.summaries([]) == read_models.records([]) == []


def test_the_newest_session_on_a_root_is_the_one_that_was_opened_last(read_models: ReadModels) -> None:
    rows = [a_summary(1, opened_at=5, root="/a"), a_summary(2, opened_at=7, root="/a"), a_summary(3, root="/b")]
    read_models.apply([rows[1], rows[0], rows[2]], [], after=0, checkpoint=1)
    assert read_models.newest_on("/a") == session(2)
    assert read_models.newest_on("/b") == session(3)
    assert read_models.newest_on("/c") is None


def test_each_root_is_told_once_for_each_of_its_ids(read_models: ReadModels) -> None:
    assert read_models.roots() == []
    roots = [("/b", "1"), ("/a", "2"), ("/b", "1"), ("/a", "1")]
    rows = [a_summary(number, root=root, root_id=root_id) for number, (root, root_id) in enumerate(roots, 1)]
    read_models.apply(rows, [], after=0, checkpoint=1)
    assert read_models.roots() == [("/a", "1"), ("/a", "2"), ("/b", "1")]


def test_a_row_takes_the_place_of_the_one_before(read_models: ReadModels) -> None:
    read_models.apply(
        [a_summary(1), a_summary(2)], [a_record(0), a_record(1), a_record(0, of=2)], after=0, checkpoint=1
    )
    read_models.apply([a_summary(1, state="closed")], [a_record(1, state="purged")], after=1, checkpoint=2)
    assert [row.state for row in read_models.sessions()] == ["closed", "ready"]
    assert [row.state for row in read_models.batches(session(1))] == ["completed", "purged"]
    assert read_models.batches(session(2)) == [a_record(0, of=2)]


def test_a_checkpoint_moves_also_without_rows(read_models: ReadModels) -> None:
    assert read_models.apply([], [], after=0, checkpoint=3)
    assert read_models.checkpoint() == 3


def test_rows_of_a_projector_that_another_one_overtook_are_not_applied(read_models: ReadModels) -> None:
    assert read_models.apply([a_summary()], [a_record()], after=0, checkpoint=3)
    for stale in (0, 2, 4):
        assert not read_models.apply([a_summary(state="closed")], [a_record(1)], after=stale, checkpoint=5)
    assert read_models.checkpoint() == 3
    assert read_models.sessions() == [a_summary()]
    assert read_models.batches(session(1)) == [a_record()]


def test_sessions_come_in_the_order_of_their_opening(read_models: ReadModels) -> None:
    rows = [a_summary(3, opened_at=5), a_summary(1, opened_at=6), a_summary(2, opened_at=6)]
    read_models.apply(rows[::-1], [], after=0, checkpoint=1)
    assert read_models.sessions() == rows


def test_sessions_of_one_channel_can_be_asked_for(read_models: ReadModels) -> None:
    rows = [a_summary(1), a_summary(2, channel="sport"), a_summary(3)]
    read_models.apply(rows, [], after=0, checkpoint=1)
    assert read_models.sessions("news") == [rows[0], rows[2]]
    assert read_models.sessions("NEWS") == []


def test_batches_come_by_number_all_or_those_that_are_asked_for(read_models: ReadModels) -> None:
    read_models.apply([], [a_record(number) for number in (10, 2, 0)], after=0, checkpoint=1)
    assert [row.batch for row in read_models.batches(session(1))] == [0, 2, 10]
    assert [row.batch for row in read_models.batches(session(1), numbers=[10, 1, 0])] == [0, 10]
    assert read_models.batches(session(1), numbers=[]) == []


def test_rows_can_be_counted_and_called_by_their_numbers(read_models: ReadModels) -> None:
    read_models.apply([], [a_record(7), a_record(0), a_record(3, of=2)], after=0, checkpoint=1)
    assert read_models.ledger_sizes() == {session(1): 2, session(2): 1}
    assert read_models.ledger_numbers(session(1)) == [0, 7]
    assert read_models.ledger_numbers(session(9)) == []


def test_read_models_that_are_cleared_begin_again(store: Store) -> None:
    store.agenda.replace({session(1): [item(0, 1)]}, checkpoint=8)
    store.read_models.apply([a_summary()], [a_record()], after=0, checkpoint=7)
    store.read_models.clear()
    assert store.read_models.checkpoint() == 0
    assert store.read_models.sessions() == []
    assert store.read_models.batches(session(1)) == []
    assert store.agenda.checkpoint() == 8
