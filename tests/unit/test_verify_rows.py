"""The verifier, read models and agenda: rows that do not tell what the log tells, also while projectors move them."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from msgspec.structs import replace

from application import read_model_check
from application.ports import AgendaItem, BatchRecord
from application.read_model_rows import Rows
from application.verify import Level, Report
from domain.events import Disposition
from tests.memory_app import TESTER, App, Channel, Store


@pytest.fixture
def told(channel: Channel) -> Channel:
    """Two sessions; the projectors have caught up."""
    channel.open()
    channel.generate(5)
    channel.app.generation.close(channel.id, "next", Disposition.PURGE, TESTER)
    channel.open()
    channel.generate(1)
    channel.app.project()
    return channel


def verified(store: Store) -> Report:
    return App(store).verifier.verify(Level.PRESENCE)


def row(channel: Channel, number: int) -> BatchRecord:
    first = channel.app.sessions.id_of(channel.name, 1)
    return channel.app.read_models.batches(first, numbers=[number])[0]


def put(channel: Channel, records: Iterable[BatchRecord]) -> None:
    """Rows in the place of the others, and the checkpoint where it was."""
    read_models = channel.app.read_models
    at = read_models.checkpoint()
    assert read_models.apply([], list(records), after=at, checkpoint=at)


def test_rows_that_tell_the_log_are_no_fault(told: Channel) -> None:
    assert verified(told.app.store).read_models == ()


def test_rows_that_are_behind_are_compared_with_the_log_up_to_where_they_are(told: Channel) -> None:
    told.generate(2)
    assert verified(told.app.store).read_models == ()
    put(told, [replace(row(told, 4), bytes=1)])
    (text,) = verified(told.app.store).read_models
    assert "batch 4" in text
    assert "bytes is 1, the log tells" in text


def test_a_row_of_a_purged_batch_is_compared_too(told: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever in the log it became one."""
    monkeypatch.setattr(read_model_check, "PAGE", 3)
    assert verified(told.app.store).read_models == ()
    put(told, [replace(row(told, 0), outcome="nobody knows"), replace(row(told, 4), state="purged")])
    first, second = verified(told.app.store).read_models
    assert "batch 0" in first
    assert "outcome is 'nobody knows', the log tells '2 deleted'" in first
    assert "batch 4" in second


def test_what_projectors_move_meanwhile_is_no_fault(told: Channel) -> None:
    """The log, the read models and the agenda all go on while they are compared."""

    moves = iter(range(2))

    def progress(what: str, done: int, total: int) -> None:
        if what == "files" and next(moves, None) is not None:
            told.generate(1)
            told.app.project()

    assert told.app.verifier.verify(Level.PRESENCE, progress).ok
    assert next(moves, None) is None


def test_what_is_wrong_is_told_though_projectors_move_the_rest(told: Channel) -> None:
    put(told, [replace(row(told, 3), attempt=9)])

    def progress(what: str, done: int, total: int) -> None:
        if what == "files":
            told.generate(1)
            told.app.project()

    (text,) = told.app.verifier.verify(Level.PRESENCE, progress).read_models
    assert "attempt is 9, the log tells 1" in text


def test_memory_holds_the_rows_of_what_is_kept_and_not_of_what_ever_was(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_model_check, "PAGE", 10)
    channel.open(playlist_window=0)
    for _ in range(30):
        channel.generate(1)
        channel.app.project()
    held: list[int] = []
    apply = Rows.apply

    def counted(rows: Rows, recorded: object) -> None:
        apply(rows, recorded)  # type: ignore[arg-type]
        held.append(len(rows.batches()))

    monkeypatch.setattr(Rows, "apply", counted)
    assert verified(channel.app.store).read_models == ()
    assert len(held) == channel.app.log.head() == 1 + 2 * 30 + 2 * 28
    assert max(held) <= 6


def test_an_agenda_that_is_behind_is_judged_where_its_channel_did_not_move(told: Channel, tmp_path: Path) -> None:
    other = Channel(told.app, tmp_path / "root", "sport")
    other.open()
    other.generate(1)
    assert verified(told.app.store).read_models == ()
    agenda, first = told.app.agenda, told.app.sessions.id_of("news", 1)
    items = [item for item in agenda.items() if item.session_id == first]
    assert [item.due_at for item in items] == [None], "one batch waits for the next session to go on"
    agenda.replace({first: []}, checkpoint=agenda.checkpoint())
    (text,) = verified(told.app.store).read_models
    assert text == f"agenda: the item of batch 4 of session {first} is missing"
    told.generate(1)
    assert verified(told.app.store).read_models == (), "the projector will make it again"


def test_an_agenda_item_of_no_session_is_told_and_acted_upon_by_nobody(told: Channel) -> None:
    agenda = told.app.agenda
    agenda.replace({"nobody": [AgendaItem("nobody", 0, 1)]}, checkpoint=agenda.checkpoint())
    (text,) = verified(told.app.store).read_models
    assert text == "agenda: the item of batch 0 of session nobody is there, but the log does not tell of it"
    head = told.app.log.head()
    told.app.project()
    assert told.app.log.head() == head
    assert verified(told.app.store).read_models == (), "and it is gone"
