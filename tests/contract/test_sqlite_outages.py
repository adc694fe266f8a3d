"""A disk that is full, read-only or gone, and files that are no database: one clear error, and nothing is lost."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from domain.errors import LogDamaged, StoreUnavailable, TrailkeepError
from persistence import schema
from persistence.engine import open_engine
from persistence.event_log import SqlEventLog
from tests.contract.log_events import a_failure, an_event, fill
from tests.contract.stores import a_log, an_engine, url_of

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")


def big(version: int) -> Any:
    return an_event(a_failure(stderr_tail="x" * 4000), version=version)


def fill_up(log: SqlEventLog, limit: int = 1000) -> int:
    """Append until the disk is full; the number of events that the log has acknowledged."""
    done = 0
    while done < limit:
        try:
            log.append([big(done + 1)], expected_version=done)
        except StoreUnavailable:
            break
        done += 1
    with pytest.raises(StoreUnavailable, match=r"database or disk is full|disk I/O error"):
        log.append([big(done + 1)], expected_version=done)
    return done


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_database_loses_nothing_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    pages = 60
    with an_engine(tmp_path / "log.db") as engine:
        event.listen(engine, "connect", lambda raw, _: raw.execute(f"PRAGMA max_page_count = {pages}"))
        engine.dispose()
        log = SqlEventLog(engine)
        done = fill_up(log)
        assert done > 10
        assert log.head() == len(log.read()) == done
        pages = 1000
        engine.dispose()
        assert log.append([big(done + 1)], expected_version=done)[0].position == done + 1


@ROOT_ONLY
def test_a_full_disk_loses_nothing_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    with a_log(small_disk / "log.db") as log:
        ballast.write_bytes(bytes(300_000))
        done = fill_up(log)
        assert log.head() == len(log.read()) == done
        ballast.unlink()
        assert log.append([big(done + 1)], expected_version=done)[0].position == done + 1
    with a_log(small_disk / "log.db") as log:
        assert len(log.read()) == done + 1


@ROOT_ONLY
def test_a_disk_without_inodes_loses_nothing_and_goes_on_when_there_are_some(small_disk: Path) -> None:
    """The database is there, and its write-ahead log cannot be."""
    with a_log(small_disk / "log.db") as log:
        fill(log, 2)
    subprocess.run(["mount", "-o", "remount,nr_inodes=2", str(small_disk)], check=True)
    engine = open_engine(url_of(small_disk / "log.db"))
    with pytest.raises(StoreUnavailable, match=r"unable to open|disk I/O error"):
        SqlEventLog(engine).append([an_event(version=3)], expected_version=2)
    engine.dispose()
    subprocess.run(["mount", "-o", "remount,nr_inodes=100", str(small_disk)], check=True)
    with a_log(small_disk / "log.db") as log:
        assert log.append([an_event(version=3)], expected_version=2)[0].position == 3


def test_an_upgrade_that_finds_no_room_leaves_nothing_behind(tmp_path: Path) -> None:
    engine = open_engine(url_of(tmp_path / "log.db"))
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA max_page_count = 6"))
    with pytest.raises(StoreUnavailable, match="database or disk is full"):
        schema.upgrade(engine)
    assert schema.current(engine) is None
    engine.dispose()


@ROOT_ONLY
def test_a_read_only_disk_is_unavailable_for_appends(small_disk: Path) -> None:
    with a_log(small_disk / "log.db") as log:
        fill(log, 2)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    engine = open_engine(url_of(small_disk / "log.db"))
    with pytest.raises(StoreUnavailable, match=r"readonly|unable to open"):
        SqlEventLog(engine).append([an_event(version=3)], expected_version=2)
    with pytest.raises(StoreUnavailable, match=r"readonly|unable to open"):
        schema.upgrade(engine)
    engine.dispose()
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)


# files that are no database


def use(path: Path) -> None:
    """What any command does with a database."""
    engine = open_engine(url_of(path))
    try:
        schema.require_head(engine)
        log = SqlEventLog(engine)
        for line in log.read_lines():
            log.examine(line)
        log.append([an_event(of=9)], expected_version=0)
        list(log.read_session(an_event().session_id))
        log.read()
    finally:
        engine.dispose()


def in_a_missing_directory(directory: Path) -> Path:
    return directory / "missing" / "log.db"


def a_directory(directory: Path) -> Path:
    return directory


def a_text(directory: Path) -> Path:
    (directory / "log.db").write_bytes(b"this is not a database\n" * 1000)
    return directory / "log.db"


def below_a_file(directory: Path) -> Path:
    (directory / "file").touch()
    return directory / "file" / "log.db"


@pytest.mark.rule("R20")
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (in_a_missing_directory, "unable to open database file"),
        (below_a_file, "unable to open database file"),
        (a_directory, "unable to open database file"),
        (a_text, "file is not a database"),
    ],
)
def test_r20_a_path_that_leads_to_no_database_is_unavailable(
    tmp_path: Path, make: Callable[[Path], Path], reason: str
) -> None:
    path = make(tmp_path)
    with pytest.raises(StoreUnavailable, match=reason) as caught:
        use(path)
    assert caught.value.url == url_of(path)


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def cut_inside_a_page(content: bytes) -> bytes:
    return content[: len(content) - 100]


def without_its_first_page(content: bytes) -> bytes:
    return content[4096:]


def with_a_garbled_half(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + b"\xa5" * (len(content) - middle)


def with_a_garbled_schema(content: bytes) -> bytes:
    return content[:100] + b"\xa5" * 4000 + content[4100:]


@pytest.mark.rule("R20")
@pytest.mark.parametrize(
    "damage",
    [truncated, cut_inside_a_page, without_its_first_page, with_a_garbled_half, with_a_garbled_schema],
)
def test_r20_a_damaged_file_is_told_and_never_read_past(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "log.db"
    with a_log(path) as log:
        fill(log, 300, each=300)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises((StoreUnavailable, LogDamaged)):
        use(path)


@pytest.mark.rule("R20")
def test_r20_every_byte_that_is_flipped_is_told_or_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with a_log(path) as log:
        fill(log, 20, each=20)
        before = [line.line for line in log.read_lines()]
    whole = path.read_bytes()
    for place in range(7, len(whole), 1999):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            use(path)
        except TrailkeepError:
            continue
        with a_log(path) as log:
            assert [line.line for line in log.read_lines(limit=20)] == before
