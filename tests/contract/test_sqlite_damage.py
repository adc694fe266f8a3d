"""A log that somebody altered, or a file that is no whole database, is told as such and never read past."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from application.log_check import LogCheck
from domain.errors import LogDamaged
from domain.events import Recorded
from domain.merkle import leaf_hash
from persistence.event_log import SqlEventLog
from persistence.memory import MemorySeals
from tests.contract.log_events import an_event, fill, found, session
from tests.contract.stores import a_log, sql, tamper

GARBAGE = b"\xff not json"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def log(path: Path) -> Iterator[SqlEventLog]:
    """Five events of a session at positions 2 to 6, one of another at each side."""
    with a_log(path) as log:
        fill(log, 1, of=2)
        fill(log, 5, of=1)
        fill(log, 1, of=3)
        yield log


def all_of(log: SqlEventLog) -> object:
    return log.read()


def one_session(log: SqlEventLog) -> list[Recorded]:
    return list(log.read_session(session(1)))


def the_event(log: SqlEventLog) -> object:
    return found(log, an_event(version=3).event_id)


def every_line(log: SqlEventLog) -> object:
    return [log.examine(line) for line in log.read_lines()]


READERS = [all_of, one_session, the_event, every_line]
Reader = Callable[[SqlEventLog], object]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("change", "values", "reason"),
    [
        ("line = CAST(replace(CAST(line AS TEXT), 'event 3', 'event 4') AS BLOB)", (), "leaf hash"),
        ("line = CAST(line || ' ' AS BLOB)", (), "leaf hash"),
        ("line = x''", (), "leaf hash"),
        ("leaf_hash = zeroblob(32)", (), "leaf hash"),
        ("line = ?, leaf_hash = ?", (GARBAGE, leaf_hash(GARBAGE)), "cannot be read"),
    ],
)
def test_an_altered_line_is_damage_to_every_reader(
    log: SqlEventLog, path: Path, reader: Reader, change: str, values: tuple[bytes, ...], reason: str
) -> None:
    tamper(path, f"UPDATE events SET {change} WHERE position = 4", *values)
    with pytest.raises(LogDamaged) as caught:
        reader(log)
    assert caught.value.position == 4
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    "change",
    [
        "event_id = randomblob(16)",
        "event_id = x'00'",
        "session_id = randomblob(16)",
        "version = 99",
    ],
)
def test_a_column_that_does_not_tell_what_the_line_tells_is_damage(log: SqlEventLog, path: Path, change: str) -> None:
    tamper(path, f"UPDATE events SET {change} WHERE position = 4")
    with pytest.raises(LogDamaged, match="position 4: the columns beside the line"):
        every_line(log)


@pytest.mark.parametrize("change", ["version = 99", "version = 99, session_id = randomblob(16)"])
def test_a_session_that_lost_a_version_is_damage(log: SqlEventLog, path: Path, change: str) -> None:
    tamper(path, f"UPDATE events SET {change} WHERE position = 4")
    with pytest.raises(LogDamaged, match="version 3 of session"):
        one_session(log)


def test_an_event_under_another_sessions_name_is_damage(log: SqlEventLog, path: Path) -> None:
    tamper(
        path,
        "UPDATE events SET session_id = (SELECT session_id FROM events WHERE position = 2), version = 6"
        " WHERE position = 7",
    )
    with pytest.raises(LogDamaged, match="position 7: version 6 of session"):
        one_session(log)


@pytest.mark.rule("R15")
@pytest.mark.parametrize("position", [1, 4, 7])
@pytest.mark.parametrize("limit", [1, 2, 1000])
def test_r15_an_event_that_was_removed_is_missed(log: SqlEventLog, path: Path, position: int, limit: int) -> None:
    tamper(path, f"DELETE FROM events WHERE position = {position}")
    with pytest.raises(LogDamaged, match=f"position {position}: the event is missing"):
        log.read(after=position - 1, limit=limit)
    with pytest.raises(LogDamaged, match=f"position {position}: the event is missing"):
        log.read()


def test_a_session_that_lost_an_event_is_damage(log: SqlEventLog, path: Path) -> None:
    tamper(path, "DELETE FROM events WHERE position = 4")
    with pytest.raises(LogDamaged, match="version 3 of session"):
        one_session(log)


def test_lines_can_be_listed_whatever_they_hold(log: SqlEventLog, path: Path) -> None:
    tamper(path, "UPDATE events SET line = x'00', event_id = x'01' WHERE position = 4")
    assert [line.position for line in log.read_lines()] == [1, 2, 3, 4, 5, 6, 7]


def test_a_store_that_lost_its_id_or_its_head_is_damage(log: SqlEventLog, path: Path) -> None:
    tamper(path, "DELETE FROM store")
    with pytest.raises(LogDamaged, match="store"):
        log.store_id()
    tamper(path, "DELETE FROM log_head")
    with pytest.raises(LogDamaged, match="log_head"):
        log.head()
    with pytest.raises(LogDamaged):
        log.append([an_event(of=9)], expected_version=0)


# damage below the lines


def index_page(path: Path, index: str) -> slice:
    """Where the page of a small index is in the file."""
    ((number,),) = sql(path, "SELECT rootpage FROM sqlite_master WHERE name = ?", index)
    ((size,),) = sql(path, "PRAGMA page_size")
    return slice((number - 1) * size, number * size)


def corrupt_index(path: Path, index: str, key: bytes) -> None:
    """Flip a bit of a key in the page of an index, and touch nothing else."""
    content = bytearray(path.read_bytes())
    page = index_page(path, index)
    place = content.find(key, page.start, page.stop)
    assert place >= 0, "the key is in the page"
    assert content.find(key, place + 1, page.stop) < 0
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.rule("R15")
@pytest.mark.invariant(11)
def test_r15_an_event_that_its_index_lost_is_found_though_every_line_is_whole(path: Path) -> None:
    """A session without its newest event looks like a sound one: nothing but the database can tell."""
    with a_log(path) as log:
        fill(log, 1, of=2)
        fill(log, 5, of=1)
        whole = one_session(log)
    corrupt_index(path, "events_by_session", uuid.UUID(session(1)).bytes + bytes([5, 6]))
    with a_log(path) as log:
        assert len(log.read()) == 6
        assert one_session(log) == whole[:4]
        faults = list(log.storage_faults())
        assert any("events_by_session" in fault for fault in faults)
        with pytest.raises(LogDamaged, match="events_by_session"):
            LogCheck(log, MemorySeals()).require_intact()


@pytest.mark.rule("R15")
def test_r15_an_id_that_its_index_lost_is_found(path: Path) -> None:
    """The same event again would be appended a second time."""
    with a_log(path) as log:
        fill(log, 5)
    corrupt_index(path, "events_by_id", uuid.UUID(an_event(version=3).event_id).bytes)
    with a_log(path) as log:
        assert the_event(log) is None
        assert any("events_by_id" in fault for fault in log.storage_faults())


def test_a_row_that_its_index_has_as_another_event_is_damage(log: SqlEventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the index is whole and the page of the row is not: Postgres looks up by the one and reads the other."""
    line = log.read_lines(limit=1)[0]
    row = (1, line.line, line.leaf_hash, bytes(16), bytes(16), 1)
    monkeypatch.setattr("persistence.event_log.fetched", lambda *_: [row])
    with pytest.raises(LogDamaged, match="an index has another event there"):
        log.lines_of([line.event_id])
