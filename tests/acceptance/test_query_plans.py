"""What an operator types daily reads what it is about, by an index, however large the log has become.

The statements are those that the database was really asked; their plans are its own.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, event, make_url

from application.claims import of_root, of_session
from entrypoints import bootstrap
from persistence.engine import driver
from tests.acceptance.command_line import RENDITION, Store

TABLES = ("events", "batch_ledger", "session_summaries", "agenda", "snapshots")
"""Those that grow with the log, with the number of sessions, or with what is due."""

Statement = tuple[str, Any]
"""SQL and its parameters; SQLite tells it with the values in place."""


class Asked:
    """Every statement that commands ask the database."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
        self._url = store.database
        self.statements: list[Statement] = []
        open_engine = bootstrap.open_engine

        def traced(url: str) -> Engine:
            engine = open_engine(url)
            event.listen(engine, "connect", self._trace)
            return engine

        monkeypatch.setattr(bootstrap, "open_engine", traced)

    def _trace(self, connection: Any, _: Any) -> None:
        if isinstance(connection, psycopg.Connection):
            asked = self.statements

            class Traced(psycopg.Cursor[Any]):
                def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
                    asked.append((query, params))
                    return super().execute(query, params, **options)

            connection.cursor_factory = Traced
        else:
            connection.set_trace_callback(lambda sql: self.statements.append((sql, None)))

    def speak_of(self, *tables: str) -> bool:
        return any(table in str(sql) for sql, _ in self.statements for table in tables)

    def scanned(self) -> set[str]:
        """The tables that a statement reads from end to end."""
        selects = [one for one in self.statements if re.match(r"\s*SELECT", str(one[0]))]
        of = _scans_of_sqlite if self._url.startswith("sqlite:") else _scans_of_postgres
        return set(of(self._url, selects)) & set(TABLES)


def _scans_of_sqlite(url: str, statements: list[Statement]) -> Iterator[str]:
    connection = driver.connect(str(make_url(url).database))
    try:
        for sql, _ in statements:
            for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall():
                if scanned := re.match(r"SCAN (\w+)", step):
                    yield scanned[1]
    finally:
        connection.close()


def _scans_of_postgres(url: str, statements: list[Statement]) -> Iterator[str]:
    """With small tables the planner must be told not to prefer a scan; what it then still scans has no index."""
    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute("SET enable_seqscan = off")
        for sql, parameters in statements:
            row = connection.execute(f"EXPLAIN (FORMAT JSON) {sql}", parameters).fetchone()
            assert row is not None
            yield from _whole(row[0][0]["Plan"])


def _whole(node: dict[str, Any]) -> Iterator[str]:
    """The tables of a plan's nodes that read them without a condition on a key."""
    if node["Node Type"] == "Seq Scan" or (node["Node Type"].startswith("Index") and "Index Cond" not in node):
        yield node.get("Relation Name", "")
    for inner in node.get("Plans", ()):
        yield from _whole(inner)


@pytest.fixture
def news(empty_store: Store) -> Store:
    """A channel in its second session, with everything that can have happened."""
    store = empty_store
    store.open()
    store.produce(4)
    assert store.invoke("project").exit_code == 0
    assert store.invoke("session", "close", "news", "--disposition", "purge").exit_code == 0
    store.open()
    store.produce(3)
    return store


DAILY = [
    ("plan",),
    ("events", "news", "--after", "9"),
    ("events", "--after", "9"),
    ("history", "news"),
    ("history", "news", "--at", "2030-01-01T00:00:00Z"),
    ("explain", f"media/news/{RENDITION}/{RENDITION}_segment_001.ts"),
    ("explain", f"media/news/{RENDITION}/nothing.ts"),
    ("session", "list", "--channel", "news"),
    ("session", "show", "news"),
    ("replay", "news"),
    ("batch", "start", "news"),
    ("batch", "fail", "news", "--reason", "no signal"),
    ("session", "close", "news"),
]
WHOLE = {"plan": {"agenda"}, "events --after 9": {"session_summaries"}}
"""What tells of all that is due reads all that is due; what names the channels of all events, the sessions' rows."""


@pytest.mark.parametrize("words", DAILY, ids=" ".join)
def test_no_daily_command_reads_a_table_from_end_to_end(
    news: Store, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    news.invoke("session", "list")  # whoever comes first brings the read models to the head
    if words[1:2] == ("fail",):
        news.invoke("batch", "start", "news")
    monkeypatch.chdir(news.directory)
    asked = Asked(monkeypatch, news)
    result = news.invoke(*words)
    assert result.exit_code == 0, result.output
    assert asked.speak_of("events", "batch_ledger", "session_summaries")
    assert asked.scanned() <= WHOLE.get(" ".join(words), set())


def test_the_list_of_all_sessions_reads_their_summaries_and_nothing_else(
    news: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    news.invoke("session", "list")
    asked = Asked(monkeypatch, news)
    assert news.invoke("session", "list").exit_code == 0
    assert asked.scanned() == {"session_summaries"}


def test_opening_a_session_reads_no_events_but_its_own(news: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch, news)
    news.answer("session", "open", "sports", "--root", str(news.root), "--batch-size", "2")
    assert asked.scanned() <= {"session_summaries"}, "the newest one of the root, by an index"


def test_a_purge_reads_no_table_from_end_to_end_but_the_sessions(news: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its first unlink a process examines the log page by page, and compares all playlists with it."""
    asked = Asked(monkeypatch, news)
    before = news.names()
    assert news.invoke("project").exit_code == 0
    assert news.names() < before
    assert asked.scanned() == {"session_summaries"}


def test_who_holds_what_reads_the_sessions_that_are_held_and_no_others(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path, postgres_url)
    store.open()
    with bootstrap.opened(postgres_url) as worker:
        session = worker.sessions.resolve("news")
        worker.read_model_projector.catch_up()
        for resource in (of_session(session.session_id), of_root(session.terms.media_root.root_id)):
            worker.claims.claim(resource)
        asked = Asked(monkeypatch, store)
        held = store.invoke("workers", "--json")
    assert {(row["kind"], row["of"]) for row in json.loads(held.stdout)} == {
        ("session", "news"),
        ("root", str(store.root)),
    }
    assert asked.speak_of("session_summaries")
    assert asked.scanned() == set()


def test_a_scan_would_be_seen(news: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test of the test: a question that no index answers."""
    asked = Asked(monkeypatch, news)
    with bootstrap.opened(news.database) as app, app.engine.connect() as connection:
        connection.exec_driver_sql("SELECT position FROM events WHERE length(line) = 7").all()
        connection.exec_driver_sql("SELECT batch FROM batch_ledger WHERE state = 'purged'").all()
    assert asked.scanned() == {"events", "batch_ledger"}
