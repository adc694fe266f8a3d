"""A server that is away, refuses or was never there: one clear error, and nothing is lost."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import event

from domain.errors import Invalid, StoreUnavailable
from persistence import schema
from persistence.checkpoints import SqlAgenda
from persistence.engine import IDLE, driver_cursor, fetched, open_engine
from tests.contract.log_events import an_event, fill, some_events
from tests.contract.postgres_rows import query
from tests.contract.stores import closing, log_at
from tests.postgres_databases import Databases
from tests.postgres_server import NOT_DURABLE, PostgresServer


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One of our own, to be stopped."""
    server = PostgresServer(*NOT_DURABLE)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def url(server: PostgresServer) -> Iterator[str]:
    server.order("start")
    made = Databases(server.url())
    with made.empty() as url:
        with closing(url) as engine:
            schema.upgrade(engine)
        yield url
        server.order("start")


STOPS = ["INT", "QUIT", "KILL"]


@pytest.mark.rule("R15")
@pytest.mark.parametrize("how", STOPS)
def test_r15_a_log_whose_server_stops_is_unavailable_and_goes_on_when_it_is_back(
    url: str, server: PostgresServer, how: str
) -> None:
    with log_at(url) as log:
        fill(log, 3)
        assert log.head() == 3
        agenda = SqlAgenda(log._engine)
        assert agenda.checkpoint() == 0
        server.order("stop", how)
        for use in (log.head, log.read, agenda.checkpoint, log.storage_faults().__next__):
            with pytest.raises(StoreUnavailable, match="127"):
                use()
        with pytest.raises(StoreUnavailable):
            log.append(some_events(1, after=3), expected_version=3)
        server.order("start")
        assert log.append(some_events(1, after=3), expected_version=3)[0].position == 4
        assert (log.head(), agenda.checkpoint()) == (4, 0)


@pytest.mark.parametrize("how", STOPS)
def test_a_restart_that_nobody_saw_is_not_noticed(url: str, server: PostgresServer, how: str) -> None:
    """Connections that the server has ended are replaced before they are used, the one that appends as well."""
    with log_at(url) as log:
        fill(log, 1)
        agenda = SqlAgenda(log._engine)
        assert (log.head(), agenda.items()) == (1, [])
        server.order("stop", how)
        server.order("start")
        assert (log.head(), agenda.items()) == (1, [])
        server.order("stop", how)
        server.order("start")
        assert log.append(some_events(1, after=1), expected_version=1)[0].position == 2


@pytest.mark.rule("R20")
def test_r20_a_server_that_never_was_is_unavailable(tmp_path: Path) -> None:
    for url in (
        "postgresql://nobody:s3cret@127.0.0.1:1/log",
        f"postgresql://nobody:s3cret@/log?host={tmp_path}",
        "postgresql://nobody:s3cret@no-such-host.invalid/log",
    ):
        with closing(url) as engine, pytest.raises(StoreUnavailable) as caught:
            schema.require_head(engine)
        assert "s3cret" not in str(caught.value)
        assert caught.value.url == url.replace("s3cret", "***").replace(str(tmp_path), quote(str(tmp_path), safe=""))


@pytest.mark.rule("R20")
def test_r20_a_database_or_a_user_that_is_not_there_is_told(postgres_url: str) -> None:
    for url, reason in (
        (f"{postgres_url}_other", "does not exist"),
        (postgres_url.replace("postgres@", "stranger@"), 'role "stranger" does not exist'),
    ):
        with closing(url) as engine, pytest.raises(StoreUnavailable, match=reason):
            schema.require_head(engine)


@pytest.mark.rule("R20")
def test_r20_a_database_of_another_encoding_is_refused(postgres: Databases) -> None:
    told = pytest.raises(StoreUnavailable, match="the encoding of the database is LATIN1, and must be UTF8")
    with postgres.empty("ENCODING latin1 TEMPLATE template0") as url, closing(url) as engine, told:
        schema.upgrade(engine)


def test_a_server_that_only_takes_reads_is_unavailable_for_appends_and_can_be_read(postgres_url: str) -> None:
    with log_at(postgres_url) as log:
        fill(log, 2)
    with log_at(f"{postgres_url}?options=-cdefault_transaction_read_only%3Don") as log:
        with pytest.raises(StoreUnavailable, match="read-only transaction"):
            log.append([an_event(version=3)], expected_version=2)
        assert len(log.read()) == 2


def test_a_log_that_somebody_else_keeps_locked_is_unavailable_and_loses_nothing(postgres_url: str) -> None:
    with log_at(postgres_url) as log, psycopg.connect(postgres_url) as other:
        fill(log, 2)
        log._writer._connection.execute("SET lock_timeout = '10ms'")
        other.execute("SELECT position FROM log_head FOR UPDATE")
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            log.append(some_events(1, after=2), expected_version=2)
        assert log.head() == 2
        other.rollback()
        assert log.append(some_events(1, after=2), expected_version=2)[0].position == 3


def test_tables_that_are_gone_are_told(postgres_url: str) -> None:
    with log_at(postgres_url) as log:
        query(postgres_url, "DROP TABLE agenda")
        with pytest.raises(StoreUnavailable, match='relation "agenda" does not exist'):
            SqlAgenda(log._engine).items()


def test_a_checkpoint_that_makes_no_sense_cannot_be_stored(postgres_url: str) -> None:
    with closing(postgres_url) as engine:
        query(postgres_url, "INSERT INTO checkpoints VALUES ('retention', 7)")
        assert SqlAgenda(engine).checkpoint() == 7
        with pytest.raises(psycopg.DataError):
            query(postgres_url, "UPDATE checkpoints SET position = 'seven'")


# URLs


@pytest.mark.rule("R20")
@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("postgresql://", "postgresql://user@host/database"),
        ("postgresql://trail:s3cret@localhost", "postgresql://user@host/database"),
        ("postgresql://trail:s3cret@localhost/", "postgresql://user@host/database"),
        ("postgresql://trail:s3cret@localhost:port/log", "postgresql://user@host/database"),
        ("postgresql://trail:s3/cr@et@localhost:port/log", "postgresql://user@host/database"),
        ("postgresql://trail:s3cret@[::1/log", "postgresql://user@host/database"),
        ("postgresql://trail:s3cret@localhost/l\0g", "printable"),
        ("postgresql+psycopg2://trail:s3cret@localhost/log", "postgresql://user@host/database"),
        ("postgres://trail:s3cret@localhost/log", "postgresql://user@host/database"),
        ("postgresql://trail@localhost/log?password=s3cret", "password: it belongs before the @, or to PGPASSWORD"),
        ("postgresql://trail@localhost/log?sslpassword=s3cret&sslmode=require", "sslpassword: it belongs"),
        ("postgresql://trail:s3cret@localhost/log?colour=red", "colour: there is no such connection parameter"),
    ],
)
def test_r20_a_url_that_names_no_database_is_refused_without_telling_the_password(url: str, rule: str) -> None:
    with pytest.raises(Invalid) as caught:
        open_engine(url)
    assert caught.value.field == "database"
    assert rule in caught.value.rule
    assert "s3cret" not in str(caught.value)
    assert "cr@et" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["postgresql:///log?host=/run/postgresql", "postgresql://a@b,c/log", "postgresql://a@b:5/l?sslmode=require"]
)
def test_what_libpq_takes_is_taken(url: str) -> None:
    open_engine(url)


def test_of_connections_that_were_used_at_once_eight_are_kept_and_waited_for(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.engine.PATIENCE_S", 60.0)
    ours = "WHERE datname = current_database() AND application_name = 'trailkeep'"
    others = f"SELECT count(*) FROM pg_stat_activity {ours}"
    with closing(postgres_url) as engine:
        with ExitStack() as used:
            for _ in range(IDLE + 4):
                used.enter_context(driver_cursor(engine)).execute("SELECT 1")
            assert query(postgres_url, others) == [(IDLE + 4,)]
        while query(postgres_url, others) != [(IDLE,)]:
            pass  # those that were closed are still ending
        opened = list[object]()
        event.listen(engine, "connect", lambda *_: opened.append(1))
        with ThreadPoolExecutor(IDLE * 4) as pool:
            list(pool.map(lambda _: fetched(engine, "SELECT pg_sleep(0.001)"), range(IDLE * 20)))
        assert opened == [], "more that ask at once wait for one of them"
    while query(postgres_url, others) != [(0,)]:
        pass
