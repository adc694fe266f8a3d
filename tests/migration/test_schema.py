"""A database gets the schema of the code, whole or not at all, and no other schema is worked with."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from domain.errors import SchemaMismatch
from domain.merkle import leaf_hash
from persistence import postgres_guards, schema, tables
from persistence.codec import encode_append, id_bytes
from persistence.engine import open_engine, writing
from persistence.event_log import SqlEventLog
from tests.contract.log_events import some_events
from tests.postgres_databases import Databases

ROOT = Path(__file__).parents[2]
SQLITE_OBJECTS = """
    SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE '%alembic%' ORDER BY type, name"""
POSTGRES_OBJECTS = (
    """SELECT table_name, column_name, ordinal_position, data_type, is_nullable, column_default, collation_name
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'alembic%'
    ORDER BY table_name, ordinal_position""",
    """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text NOT LIKE 'alembic%' ORDER BY 1, 2""",
    """SELECT indexname, indexdef FROM pg_indexes
    WHERE schemaname = 'public' AND tablename NOT LIKE 'alembic%' ORDER BY indexname""",
    """SELECT tgname, pg_get_triggerdef(oid), tgenabled::text FROM pg_trigger
    WHERE NOT tgisinternal ORDER BY tgname""",
    """SELECT proname, pg_get_functiondef(oid), proacl::text FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace ORDER BY proname""",
    "SELECT count(*) FROM pg_class WHERE relkind = 'S'",
)

V0001_ON_SQLITE = "8dc954e8b2a4e10bcb8c434db9fe0283ec0d2c431bf2569a7a42e06f0609ffbe"
"""SHA-256 of what the first release made."""

NewUrl = Callable[[], str]
"""Gives the URL of one more empty database."""


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    engine = open_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewUrl]:
    with ExitStack() as ending:
        if request.param == "sqlite":
            numbers = count(1)
            yield lambda: f"sqlite:///{tmp_path / f'{next(numbers)}.db'}"
        else:
            postgres: Databases = request.getfixturevalue("postgres")
            yield lambda: ending.enter_context(postgres.empty())


@pytest.fixture
def url(new_url: NewUrl) -> str:
    return new_url()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    with opened(url) as engine:
        yield engine


def rows(engine: Engine, query: str) -> list[Any]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def objects(engine: Engine) -> list[Any]:
    """Every table, index, trigger and function as the database tells them."""
    if engine.dialect.name == "sqlite":
        return rows(engine, SQLITE_OBJECTS)
    return [rows(engine, query.replace("%", "%%")) for query in POSTGRES_OBJECTS]


def run(engine: Engine, statement: str) -> None:
    with writing(engine).begin() as connection:
        connection.exec_driver_sql(statement)


def alembic(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "TRAILKEEP_DATABASE_URL": url}
    command = [sys.executable, "-m", "alembic", *arguments]
    return subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_an_upgraded_database_has_the_tables_indexes_and_triggers_of_the_code(engine: Engine, new_url: NewUrl) -> None:
    schema.upgrade(engine)
    with opened(new_url()) as fresh:
        with writing(fresh).begin() as connection:
            tables.metadata.create_all(connection)
        assert objects(engine) == objects(fresh)


def test_every_trigger_is_there_at_the_head(engine: Engine) -> None:
    schema.upgrade(engine)
    if engine.dialect.name == "sqlite":
        names = rows(engine, "SELECT name FROM sqlite_master WHERE type = 'trigger'")
        there: Iterable[str] = tables.TRIGGERS
    else:
        names = rows(engine, "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")
        there = postgres_guards.TRIGGERS
    assert sorted(name for (name,) in names) == sorted(there)
    assert len(names) == 4


def test_every_function_is_there_at_the_head_and_nobody_may_call_it_yet(postgres_url: str) -> None:
    may = "has_function_privilege('public', oid, 'EXECUTE')"
    own = "SELECT oid::regprocedure::text, {} FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    with opened(postgres_url) as engine:
        found = dict(rows(engine, own.format(may)))
    assert found == {name.replace(", ", ","): False for name in postgres_guards.BODIES}


def test_the_frozen_schema_of_sqlite_is_what_it_was(tmp_path: Path) -> None:
    """Databases are out there that v0001 made: it may not make others."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    assert alembic(url, "upgrade", "v0001").returncode == 0
    with opened(url) as engine:
        assert sha256(repr(objects(engine)).encode()).hexdigest() == V0001_ON_SQLITE


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
    before = objects(engine), SqlEventLog(engine).store_id()
    assert schema.upgrade(engine) == schema.HEAD
    assert (objects(engine), SqlEventLog(engine).store_id()) == before


def test_two_databases_have_two_store_ids(engine: Engine, new_url: NewUrl) -> None:
    schema.upgrade(engine)
    with opened(new_url()) as other:
        schema.upgrade(other)
        assert SqlEventLog(other).store_id() != SqlEventLog(engine).store_id()


def test_processes_that_start_together_upgrade_once(url: str, tmp_path: Path) -> None:
    start = (
        "import sys; from persistence import schema; from persistence.engine import open_engine\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "engine = open_engine(sys.argv[1]); print(schema.upgrade(engine)); schema.require_head(engine)\n"
        "engine.dispose()"
    )
    command = [sys.executable, "-c", start, url]
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


@pytest.mark.rule("R15")
def test_r15_a_database_of_the_first_schema_keeps_its_log_and_its_guards(engine: Engine, url: str) -> None:
    assert alembic(url, "upgrade", "v0001").returncode == 0
    fill_as_it_was(engine, 20)
    kept = "SELECT * FROM events ORDER BY position", "SELECT * FROM store", "SELECT * FROM log_head"
    before = [rows(engine, query) for query in kept]
    with pytest.raises(SchemaMismatch, match="run `trailkeep db upgrade`"):
        schema.require_head(engine)
    assert schema.upgrade(engine) == "v0001"
    assert [rows(engine, query) for query in kept] == before
    assert list(SqlEventLog(engine).storage_faults()) == []
    assert rows(engine, "SELECT count(*) FROM snapshots") == [(0,)]


def fill_as_it_was(engine: Engine, count: int) -> None:
    """Append without the code of today, which goes by the schema of today."""
    columns = "position, event_id, session_id, version, line, leaf_hash"
    row = text(
        f"INSERT INTO events ({columns}) VALUES (:position, :event_id, :session_id, :version, :line, :leaf_hash)"
    )
    for position, (line, envelope) in enumerate(encode_append(some_events(count), 0), 1):
        told = {
            "position": position,
            "event_id": id_bytes(envelope.event_id),
            "session_id": id_bytes(envelope.session_id),
            "version": envelope.version,
            "line": line,
            "leaf_hash": leaf_hash(line),
        }
        with writing(engine).begin() as connection:
            connection.execute(row, told)


# other schemas


@pytest.mark.rule("R20")
def test_r20_an_empty_database_is_not_worked_with_before_it_is_upgraded(engine: Engine) -> None:
    needed = f"database schema: None is not '{schema.HEAD}': run `trailkeep db upgrade`"
    with pytest.raises(SchemaMismatch, match=needed):
        schema.require_head(engine)


@pytest.mark.rule("R20")
@pytest.mark.parametrize("use", [schema.require_head, schema.upgrade])
def test_r20_a_database_of_a_newer_trailkeep_is_refused_and_left_alone(engine: Engine, use: Any) -> None:
    schema.upgrade(engine)
    run(engine, "UPDATE alembic_version SET version_num = 'v9999'")
    refusal = f"'v9999' is not '{schema.HEAD}': this database was made by a newer Trailkeep"
    with pytest.raises(SchemaMismatch, match=refusal):
        use(engine)
    assert schema.current(engine) == "v9999"


@pytest.mark.rule("R20")
@pytest.mark.parametrize("use", [schema.current, schema.require_head, schema.upgrade])
@pytest.mark.parametrize("table", ["songs", "alembic_version"])
def test_r20_a_database_of_another_program_is_refused_and_left_alone(engine: Engine, use: Any, table: str) -> None:
    run(engine, f"CREATE TABLE {table} (version_num TEXT)")
    before = objects(engine)
    with pytest.raises(SchemaMismatch, match=rf"tables of another program \({table}\)"):
        use(engine)
    assert objects(engine) == before


# Alembic's own command line, in a checkout


def test_alembic_finds_nothing_to_change_after_an_upgrade(engine: Engine, url: str) -> None:
    schema.upgrade(engine)
    check = alembic(url, "check")
    assert check.returncode == 0, check.stderr
    assert "No new upgrade operations detected" in check.stdout + check.stderr


def test_alembic_makes_the_same_database(engine: Engine, url: str) -> None:
    assert alembic(url, "upgrade", "head").returncode == 0
    schema.require_head(engine)
    assert len(SqlEventLog(engine).store_id()) == 36


def test_the_log_is_never_dropped_by_a_downgrade(engine: Engine, url: str) -> None:
    schema.upgrade(engine)
    before = objects(engine)
    downgrade = alembic(url, "downgrade", "base")
    assert downgrade.returncode != 0
    assert "the log is never dropped" in downgrade.stderr
    assert objects(engine) == before
    schema.require_head(engine)
