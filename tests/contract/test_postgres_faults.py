"""What a Postgres database that somebody meddled with says of itself, and of events that were altered in it."""

from collections.abc import Iterator

import pytest

from application.log_check import LogCheck
from application.ports import Seal
from domain.errors import LogDamaged, ReadModelsDamaged
from domain.merkle import extend, leaf_hash, root
from persistence.checkpoints import SqlSeals
from persistence.event_log import SqlEventLog
from persistence.memory import MemorySeals
from persistence.postgres_guards import BODIES, TRIGGERS
from persistence.read_models import SqlReadModels
from tests.contract.log_events import an_event, fill, found, session
from tests.contract.postgres_rows import query, tamper
from tests.contract.stores import log_at
from tests.contract.test_projector_stores import a_record


@pytest.fixture
def log(postgres_url: str) -> Iterator[SqlEventLog]:
    """Five events of a session at positions 2 to 6, one of another at each side."""
    with log_at(postgres_url) as log:
        fill(log, 1, of=2)
        fill(log, 5, of=1)
        fill(log, 1, of=3)
        yield log


GUARD = "which guards the log, is missing, altered or disabled"


@pytest.mark.rule("R15")
@pytest.mark.parametrize("name", TRIGGERS)
@pytest.mark.parametrize("harm", ["DROP TRIGGER {} ON events", "ALTER TABLE events DISABLE TRIGGER {}"])
def test_r15_each_guard_of_the_log_is_missed(log: SqlEventLog, postgres_url: str, name: str, harm: str) -> None:
    query(postgres_url, harm.format(name))
    assert list(log.storage_faults()) == [f"the trigger {name}, {GUARD}"]


@pytest.mark.rule("R15")
def test_r15_a_guard_that_lets_pass_is_none(log: SqlEventLog, postgres_url: str) -> None:
    query(postgres_url, "DROP TRIGGER events_are_not_deleted ON events")
    weaker = "BEFORE DELETE ON events FOR EACH ROW WHEN (OLD.position < 0) EXECUTE FUNCTION events_refuse()"
    query(postgres_url, f"CREATE TRIGGER events_are_not_deleted {weaker}")
    assert list(log.storage_faults()) == [f"the trigger events_are_not_deleted, {GUARD}"]


@pytest.mark.rule("R15")
@pytest.mark.parametrize("name", BODIES)
def test_r15_a_function_that_was_altered_is_told(log: SqlEventLog, postgres_url: str, name: str) -> None:
    ((definition,),) = query(postgres_url, f"SELECT pg_get_functiondef('{name}'::regprocedure)")
    query(postgres_url, definition.replace("BEGIN", "BEGIN\n    RETURN NULL;", 1))
    assert list(log.storage_faults()) == [f"the function {name}, which guards the log, is missing or altered"]


@pytest.mark.rule("R15")
@pytest.mark.parametrize("name", ["events_by_id", "events_by_session"])
def test_r15_an_index_that_is_missing_or_invalid_is_told(log: SqlEventLog, postgres_url: str, name: str) -> None:
    query(postgres_url, f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{name}'::regclass")
    assert list(log.storage_faults()) == [f"the index {name} of the log is missing or invalid"]
    query(postgres_url, f"DROP INDEX {name}")
    assert list(log.storage_faults()) == [f"the index {name} of the log is missing or invalid"]


@pytest.mark.rule("R15")
@pytest.mark.parametrize(
    ("harm", "found"),
    [
        ("DELETE FROM events WHERE position = 3", "head of the log is 7, and there are 6 events at positions 1 to 7"),
        ("DELETE FROM events WHERE position = 7", "head of the log is 7, and there are 6 events at positions 1 to 6"),
        ("DELETE FROM events", "head of the log is 7, and there are 0 events at positions 1 to 0"),
        ("UPDATE log_head SET position = 6", "head of the log is 6, and there are 7 events at positions 1 to 7"),
        ("DELETE FROM log_head", "head of the log is None, and there are 7 events at positions 1 to 7"),
    ],
)
def test_r15_a_head_that_does_not_fit_the_events_is_told(
    log: SqlEventLog, postgres_url: str, harm: str, found: str
) -> None:
    tamper(postgres_url, harm)
    assert list(log.storage_faults()) == [f"the {found}"]


# altered events

GARBAGE = b"\xff not json"
GARBAGE_HASH = leaf_hash(GARBAGE).hex()


@pytest.mark.rule("R15")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("line = convert_to(replace(convert_from(line, 'UTF8'), 'event 3', 'event 4'), 'UTF8')", "leaf hash"),
        ("line = ''", "leaf hash"),
        ("leaf_hash = decode(repeat('00', 32), 'hex')", "leaf hash"),
        (rf"line = '\x{GARBAGE.hex()}', leaf_hash = '\x{GARBAGE_HASH}'", "cannot be read"),
    ],
)
def test_r15_an_altered_line_is_damage_to_every_reader(
    log: SqlEventLog, postgres_url: str, change: str, reason: str
) -> None:
    tamper(postgres_url, f"UPDATE events SET {change} WHERE position = 4")
    for read in (
        log.read,
        lambda: list(log.read_session(session(1))),
        lambda: found(log, an_event(version=3).event_id),
        lambda: [log.examine(line) for line in log.read_lines()],
    ):
        with pytest.raises(LogDamaged) as caught:
            read()
        assert caught.value.position == 4
        assert reason in caught.value.reason


@pytest.mark.rule("R15")
@pytest.mark.parametrize(
    "change",
    ["event_id = decode(repeat('01', 16), 'hex')", "session_id = decode(repeat('01', 16), 'hex')", "version = 99"],
)
def test_r15_columns_that_tell_otherwise_than_the_line_are_damage(
    log: SqlEventLog, postgres_url: str, change: str
) -> None:
    tamper(postgres_url, f"UPDATE events SET {change} WHERE position = 4")
    with pytest.raises(LogDamaged, match="position 4: the columns beside the line"):
        [log.examine(line) for line in log.read_lines()]


@pytest.mark.rule("R15")
def test_r15_an_event_that_is_missing_is_damage(log: SqlEventLog, postgres_url: str) -> None:
    tamper(postgres_url, "DELETE FROM events WHERE position = 4")
    with pytest.raises(LogDamaged, match="position 4: the event is missing"):
        log.read()
    with pytest.raises(LogDamaged, match="position 5: version 3 of session"):
        list(log.read_session(session(1)))
    with pytest.raises(LogDamaged):
        LogCheck(log, MemorySeals()).require_intact()


# rows of the projectors


@pytest.mark.parametrize(
    "change",
    [
        "size = size + 1",
        "size = -1",
        "frontier = ''",
        "frontier = frontier || decode(repeat('00', 32), 'hex')",
        "root = decode(repeat('00', 32), 'hex')",
    ],
)
def test_a_seal_that_does_not_agree_with_itself_is_damage(log: SqlEventLog, postgres_url: str, change: str) -> None:
    seals = SqlSeals(log._engine)
    size, frontier = extend(0, (), [leaf_hash(bytes([number])) for number in range(7)])
    seals.save(Seal(size, frontier), root(frontier))
    query(postgres_url, f"UPDATE seal SET {change}")
    with pytest.raises(LogDamaged, match="does not agree with itself"):
        seals.load()
    query(postgres_url, "DELETE FROM seal")
    with pytest.raises(LogDamaged, match="the seal is missing"):
        seals.load()


@pytest.mark.parametrize("positions", ["", "[1,", '["one"]', "null"])
def test_a_row_of_the_ledger_that_cannot_be_read_is_called_by_its_name(
    log: SqlEventLog, postgres_url: str, positions: str
) -> None:
    read_models = SqlReadModels(log._engine)
    read_models.apply([], [a_record(0), a_record(1)], after=0, checkpoint=1)
    query(postgres_url, "UPDATE batch_ledger SET positions = %s WHERE batch = 1", positions)
    assert read_models.batches(session(1), numbers=[0]) == [a_record(0)]
    with pytest.raises(ReadModelsDamaged, match=f"batch 1 of session {session(1)}.*trailkeep rebuild"):
        read_models.batches(session(1))
