"""R20: a damaged database or log line stops what would act on it, with a reason, and nothing is deleted or recorded."""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from application.handlers import Cause
from application.recovery import OWN_PRODUCER
from domain.events import Source
from domain.merkle import leaf_hash
from entrypoints.bootstrap import App, opened
from persistence import schema
from tests.acceptance.command_line import Store, of_type

pytestmark = pytest.mark.rule("R20")

GUARDS = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'events'"

ALTERED = """UPDATE events SET line = CAST(replace(CAST(line AS TEXT), '"batch":1', '"batch":7') AS BLOB)
    WHERE position = 4"""
LINES = {
    "a line was altered": (ALTERED, "log position 4: the line does not have its leaf hash any more"),
    "a line is no JSON": (
        "UPDATE events SET line = x'78' WHERE position = 4",
        "log position 4: the line does not have its leaf hash any more",
    ),
    "a line is missing": ("DELETE FROM events WHERE position = 4", "log position"),
}

DATABASES = {
    "its pages do not fit its schema": (
        """PRAGMA writable_schema = ON; DELETE FROM sqlite_master WHERE name = 'events_by_session';
        PRAGMA writable_schema = OFF""",
        "database: *** in database main ***",
    ),
    "a guard is missing": ("SELECT 1", "database: the trigger events_are_not_"),
    "the head is none": ("DELETE FROM log_head", "database: 'SELECT position FROM log_head' finds no row"),
    "the store has no id": ("DELETE FROM store", "database: 'SELECT store_id FROM store' finds no row"),
}

FILES = {
    "it is cut off": (lambda path: os.truncate(path, 5000), "database disk image is malformed"),
    "it is a text": (lambda path: path.write_text("no database\n" * 400), "file is not a database"),
    "its schema is newer": (
        lambda path: change(path, "UPDATE alembic_version SET version_num = 'v9999'"),
        f"'v9999' is not '{schema.HEAD}': this database was made by a newer Trailkeep",
    ),
}

ACTIONS = ["history news", "plan", "project", "recover", "batch start news", "rebuild"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three batches; the first is due."""
    store = Store(tmp_path_factory.mktemp("sound"))
    store.open("--wrap", "20")
    store.produce(3)
    return store


def change(database: Path, statement: str) -> None:
    """As somebody would who has the file: past the triggers."""
    with closing(sqlite3.connect(database)) as connection:
        for (name,) in connection.execute(GUARDS).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.executescript(statement)
        connection.commit()


def copy_of(sound: Store, directory: Path) -> Store:
    """Its database, over the same media root."""
    shutil.copy(sound.directory / "log.db", directory / "log.db")
    return Store(directory)


def rows(store: Store) -> list[tuple[bytes, ...]]:
    with closing(sqlite3.connect(store.directory / "log.db")) as connection:
        return connection.execute("SELECT position, line FROM events ORDER BY position").fetchall()


@pytest.mark.parametrize("damage", LINES)
@pytest.mark.parametrize("words", ACTIONS)
def test_nothing_acts_on_a_damaged_log(sound: Store, tmp_path: Path, damage: str, words: str) -> None:
    """R20."""
    statement, said = LINES[damage]
    store = copy_of(sound, tmp_path)
    change(tmp_path / "log.db", statement)
    files, log = sound.names(), rows(store)
    result = store.invoke(*words.split())
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert said in result.stderr
    assert "nothing is deleted on the word of a damaged log" in result.stderr
    assert (sound.names(), rows(store)) == (files, log)


@pytest.mark.parametrize("damage", LINES)
def test_verify_finds_the_damage_of_a_log(sound: Store, tmp_path: Path, damage: str) -> None:
    """R20: it ends with 3 and says where."""
    statement, said = LINES[damage]
    store = copy_of(sound, tmp_path)
    change(tmp_path / "log.db", statement)
    result = store.invoke("verify", "--json")
    assert result.exit_code == 3
    log = json.loads(result.stdout)["log"]
    assert log["ok"] is False
    assert said in log["faults"][0]


@pytest.mark.parametrize("damage", LINES)
@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["text", "json"])
def test_events_are_told_up_to_the_damage(sound: Store, tmp_path: Path, damage: str, as_json: tuple[str, ...]) -> None:
    """R20: what is there before it is printed, and the exit code says that it is not all."""
    statement, said = LINES[damage]
    store = copy_of(sound, tmp_path)
    change(tmp_path / "log.db", statement)
    result = store.invoke("events", *as_json)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == sound.invoke("events", *as_json).stdout.splitlines()[:3]
    assert said in result.stderr
    assert "log position 4" in result.stderr
    behind = store.invoke("events", "--after", "4", *as_json)
    assert (behind.exit_code, len(behind.stdout.splitlines())) == (0, 3)


@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["text", "json"])
def test_events_miss_a_line_at_the_end(sound: Store, tmp_path: Path, as_json: tuple[str, ...]) -> None:
    """R20: as they do one in the middle."""
    store = copy_of(sound, tmp_path)
    change(tmp_path / "log.db", "DELETE FROM events WHERE position = 7")
    result = store.invoke("events", *as_json)
    assert (result.exit_code, len(result.stdout.splitlines())) == (1, 6)
    assert "log position 7: the event is missing" in result.stderr


@pytest.mark.parametrize("damage", LINES)
def test_the_doctor_finds_the_damage_of_a_log(sound: Store, tmp_path: Path, damage: str) -> None:
    """R20: also where the pages of the database are intact, and it goes on to the media roots."""
    statement, said = LINES[damage]
    store = copy_of(sound, tmp_path)
    change(tmp_path / "log.db", statement)
    result = store.invoke("doctor", "--json")
    assert result.exit_code == 1
    findings = {one["what"]: one for one in json.loads(result.stdout)["findings"]}
    assert findings["database pages"]["ok"] is True
    assert findings["log lines"]["ok"] is False
    assert said in findings["log lines"]["found"]
    assert findings[f"media root {sound.root}"]["ok"] is False, "what the log says of it cannot be known"


def test_the_doctor_compares_the_log_with_its_seal(sound: Store, tmp_path: Path) -> None:
    """R20: a line that was rewritten together with its leaf hash."""
    store = copy_of(sound, tmp_path)
    assert store.invoke("doctor").exit_code == 0
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        (line,) = connection.execute("SELECT line FROM events WHERE position = 4").fetchone()
    line = line.replace(b'"label":"external"', b'"label":"internal"')
    rewritten = f"line = x'{line.hex()}', leaf_hash = x'{leaf_hash(line).hex()}'"
    change(tmp_path / "log.db", f"UPDATE events SET {rewritten} WHERE position = 4")
    result = store.invoke("doctor")
    assert result.exit_code == 1
    assert "BAD  log lines: seal: the root over the first 7 events is not the one that was sealed" in result.stdout


SEALS = {"it does not fit itself": "UPDATE seal SET size = 0", "it is not there": "DELETE FROM seal"}


@pytest.mark.parametrize("damage", SEALS)
def test_what_is_recorded_under_a_damaged_seal_is_told_and_is_done(empty_store: Store, damage: str) -> None:
    """R20: generation goes on while the log can be appended to, and says each time that the seal is damaged."""
    store = empty_store
    store.open("--wrap", "20")
    store.produce(2)
    store.sql(SEALS[damage])
    started = store.invoke("batch", "start", "news", "--json")
    assert started.exit_code == 0
    assert store.read(started)["batch"] == 2
    for file in store.read(started)["files"]:
        Path(file).write_text(file)
    completed = store.invoke("batch", "complete", "news", "--json")
    assert completed.exit_code == 0
    assert store.read(completed)["position"] == len(store.events())
    for result in (started, completed):
        assert "Warning: read models and seal do not follow" in result.stderr
        assert "nothing is deleted on the word of a damaged log" in result.stderr
    refused = store.invoke("batch", "complete", "news")
    assert refused.exit_code == 4, "the command's own answer, whatever the seal"
    assert "Error: batch: 3 is refused by R20" in refused.stderr
    files = store.names()
    for words, code in (("project", 1), ("verify", 3), ("doctor", 1)):
        assert store.invoke(words).exit_code == code
    assert store.names() == files


@pytest.mark.parametrize("words", ["run", "recover", "recover --json"])
def test_what_recovery_recorded_is_told_also_if_the_log_is_damaged(empty_store: Store, words: str) -> None:
    """R20: the batch that a crash left open has failed; the exit code says that this was not all there was to do."""
    store = empty_store
    config = str(store.config(2))
    assert store.invoke("run", config, "--batches", "1").exit_code == 0
    with opened(store.database) as app:
        source = Source(label="picture", producer=OWN_PRODUCER)
        app.generation.start(app.sessions.resolve("news").session_id, source, Cause("producer"))
    store.sql("UPDATE seal SET size = 0")
    result = store.invoke(*(("run", config) if words == "run" else words.split()))
    assert result.exit_code == 1
    assert "does not agree with itself" in result.stderr
    [failed] = of_type(store.events(), "BatchFailed")
    if words == "recover --json":
        assert store.read(result) == {"recorded": [failed["position"]], "left": []}
    else:
        assert f"{failed['position']}  BatchFailed" in result.stdout


@pytest.mark.parametrize("damage", DATABASES)
def test_a_fault_of_the_database_is_told_as_that_and_at_no_position(sound: Store, tmp_path: Path, damage: str) -> None:
    """R20: the log has no position 0, and nobody need look for it."""
    statement, said = DATABASES[damage]
    store = copy_of(sound, tmp_path)
    change(tmp_path / "log.db", statement)
    files = sound.names()
    result = store.invoke("project")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {said}")
    assert "position 0" not in result.stderr
    assert "nothing is deleted on the word of a damaged log" in result.stderr
    assert sound.names() == files


@pytest.mark.parametrize("damage", FILES)
@pytest.mark.parametrize("words", [*ACTIONS, "verify", "events"])
def test_a_database_that_cannot_be_used_is_refused(sound: Store, tmp_path: Path, damage: str, words: str) -> None:
    """R20: and it is left as it was."""
    harm, said = FILES[damage]
    store = copy_of(sound, tmp_path)
    harm(tmp_path / "log.db")
    before = (tmp_path / "log.db").read_bytes()
    files = sound.names()
    result = store.invoke(*words.split())
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "database" in result.stderr
    assert said in result.stderr
    assert (tmp_path / "log.db").read_bytes() == before
    assert sound.names() == files


@pytest.mark.rule("R14")
def test_r14_a_forged_snapshot_is_found_by_verify_and_dropped_by_rebuild(sound: Store, tmp_path: Path) -> None:
    store = copy_of(sound, tmp_path)
    app = App(store.database)
    session = app.sessions.resolve("news")
    app.snapshots.save(msgspec.structs.replace(session, completed=7))
    app.close()
    shown = store.invoke("verify")
    assert shown.exit_code == 3
    assert f"the snapshot of session {session.session_id} is not what its events tell" in " ".join(shown.output.split())
    assert store.invoke("rebuild").exit_code == 0
    assert store.invoke("verify").exit_code == 0
