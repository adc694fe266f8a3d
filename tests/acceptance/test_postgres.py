"""What is Postgres's own at the command line: roles with few rights, upgrades that are asked for, URLs with secrets."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from persistence import schema
from tests.acceptance.command_line import Store, of_type
from tests.postgres_databases import Databases
from tests.postgres_server import PostgresServer

HOWTO = Path(__file__).parents[2] / "docs" / "howto" / "postgres.md"


def as_role(store: Store, role: str) -> Store:
    database = make_url(store.database).set(username=role, password=None).render_as_string()
    return Store(store.directory, database)


def run_sql(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in filter(str.strip, statements.split(";")):
            connection.execute(statement)


@pytest.fixture
def owner(postgres: Databases, tmp_path: Path) -> Iterator[Store]:
    """The database and the roles of the how-to, by its own words but under names of this test's own."""
    name = postgres.free_name()
    before, after = (re.sub(r"\btrailkeep", name, block) for block in _sql_of_the_howto())
    run_sql(postgres.url, before)
    store = Store(tmp_path, make_url(postgres.url_of(name)).set(username=f"{name}_owner").render_as_string())
    try:
        assert store.invoke("db", "upgrade").exit_code == 0
        run_sql(store.database, after)
        yield store
    finally:
        roles = ", ".join(f"{name}_{role}" for role in ("owner", "writer", "reader"))
        run_sql(postgres.url, f"DROP DATABASE {name} WITH (FORCE); DROP ROLE {roles}")


def _sql_of_the_howto() -> list[str]:
    return re.findall(r"^```sql\n(.*?)^```", HOWTO.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture
def writer(owner: Store) -> Store:
    return as_role(owner, (make_url(owner.database).username or "").replace("_owner", "_writer"))


@pytest.fixture
def reader(owner: Store) -> Store:
    return as_role(owner, (make_url(owner.database).username or "").replace("_owner", "_reader"))


# rights

CHANGES = [
    "UPDATE events SET line = line",
    "DELETE FROM events",
    "TRUNCATE events",
    "INSERT INTO events SELECT position + 1, leaf_hash, session_id, version + 1, line, leaf_hash FROM events",
    "ALTER TABLE events DISABLE TRIGGER ALL",
    "ALTER TABLE events ADD COLUMN note text",
    "DROP TRIGGER events_are_not_deleted ON events",
    "DROP TABLE events",
    "CREATE OR REPLACE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "DROP FUNCTION append_events",
    "CREATE TABLE other (number integer)",
    "CREATE TEMP TABLE log_head (id bigint, position bigint)",
    "UPDATE log_head SET position = 0",
    "UPDATE store SET store_id = ''",
    "UPDATE alembic_version SET version_num = 'v0000'",
    "SELECT position FROM log_head FOR UPDATE",
    "LOCK TABLE events IN EXCLUSIVE MODE",
    "SET session_replication_role = replica",
]


def refused(store: Store, statement: str) -> None:
    with psycopg.connect(store.database) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


@pytest.mark.rule("R15")
def test_r15_a_writer_can_append_and_do_nothing_else_to_the_log(writer: Store) -> None:
    writer.open()
    for statement in CHANGES:
        refused(writer, statement)
    assert writer.invoke("verify").exit_code == 0


@pytest.mark.rule("R15")
def test_r15_a_reader_can_only_read(reader: Store, writer: Store) -> None:
    writer.open()
    for statement in [
        *CHANGES,
        "SELECT append_events('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
        "INSERT INTO checkpoints VALUES ('retention', 7)",
        "UPDATE seal SET size = 0",
        "DELETE FROM agenda",
        "DELETE FROM session_summaries",
        "UPDATE batch_ledger SET files = 0",
    ]:
        refused(reader, statement)


@pytest.mark.rule("R15")
def test_r15_the_owner_is_refused_by_the_log_itself(owner: Store, writer: Store) -> None:
    writer.open()
    for statement in ("UPDATE events SET line = line", "DELETE FROM events", "TRUNCATE events"):
        with psycopg.connect(owner.database) as connection, pytest.raises(psycopg.IntegrityError, match="append-only"):
            connection.execute(statement)


def test_every_daily_command_works_as_the_writer_and_every_question_as_the_reader(writer: Store, reader: Store) -> None:
    writer.open()
    writer.produce(3)
    writer.answer("batch", "start", "news")
    writer.answer("batch", "fail", "news", "--reason", "the source went away")
    for words in (("project",), ("recover",), ("rebuild",), ("db", "upgrade"), ("db", "current"), ("verify",)):
        assert writer.invoke(*words).exit_code == 0, words
    assert len(of_type(writer.events(), "SegmentsPurged")) == 1
    file = str(next(writer.segments.glob("*.ts")))
    questions = (
        ("session", "list"),
        ("session", "show", "news"),
        ("root", "list"),
        ("plan",),
        ("events", "news"),
        ("history", "news"),
        ("explain", file),
        ("replay", "news"),
        ("verify",),
        ("repair", "orphans"),
        ("repair", "lost", "news"),
        ("db", "current"),
    )
    for words in questions:
        for store in (writer, reader):
            result = store.invoke(*words)
            assert result.exit_code == 0, (words, result.output)
    before = writer.events()
    refused_as_reader = reader.invoke("batch", "start", "news")
    assert refused_as_reader.exit_code == 1
    assert "permission denied for function append_events" in refused_as_reader.stderr
    assert writer.events() == before
    writer.answer("session", "close", "news", "--reason", "the end")
    assert writer.process("run", str(writer.config(2)), "--batches", "3").returncode == 0


# upgrades


@pytest.fixture
def empty(postgres: Databases, tmp_path: Path) -> Iterator[Store]:
    with postgres.empty() as url:
        yield Store(tmp_path, url)


@pytest.mark.rule("R20")
def test_r20_a_server_s_database_is_upgraded_only_when_that_is_asked_for(empty: Store) -> None:
    for words in (("events",), ("verify",), ("run", str(empty.config(2)))):
        result = empty.invoke(*words)
        assert result.exit_code == 1
        assert "run `trailkeep db upgrade`" in result.stderr
    assert empty.answer("db", "current") == {"current": None, "head": schema.HEAD}
    assert empty.invoke("db", "upgrade").exit_code == 0
    assert empty.answer("db", "current") == {"current": schema.HEAD, "head": schema.HEAD}
    assert empty.invoke("events").exit_code == 0


@pytest.mark.rule("R20")
def test_r20_a_newer_schema_is_refused(empty: Store) -> None:
    assert empty.invoke("db", "upgrade").exit_code == 0
    empty.sql("UPDATE alembic_version SET version_num = 'v9999'")
    for words in (("events",), ("db", "upgrade"), ("run", str(empty.config(2)))):
        result = empty.invoke(*words)
        assert result.exit_code == 1
        assert "made by a newer Trailkeep" in result.stderr


# URLs


@pytest.mark.rule("R20")
@pytest.mark.parametrize("words", [("events",), ("verify",), ("doctor",), ("db", "upgrade"), ("db", "current")])
@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("postgresql://trail:s3cret@127.0.0.1:port/log", 2, "is not allowed: it must be a URL of the form"),
        ("postgresql://trail:s3cret@127.0.0.1:1", 2, "is not allowed: it must be a URL of the form"),
        ("postgresql://trail@127.0.0.1/log?password=s3cret", 2, "password: it belongs before the @"),
        ("postgresql://trail:s3cret@127.0.0.1:1/log", 1, "is not available: connection failed"),
    ],
)
def test_r20_what_is_wrong_with_a_url_is_told_without_its_password(
    tmp_path: Path, words: tuple[str, ...], url: str, code: int, said: str
) -> None:
    result = Store(tmp_path, url).invoke(*words)
    assert result.exit_code == code, result.output
    assert said in " ".join(result.output.split())
    assert "s3cret" not in result.output


def test_a_database_in_a_configuration_may_be_a_server_s(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path, postgres_url)
    config = store.config(2)
    config.write_text(f'database = "{postgres_url}"\n{config.read_text()}')
    monkeypatch.setenv("TRAILKEEP_DATABASE_URL", "")
    words = [word for word in store.command("run", str(config), "--batches", "1") if word != postgres_url]
    words.remove("--database")
    assert store.spawn(words).returncode == 0
    assert len(of_type(store.events(), "BatchCompleted")) == 1


# doctor


def test_the_doctor_tells_the_server_and_is_not_content_with_one_that_may_forget(
    postgres_url: str, tmp_path: Path
) -> None:
    store = Store(tmp_path, postgres_url)
    store.open()
    result = store.invoke("doctor", "--json")
    found = {one["what"]: one for one in json.loads(result.stdout)["findings"]}
    off = [name for name in ("fsync", "full_page_writes") if setting(postgres_url, name) == "off"]
    assert result.exit_code == (1 if off else 0)
    assert {"postgres", "psycopg", "database", "log lines", "synchronous_commit"} <= found.keys()
    assert [what for what, one in found.items() if not one["ok"]] == off
    assert all("a power cut can lose" in found[what]["found"] for what in off)


def setting(url: str, name: str) -> str:
    with psycopg.connect(url) as connection:
        (value,) = connection.execute(f"SHOW {name}").fetchone() or ("",)
    return str(value)


def test_the_doctor_is_content_with_a_server_that_is_as_it_should_be(tmp_path: Path) -> None:
    server = PostgresServer()
    try:
        store = Store(tmp_path, server.url())
        assert store.invoke("db", "upgrade").exit_code == 0
        store.open()
        result = store.invoke("doctor")
        assert result.exit_code == 0, result.output
        assert "ok   postgres: 18" in result.output
    finally:
        server.close()


def test_the_doctor_hides_the_password(postgres_url: str, tmp_path: Path) -> None:
    """The server of the tests asks for none, and takes any."""
    url = make_url(postgres_url).set(password="s3cret").render_as_string(hide_password=False)
    output = Store(tmp_path, url).invoke("doctor").output
    assert "postgres:***@" in output
    assert "s3cret" not in output
