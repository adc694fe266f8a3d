"""Several processes and threads write while somebody reads along."""

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier

import pytest

from application.together import Together
from domain.errors import LogDamaged, StoreUnavailable
from domain.events import Recorded
from persistence.engine import driver, open_engine, writing
from persistence.event_log import SqlEventLog
from persistence.writer import Append, Writer
from tests.contract.log_events import fill, session, some_events
from tests.contract.stores import a_log, an_engine, sql, url_of

ROOT = Path(__file__).parents[2]


def a_writer(path: Path, first: int, threads: int, count: int) -> "subprocess.Popen[str]":
    """Another process, ready to append to so many sessions from ``first`` on as soon as it is told."""
    command = [sys.executable, "-m", "tests.contract.write_events", url_of(path), str(first), str(threads), str(count)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def told_to_go(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


@pytest.mark.rule("R15")
def test_r15_who_reads_along_sees_each_event_of_two_processes_and_four_threads_once_and_in_order(
    tmp_path: Path,
) -> None:
    path, count = tmp_path / "log.db", 60
    total = count * (2 * 2 + 4)
    with a_log(path) as log, ExitStack() as ending:
        writers = [ending.enter_context(a_writer(path, first, 2, count)) for first in (10, 20)]
        for writer in writers:
            told_to_go(writer)
        pool = ending.enter_context(ThreadPoolExecutor(4))
        filling = [pool.submit(fill, log, count, of=of) for of in range(4)]
        seen: list[Recorded] = []
        going = True
        while going:
            going = _anything_runs(writers, filling)
            while page := log.read(after=len(seen), limit=17):
                seen += page
        for future in filling:
            future.result()
        assert [writer.wait() for writer in writers] == [0, 0]
    assert [one.position for one in seen] == list(range(1, total + 1))
    per_session: Counter[str] = Counter()
    for one in seen:
        per_session[one.envelope.session_id] += 1
        assert one.envelope.version == per_session[one.envelope.session_id]
    assert per_session == {session(of): count for of in (0, 1, 2, 3, 10, 11, 20, 21)}


def _anything_runs(writers: list["subprocess.Popen[str]"], filling: list["Future[None]"]) -> bool:
    return any(writer.poll() is None for writer in writers) or not all(future.done() for future in filling)


def test_a_log_that_somebody_else_keeps_locked_is_unavailable_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.sqlite.BUSY_MS", 20)
    path = tmp_path / "log.db"
    with an_engine(path) as engine:
        log = SqlEventLog(engine)
        fill(log, 2)
        other = driver.connect(str(path), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="database is locked"):
            log.append(some_events(1, after=2), expected_version=2)
        assert log.head() == 2
        other.close()
        assert log.append(some_events(1, after=2), expected_version=2)[0].position == 3


class LosesTheAnswer(Writer):
    """Commits, and answers that it could not."""

    def commit(self, appends: Sequence[Append]) -> list[int | None]:
        super().commit(appends)
        raise StoreUnavailable("sqlite:////log.db", "disk I/O error")


def test_an_append_whose_commit_was_answered_with_an_error_is_looked_up(tmp_path: Path) -> None:
    with an_engine(tmp_path / "log.db") as engine:
        log = SqlEventLog(engine)
        log._commits = Together(LosesTheAnswer(engine).commit, apart=LogDamaged)
        assert [one.position for one in log.append(some_events(2), expected_version=0)] == [1, 2]
        assert log.head() == 2


def test_connections_that_open_a_new_file_at_once_wait_for_one_another(tmp_path: Path) -> None:
    together = Barrier(6)

    def count(path: Path) -> None:
        engine = open_engine(url_of(path))
        together.wait()
        with writing(engine).begin() as connection:
            connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS seen (number INTEGER)")
            connection.exec_driver_sql("INSERT INTO seen VALUES (1)")
        engine.dispose()

    with ThreadPoolExecutor(6) as pool:
        for number in range(20):
            path = tmp_path / f"{number}.db"
            list(pool.map(count, [path] * 6))
            assert sql(path, "SELECT count(*) FROM seen") == [(6,)]
