"""The signal between processes: an append in one of them wakes the readers of the others."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from entrypoints.bootstrap import opened
from entrypoints.projectors import Projectors
from persistence import schema
from persistence.checkpoints import SqlAgenda
from persistence.signals import DatabaseSignal, ProcessSignal
from tests.contract.log_events import fill, some_events
from tests.contract.postgres_rows import query
from tests.contract.stores import closing, log_at, url_of
from tests.contract.tcp_proxy import TcpProxy
from tests.memory_app import Channel

NEVER = 10_000.0
"""Seconds; longer than a test may last."""

ROOT = Path(__file__).parents[2]
LISTENERS = "FROM pg_stat_activity WHERE query = 'LISTEN trailkeep' AND datname = current_database()"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        found: str = request.getfixturevalue("postgres_url")
        return found
    with closing(url_of(tmp_path / "log.db")) as engine:
        schema.upgrade(engine)
    return url_of(tmp_path / "log.db")


@contextmanager
def a_signal(url: str) -> Iterator[DatabaseSignal]:
    """One that watches, and has nothing to tell."""
    with closing(url) as engine:
        signal = DatabaseSignal(engine)
        try:
            signal.wait(NEVER)  # it begins with what may have been appended before
            yield signal
        finally:
            signal.close()


@pytest.mark.rule("R15")
def test_r15_what_another_process_appends_wakes_a_reader(url: str) -> None:
    command = [sys.executable, "-m", "tests.contract.write_events", url, "1", "1", "1"]
    with (
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
        a_signal(url) as signal,
        log_at(url) as log,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert log.head() == 0
        process.communicate("go\n")
        signal.wait(NEVER)
        assert log.head() == 1


def test_every_thread_that_waits_is_woken(url: str) -> None:
    with a_signal(url) as signal, log_at(url) as other:
        begun = threading.Barrier(4)

        def read() -> None:
            signal.wait(0)
            begun.wait()
            signal.wait(NEVER)

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        begun.wait()
        fill(other, 1)
        for reader in readers:
            reader.join(NEVER)
            assert not reader.is_alive()


def test_what_is_no_append_wakes_nobody(url: str) -> None:
    """Rows of projectors: else those of two processes would keep each other awake."""
    with a_signal(url) as signal, log_at(url) as other:
        before = signal._notified
        for position in range(20):
            SqlAgenda(other._engine).replace({}, checkpoint=position)
            signal.wait(0.01)
        assert signal._notified == before
        fill(other, 1)
        signal.wait(NEVER)
        assert signal._notified == before + 1


def test_a_signal_of_a_database_that_is_away_costs_only_the_wait(tmp_path: Path) -> None:
    for url in ("postgresql://nobody@127.0.0.1:1/log", url_of(tmp_path / "missing" / "log.db")):
        with closing(url) as engine:
            signal = DatabaseSignal(engine)
            signal.wait(0.01)
            signal.notify()
            signal.wait(NEVER)
            signal.close()


def test_a_signal_that_was_never_waited_for_has_opened_nothing(tmp_path: Path) -> None:
    with closing(url_of(tmp_path / "log.db")) as engine:
        DatabaseSignal(engine).close()
    assert list(tmp_path.iterdir()) == []


def test_what_no_notice_told_of_the_poll_finds(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that runs, whose signal is lost each time: what another process completes is purged all the same."""
    monkeypatch.setattr(ProcessSignal, "notify", lambda _: None)
    stopping = threading.Event()
    with opened(url) as worker, opened(url) as other:
        news = Channel(other, tmp_path / "media")  # type: ignore[arg-type]
        news.open()
        projectors = Projectors(worker, stopping, stopping.set)
        projectors.start()
        try:
            until(lambda: worker.agenda.checkpoint() == worker.read_models.checkpoint() == 1)  # and now they sleep
            news.generate(3)
            until(lambda: len(news.segments()) == 4)
            until(lambda: worker.seals.load().size == other.log.head())
        finally:
            monkeypatch.undo()
            stopping.set()
            projectors.finish()
    assert (projectors.damage, projectors.fatal) == (None, None)


# Postgres: a lost connection


def test_after_its_connection_was_ended_it_listens_again(postgres_url: str) -> None:
    with a_signal(postgres_url) as signal, log_at(postgres_url) as other:
        for version in range(3):
            assert query(postgres_url, f"SELECT pg_terminate_backend(pid) {LISTENERS}") == [(True,)]
            signal.wait(NEVER)  # it listens again, and tells what may have been missed
            until(lambda: query(postgres_url, f"SELECT count(*) {LISTENERS}") == [(1,)])
            other.append(some_events(1, after=version), expected_version=version)
            signal.wait(NEVER)


@pytest.mark.rule("R15")
def test_r15_what_was_appended_while_nobody_could_listen_is_told_afterwards(postgres_url: str) -> None:
    with TcpProxy(postgres_url) as proxy, a_signal(proxy.url) as signal, log_at(postgres_url) as other:
        proxy.go_away()
        fill(other, 3)
        signal.wait(0.01)
        proxy.come_back()
        signal.wait(NEVER)


def until(there: Callable[[], bool]) -> None:
    while not there():
        pass
