"""`db reconcile`: a database that was put back, as an operator meets it."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.acceptance.command_line import Store, names_of, of_type

pytestmark = pytest.mark.rule("R15", "R17")

SIZE = 2
WHY = ("--reason", "the old copy is the only one")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A copy of the database was made after two batches; after it came two more, of which one purged the first."""
    store = Store(tmp_path)
    store.open("--playlist-window", "0", batch_size=SIZE)
    store.produce(2)
    database, copy = tmp_path / "log.db", tmp_path / "copy.db"
    with sqlite3.connect(database) as now, sqlite3.connect(copy) as then:
        now.backup(then)
    store.produce(1)
    assert store.invoke("project").exit_code == 0
    store.produce(1)
    for path in tmp_path.glob("log.db*"):
        path.unlink()
    shutil.copyfile(copy, database)
    return store


@pytest.mark.rule("R10")
def test_a_database_that_was_put_back_purges_nothing_until_a_person_says_so(store: Store) -> None:
    """R10, R15, R17: it goes on producing, and would purge what it thinks is due."""
    store.produce(2)
    there = store.names()
    refused = store.invoke("project")
    assert refused.exit_code == 4
    assert "knows of 3 events that the log does not have" in refused.output
    assert "db reconcile" in refused.output
    assert store.names() == there
    assert not of_type(store.events(), "PurgeIssued")

    assert "R15: the journal of" in store.answer("plan")[0]["blocked_by"]
    assert "BAD  journals" in store.invoke("doctor").output
    verified = store.invoke("verify")
    assert verified.exit_code == 3
    assert "journal: log: it lost events" in verified.output

    found = store.invoke("db", "reconcile")
    assert found.exit_code == 3
    assert "BatchCompleted" in found.output
    assert "--accept --reason" in found.output
    assert store.invoke("db", "reconcile", "--accept").exit_code == 2
    head = len(store.events())
    assert store.invoke("db", "reconcile", "--accept", *WHY).exit_code == 0
    [accepted] = store.events()[head:]
    assert accepted["type"] == "LossAccepted"
    assert accepted["data"]["reason"] == WHY[1]
    assert [(one["type"], one["batch"]) for one in accepted["data"]["events"]] == [
        ("BatchCompleted", 2),
        ("PurgeIssued", 0),
        ("BatchCompleted", 3),
    ]
    assert store.answer("db", "reconcile")["missing"] == []
    project = store.invoke("project")
    assert (project.exit_code, "trailkeep purge --confirm" in project.stderr) == (4, True), "batch 0 is gone already"
    assert "nothing was missing" in store.invoke("db", "reconcile", "--accept", *WHY).output


def test_it_names_exactly_what_is_missing(store: Store) -> None:
    found = store.invoke("db", "reconcile", "--json")
    assert found.exit_code == 3
    answer = store.read(found)
    assert answer["roots"] == [str(store.root)]
    assert answer["unread"] == answer["playlists"] == []
    session = store.answer("session", "show", "news")["session_id"]
    assert [(one["type"], one["batch"], one["position"]) for one in answer["missing"]] == [
        ("BatchCompleted", 2, 7),
        ("PurgeIssued", 0, 8),
        ("BatchCompleted", 3, 11),
    ]
    assert {(one["root"], one["channel"], one["session_id"]) for one in answer["missing"]} == {
        (str(store.root), "news", session)
    }


def test_what_was_made_is_an_orphan_and_what_went_is_lost_after_that(store: Store) -> None:
    store.invoke("db", "reconcile", "--accept", *WHY)
    report = store.read(store.invoke("verify", "--json"))
    assert report["journals"] == []
    assert {Path(one).name for one in report["orphans"]} == names_of(2, 3, batch_size=SIZE)
    assert {Path(one).name for one in report["lost"]} == names_of(0, batch_size=SIZE)


def test_a_whole_log_lacks_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.open(batch_size=SIZE)
    store.produce(3)
    store.invoke("project")
    result = store.invoke("db", "reconcile")
    assert (result.exit_code, "the log has what the journals of 1 media roots tell" in result.output) == (0, True)
    assert "ok   journals" in store.invoke("doctor").output
    assert store.answer("explain", str(store.root / ".trailkeep-journal"))["status"] == "kept"


def test_a_root_that_is_not_mounted_is_not_called_whole(store: Store) -> None:
    store.root.rename(store.root.with_name("away"))
    result = store.invoke("db", "reconcile")
    assert result.exit_code == 1
    assert "not looked at" in result.output


def test_a_playlist_that_is_ahead_stays_in_the_way_and_is_said_to(tmp_path: Path) -> None:
    """RFC 8216 6.2.2: its number must not go back; to remove it is an operator's choice."""
    store = Store(tmp_path)
    store.open(batch_size=SIZE)
    store.produce(1)
    copy = (tmp_path / "log.db").read_bytes()
    store.produce(2)
    for path in tmp_path.glob("log.db*"):
        path.unlink()
    (tmp_path / "log.db").write_bytes(copy)
    assert store.read(store.invoke("db", "reconcile", "--json"))["playlists"]
    accepted = store.invoke("db", "reconcile", "--accept", *WHY)
    assert "the playlist of news/90p lists segments up to media sequence number 5" in accepted.output
    assert "until the log has passed them, or that playlist is removed" in accepted.output
    assert store.invoke("db", "reconcile").exit_code == 0


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.invoke("db", "reconcile").exit_code == 1
    assert list(tmp_path.iterdir()) == []
