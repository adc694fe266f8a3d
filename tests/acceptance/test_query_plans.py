"""What an operator types daily reads what it is about, by an index, however large the log has become.

The statements are those that SQLite was really asked; their plans are its own.
"""

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from entrypoints import bootstrap
from persistence.engine import driver
from tests.acceptance.command_line import RENDITION, Store

TABLES = ("events", "batch_ledger", "session_summaries", "agenda", "snapshots")
"""Those that grow with the log, with the number of sessions, or with what is due."""


class Asked:
    """Every statement that the commands ask the database."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, database: Path) -> None:
        self._database = database
        self.statements: set[str] = set()
        open_engine = bootstrap.open_engine

        def traced(url: str) -> Engine:
            engine = open_engine(url)
            event.listen(engine, "connect", self._trace)
            return engine

        monkeypatch.setattr(bootstrap, "open_engine", traced)

    def _trace(self, connection: Any, _: Any) -> None:
        connection.set_trace_callback(self.statements.add)

    def scans(self) -> set[tuple[str, str]]:
        """Tables that a statement reads from end to end, each with how the plan says it."""
        connection = driver.connect(str(self._database))
        found: set[tuple[str, str]] = set()
        try:
            for statement in self.statements:
                if not re.match(r"\s*(SELECT|DELETE|UPDATE|INSERT)", statement):
                    continue
                for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall():
                    scanned = re.match(r"SCAN (\w+)", step)
                    if scanned and scanned[1] in TABLES:
                        found.add((scanned[1], statement))
        finally:
            connection.close()
        return found


@pytest.fixture
def news(tmp_path: Path) -> Store:
    """A channel in its second session, with everything that can have happened."""
    store = Store(tmp_path)
    store.open()
    store.produce(4)
    store.invoke("project")
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
AGENDA_ALONE = {"plan"}
"""What tells of everything that is due reads all that is due."""


@pytest.mark.parametrize("words", DAILY, ids=" ".join)
def test_no_daily_command_reads_a_table_from_end_to_end(
    news: Store, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    news.invoke("session", "list")  # whoever comes first brings the read models to the head
    if words[1:2] == ("fail",):
        news.invoke("batch", "start", "news")
    monkeypatch.chdir(news.directory)
    asked = Asked(monkeypatch, news.directory / "log.db")
    result = news.invoke(*words)
    assert result.exit_code == 0, result.output
    assert any("events" in one or "batch_ledger" in one or "session_summaries" in one for one in asked.statements)
    scanned = {table for table, _ in asked.scans()}
    assert scanned <= ({"agenda"} if words[0] in AGENDA_ALONE else set()), asked.scans()


def test_the_list_of_all_sessions_reads_their_summaries_and_nothing_else(
    news: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    news.invoke("session", "list")
    asked = Asked(monkeypatch, news.directory / "log.db")
    assert news.invoke("session", "list").exit_code == 0
    assert {table for table, _ in asked.scans()} == {"session_summaries"}


def test_opening_a_session_reads_no_events_but_its_own(news: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch, news.directory / "log.db")
    news.answer("session", "open", "sports", "--root", str(news.root), "--batch-size", "2")
    assert {table for table, _ in asked.scans()} <= {"session_summaries"}, "the newest one of the root, by an index"


def test_a_purge_reads_no_table_from_end_to_end_but_the_sessions(news: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its first unlink a process examines the log page by page, and compares all playlists with it."""
    asked = Asked(monkeypatch, news.directory / "log.db")
    before = news.names()
    assert news.invoke("project").exit_code == 0
    assert news.names() < before
    assert {table for table, _ in asked.scans()} == {"session_summaries"}, asked.scans()


def test_a_scan_would_be_seen(news: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test of the test: a question that no index answers."""
    asked = Asked(monkeypatch, news.directory / "log.db")
    with bootstrap.opened(news.database) as app, app.engine.connect() as connection:
        connection.exec_driver_sql("SELECT position FROM events WHERE line = x'00'").all()
        connection.exec_driver_sql("SELECT batch FROM batch_ledger WHERE state = 'purged'").all()
    assert {table for table, _ in asked.scans()} == {"events", "batch_ledger"}
