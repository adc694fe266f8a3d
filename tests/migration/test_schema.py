"""A database gets the schema of the code, whole or not at all, and no other schema is worked with."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from domain.errors import SchemaMismatch
from persistence import schema, tables
from persistence.engine import open_engine, writing
from persistence.event_log import SqlEventLog

ROOT = Path(__file__).parents[2]
OBJECTS = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE '%alembic%' ORDER BY type, name"


@contextmanager
def opened(path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{path}")
    try:
        yield engine
    finally:
        engine.dispose()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    with opened(path) as engine:
        yield engine


def rows(engine: Engine, query: str) -> list[Any]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def run(engine: Engine, statement: str) -> None:
    with writing(engine).begin() as connection:
        connection.exec_driver_sql(statement)


def alembic(path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "TRAILKEEP_DATABASE_URL": f"sqlite:///{path}"}
    command = [sys.executable, "-m", "alembic", *arguments]
    return subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_an_upgraded_database_has_the_tables_indexes_and_triggers_of_the_code(engine: Engine, tmp_path: Path) -> None:
    schema.upgrade(engine)
    with opened(tmp_path / "fresh.db") as fresh:
        with writing(fresh).begin() as connection:
            tables.metadata.create_all(connection)
        assert rows(engine, OBJECTS) == rows(fresh, OBJECTS)


def test_every_trigger_is_there_at_the_head(engine: Engine) -> None:
    schema.upgrade(engine)
    names = [name for (name,) in rows(engine, "SELECT name FROM sqlite_master WHERE type = 'trigger'")]
    assert sorted(names) == sorted(tables.TRIGGERS)
    assert len(names) == 4


def test_the_revisions_that_the_code_knows_are_the_steps_that_there_are() -> None:
    steps = ScriptDirectory.from_config(Config(toml_file=ROOT / "pyproject.toml")).walk_revisions()
    assert [step.revision for step in steps] == list(reversed(schema.REVISIONS))
    assert schema.REVISIONS[-1] == schema.HEAD


def test_an_empty_database_is_upgraded_to_the_head(engine: Engine) -> None:
    assert schema.current(engine) is None
    assert schema.upgrade(engine) is None
    assert schema.current(engine) == schema.HEAD
    schema.require_head(engine)


def test_a_second_upgrade_changes_nothing(engine: Engine) -> None:
    schema.upgrade(engine)
    before = rows(engine, OBJECTS), SqlEventLog(engine).store_id()
    assert schema.upgrade(engine) == schema.HEAD
    assert (rows(engine, OBJECTS), SqlEventLog(engine).store_id()) == before


def test_two_databases_have_two_store_ids(engine: Engine, tmp_path: Path) -> None:
    schema.upgrade(engine)
    with opened(tmp_path / "other.db") as other:
        schema.upgrade(other)
        assert SqlEventLog(other).store_id() != SqlEventLog(engine).store_id()


def test_processes_that_start_together_upgrade_once(path: Path, tmp_path: Path) -> None:
    start = (
        "import sys; from persistence import schema; from persistence.engine import open_engine\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "engine = open_engine(sys.argv[1]); print(schema.upgrade(engine)); schema.require_head(engine)\n"
        "engine.dispose()"
    )
    command = [sys.executable, "-c", start, f"sqlite:///{path}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert sorted(said) == ["None\n", *[f"{schema.HEAD}\n"] * 3]


# other schemas


@pytest.mark.rule("R20")
def test_r20_an_empty_database_is_not_worked_with_before_it_is_upgraded(engine: Engine) -> None:
    with pytest.raises(
        SchemaMismatch, match=f"database schema: None is not '{schema.HEAD}': run `trailkeep db upgrade`"
    ):
        schema.require_head(engine)


@pytest.mark.rule("R20")
@pytest.mark.parametrize("use", [schema.require_head, schema.upgrade])
def test_r20_a_database_of_a_newer_trailkeep_is_refused_and_left_alone(engine: Engine, use: Any) -> None:
    schema.upgrade(engine)
    run(engine, "UPDATE alembic_version SET version_num = 'v9999'")
    with pytest.raises(
        SchemaMismatch, match=f"'v9999' is not '{schema.HEAD}': this database was made by a newer Trailkeep"
    ):
        use(engine)
    assert schema.current(engine) == "v9999"


@pytest.mark.rule("R20")
@pytest.mark.parametrize("use", [schema.current, schema.require_head, schema.upgrade])
@pytest.mark.parametrize("table", ["songs", "alembic_version"])
def test_r20_a_database_of_another_program_is_refused_and_left_alone(engine: Engine, use: Any, table: str) -> None:
    run(engine, f"CREATE TABLE {table} (version_num TEXT)")
    before = rows(engine, OBJECTS)
    with pytest.raises(SchemaMismatch, match=rf"tables of another program \({table}\)"):
        use(engine)
    assert rows(engine, OBJECTS) == before


# Alembic's own command line, in a checkout


def test_alembic_finds_nothing_to_change_after_an_upgrade(engine: Engine, path: Path) -> None:
    schema.upgrade(engine)
    check = alembic(path, "check")
    assert check.returncode == 0, check.stderr
    assert "No new upgrade operations detected" in check.stdout + check.stderr


def test_alembic_makes_the_same_database(engine: Engine, path: Path) -> None:
    assert alembic(path, "upgrade", "head").returncode == 0
    schema.require_head(engine)
    assert len(SqlEventLog(engine).store_id()) == 36


def test_the_log_is_never_dropped_by_a_downgrade(engine: Engine, path: Path) -> None:
    schema.upgrade(engine)
    before = rows(engine, OBJECTS)
    downgrade = alembic(path, "downgrade", "base")
    assert downgrade.returncode != 0
    assert "the log is never dropped" in downgrade.stderr
    assert rows(engine, OBJECTS) == before
    schema.require_head(engine)
