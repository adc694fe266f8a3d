"""R10, R15, R17: a primary dies, a standby takes its place; nothing acknowledged is lost, or that is found out.

Both are real servers. A synchronous standby has what was acknowledged; an asynchronous one has what reached it.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from application.log_check import LogCheck
from application.ports import LogLine
from application.verify import Level
from domain.errors import StoreUnavailable
from domain.events import Recorded
from entrypoints.bootstrap import App
from persistence import schema
from persistence.engine import open_engine
from persistence.event_log import SqlEventLog
from tests.contract.log_events import some_events
from tests.memory_app import TESTER, Channel
from tests.postgres_server import NOT_DURABLE, PostgresServer

pytestmark = pytest.mark.rule("R15")

DATABASE = "trailkeep"


class Pair(NamedTuple):
    """A primary and its streaming standby."""

    primary: PostgresServer
    standby: PostgresServer

    @property
    def url(self) -> str:
        """Whichever of the two takes writes."""
        hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in self)
        return f"postgresql://postgres@/{DATABASE}?{hosts}&target_session_attrs=read-write"

    def synchronous(self, level: str) -> None:
        """From now on a commit is acknowledged when the standby has it; wait until that holds."""
        with psycopg.connect(self.primary.url(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute(f"ALTER SYSTEM SET synchronous_commit = {level}")
            connection.execute("SELECT pg_reload_conf()")
            while connection.execute("SELECT sync_state FROM pg_stat_replication").fetchall() != [("sync",)]:
                pass

    def caught_up(self) -> None:
        """Wait until the standby has all that the primary has."""
        lag = "SELECT pg_current_wal_lsn() = replay_lsn FROM pg_stat_replication"
        with psycopg.connect(self.primary.url(), autocommit=True) as connection:
            while connection.execute(lag).fetchall() != [(True,)]:
                pass

    def fail_over(self) -> None:
        """The primary's machine is gone; the standby takes its place."""
        self.primary.order("stop", "KILL")
        self.standby.order("start")
        with psycopg.connect(self.standby.url(), autocommit=True) as connection:
            assert connection.execute("SELECT pg_promote()").fetchone() == (True,)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with ExitStack() as stack:
        primary = PostgresServer(*NOT_DURABLE)
        stack.callback(primary.close)
        with psycopg.connect(primary.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")
        engine = open_engine(primary.url(DATABASE))
        schema.upgrade(engine)
        engine.dispose()
        standby = PostgresServer(*NOT_DURABLE, follows=primary.port)
        stack.callback(standby.close)
        yield Pair(primary, standby)


@pytest.fixture
def process(pair: Pair) -> Iterator[Callable[[], App]]:
    """Makes what a process has, on whichever of the two takes writes."""
    with ExitStack() as stack:

        def made() -> App:
            app = App(pair.url)
            stack.callback(app.close)
            return app

        yield made


@pytest.fixture
def app(process: Callable[[], App]) -> App:
    return process()


@pytest.fixture
def news(app: App, tmp_path: Path) -> Channel:
    """Three batches; the first is purged."""
    made = Channel(app, tmp_path / "media")  # type: ignore[arg-type]
    made.open()
    made.generate(3)
    project(app)
    assert len(made.segments()) == 4
    return made


def project(app: App) -> dict[str, str]:
    """What `trailkeep project` does; why it paused."""
    done = app.retention.run_once()
    app.read_model_projector.catch_up()
    app.sealer.catch_up()
    return done.paused


def lose(pair: Pair, news: Channel) -> list[Recorded]:
    """The standby is cut off, a batch is made and one purged, and the primary dies; what the standby lacks."""
    pair.caught_up()
    pair.standby.order("stop", "INT")
    head = news.app.log.head()
    news.generate(1)
    project(news.app)  # type: ignore[arg-type]
    lost = news.app.log.read(after=head)
    pair.fail_over()
    return lost


class Appender(threading.Thread):
    """Appends to a session of its own, one event after the other, until the log is away."""

    def __init__(self, log: SqlEventLog, number: int, enough: threading.Event) -> None:
        super().__init__()
        self._log, self._number, self._enough = log, number, enough
        self.acknowledged: list[Recorded] = []

    def run(self) -> None:
        with suppress(StoreUnavailable):
            for version, envelope in enumerate(some_events(100_000, of=self._number)):
                self.acknowledged += self._log.append([envelope], expected_version=version)
                if version == 50:
                    self._enough.set()


@pytest.mark.parametrize("level", ["on", "remote_apply"])
def test_with_a_synchronous_standby_nothing_acknowledged_is_lost(pair: Pair, level: str) -> None:
    """R15: it is promoted while four sessions append."""
    pair.synchronous(level)
    enough = [threading.Event() for _ in range(4)]
    engines = [open_engine(pair.primary.url(DATABASE)) for _ in enough]
    appenders = [
        Appender(SqlEventLog(engine), number, event)
        for number, (engine, event) in enumerate(zip(engines, enough, strict=True), 1)
    ]
    for appender in appenders:
        appender.start()
    for event in enough:
        assert event.wait(60)
    pair.fail_over()
    for appender in appenders:
        appender.join()
    for engine in engines:
        engine.dispose()

    engine = open_engine(pair.url)
    log = SqlEventLog(engine)
    lines = {line.event_id: line.position for line in log.lines_at(range(1, log.head() + 1)).values()}
    acknowledged = [one for appender in appenders for one in appender.acknowledged]
    assert len(acknowledged) >= 200
    assert {one.envelope.event_id: one.position for one in acknowledged}.items() <= lines.items()
    assert sorted(lines.values()) == list(range(1, log.head() + 1))
    engine.dispose()


@pytest.mark.rule("R17")
def test_after_that_a_process_goes_on_and_examines_the_whole_log_again(
    pair: Pair, process: Callable[[], App], app: App, news: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R15, R17: it is on another timeline."""
    pair.synchronous("on")
    before = app.log.incarnation()
    news.generate(1)
    pair.fail_over()
    examined: list[int] = []
    fault_of = SqlEventLog.fault_of

    def examining(log: SqlEventLog, line: LogLine) -> str | None:
        examined.append(line.position)
        return fault_of(log, line)

    monkeypatch.setattr(SqlEventLog, "fault_of", examining)
    with suppress(StoreUnavailable):
        project(app)  # the connections of before are found to be dead
    assert project(app) == {}
    assert len(news.segments()) == 4
    assert examined[0] == 1
    assert examined == list(range(1, len(examined) + 1))
    system, timeline = app.log.incarnation().split("/")
    assert (system, before.split("/")[1]) == (before.split("/")[0], "00000001")
    assert timeline == "00000002"
    news.generate(1)
    assert project(app) == {}
    assert process().verifier.verify(Level.IDENTITY).ok


@pytest.mark.rule("R10", "R17")
@pytest.mark.invariant(13)
def test_what_an_asynchronous_standby_lost_is_found_before_anything_is_purged(
    pair: Pair, process: Callable[[], App], news: Channel, tmp_path: Path
) -> None:
    """R10, R15, R17: by the next process, from the journal; and what is missing is named."""
    lost = lose(pair, news)
    there = news.segments()
    late = process()
    again = Channel(late, tmp_path / "other", "sport")  # type: ignore[arg-type]
    again.open()
    again.generate(3)
    head = late.log.head()
    [(root, reason)] = project(late).items()
    assert root == str(again.root)
    assert f"the journal of {news.root} knows of 2 events that the log does not have" in reason
    assert (news.segments(), late.log.head(), len(again.segments())) == (there, head, 6)

    found = late.reconciler.find()
    named = {one.envelope.event_id: type(one.event).__name__ for one in lost}
    assert [(one.type, one.batch) for one in found.missing] == [("BatchCompleted", 3), ("PurgeIssued", 1)]
    assert {one.event_id: one.type for one in found.missing}.items() <= named.items()
    late.reconciler.accept("the primary is gone for good", TESTER)
    assert project(late) == {}
    assert len(again.segments()) == 4


@pytest.mark.rule("R17")
def test_a_process_that_saw_what_was_lost_pauses_as_well(
    pair: Pair, process: Callable[[], App], app: App, news: Channel
) -> None:
    """R15, R17: whether a journal tells of it or not; and it forgets what it knew of the old history."""
    pair.caught_up()
    pair.standby.order("stop", "INT")
    news.start()
    news.fail()
    assert news.session.failures == 1
    pair.fail_over()
    with suppress(StoreUnavailable):
        project(app)
    news.generate(1)
    [reason] = project(app).values()
    assert "the log went back; this process knows of 2 events" in reason
    assert "BatchStarted of channel news, batch 3" in reason
    assert len(news.segments()) == 6
    assert [one.type for one in process().reconciler.find().missing] == ["BatchStarted", "BatchFailed"]
    app.reconciler.accept("the primary is gone for good", TESTER)
    assert project(app) == {}
    assert len(news.segments()) == 4


def test_the_check_takes_note_of_where_the_log_is_once(pair: Pair, app: App) -> None:
    """A log on one server, on one timeline, is examined once."""
    moved: list[None] = []
    check = LogCheck(app.log, app.seals, moved=lambda: moved.append(None))
    check.require_intact()
    check.require_intact()
    assert moved == []
