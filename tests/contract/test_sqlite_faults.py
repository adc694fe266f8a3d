"""What a database that somebody meddled with says of itself, and rows of projectors that cannot be read any more."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from application.ports import Seal
from domain.errors import LogDamaged, ReadModelsDamaged
from domain.merkle import extend, leaf_hash, root
from persistence.checkpoints import SqlSeals
from persistence.event_log import SqlEventLog
from persistence.read_models import SqlReadModels
from persistence.tables import TRIGGERS
from tests.contract.log_events import fill
from tests.contract.stores import Store, an_engine, sql, sqlite_store
from tests.contract.test_projector_stores import a_record, session


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    for made in sqlite_store(tmp_path):
        fill(made.log, 20, of=1)
        yield made


def test_a_sound_database_has_no_faults(store: Store) -> None:
    assert list(store.log.storage_faults()) == []


@pytest.mark.rule("R15")
@pytest.mark.parametrize("name", TRIGGERS)
def test_r15_each_guard_of_the_log_is_missed(store: Store, path: Path, name: str) -> None:
    sql(path, f"DROP TRIGGER {name}")
    assert list(store.log.storage_faults()) == [f"the trigger {name}, which guards the log, is missing or altered"]


@pytest.mark.rule("R15")
def test_r15_a_guard_that_lets_pass_is_none(store: Store, path: Path) -> None:
    sql(path, "DROP TRIGGER events_are_not_deleted")
    sql(path, "CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events BEGIN SELECT 1; END")
    (fault,) = store.log.storage_faults()
    assert "events_are_not_deleted" in fault


def test_an_index_that_lost_an_event_is_told_and_so_is_a_page_that_makes_no_sense(tmp_path: Path, path: Path) -> None:
    with an_engine(path) as engine:
        fill(SqlEventLog(engine), 200, of=1)
    ((number,),) = sql(path, "SELECT rootpage FROM sqlite_master WHERE name = 'events_by_session'")
    ((size,),) = sql(path, "PRAGMA page_size")
    with path.open("r+b") as file:
        file.seek((number - 1) * size + 3)
        cells = int.from_bytes(file.read(2), "big")
        file.seek((number - 1) * size + 3)
        file.write((cells - 1).to_bytes(2, "big"))
    with an_engine(path) as engine:
        faults = list(SqlEventLog(engine).storage_faults())
    assert [fault for fault in faults if "events_by_session" in fault or "malformed" in fault]


@pytest.mark.parametrize(
    "change",
    [
        "size = size + 1",
        "size = -1",
        "frontier = x''",
        "frontier = zeroblob(length(frontier) + 32)",
        "frontier = zeroblob(length(frontier))",
        "root = zeroblob(32)",
    ],
)
def test_a_seal_that_does_not_agree_with_itself_is_damage(store: Store, path: Path, change: str) -> None:
    size, frontier = extend(0, (), [leaf_hash(bytes([number])) for number in range(7)])
    store.seals.save(Seal(size, frontier), root(frontier))
    sql(path, f"UPDATE seal SET {change}")
    with pytest.raises(LogDamaged, match="does not agree with itself"):
        store.seals.load()


def test_a_seal_that_is_gone_is_damage(tmp_path: Path, path: Path) -> None:
    with an_engine(path) as engine:
        sql(path, "DELETE FROM seal")
        with pytest.raises(LogDamaged, match="the seal is missing"):
            SqlSeals(engine).load()


@pytest.mark.parametrize("positions", ["", "[1,", '["one"]', "null"])
def test_a_row_of_the_ledger_that_cannot_be_read_is_called_by_its_name(
    store: Store, path: Path, positions: str
) -> None:
    assert isinstance(store.read_models, SqlReadModels)
    store.read_models.apply([], [a_record(0), a_record(1)], after=0, checkpoint=1)
    sql(path, "UPDATE batch_ledger SET positions = ? WHERE batch = 1", positions)
    assert store.read_models.batches(session(1), numbers=[0]) == [a_record(0)]
    with pytest.raises(ReadModelsDamaged, match=f"batch 1 of session {session(1)}.*trailkeep rebuild"):
        store.read_models.batches(session(1))


def test_lines_that_lead_back_are_not_followed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they do when two pages of the table changed places; whoever reads page by page would never end."""
    assert isinstance(store.log, SqlEventLog)
    in_order = store.log.read_lines()
    read = store.log._rows
    monkeypatch.setattr(store.log, "_rows", lambda *asked: [*(rows := read(*asked))[10:], *rows[:10]])
    assert store.log.read_lines() == in_order[10:]
    monkeypatch.setattr(store.log, "_rows", lambda *asked: read(*asked[:1], 0, *asked[2:]))
    assert store.log.read_lines(after=20) == []
