"""A cluster that Patroni keeps: its leader is killed, and nothing that was acknowledged is lost."""

from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from application.verify import Level
from domain.errors import StoreUnavailable
from entrypoints.bootstrap import App
from tests.memory_app import Channel
from tests.torture.campaign import FULL
from tests.torture.patroni import Cluster, failovers, make_database, what_is_missing

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not FULL, reason="three nodes and their elections take minutes: `make torture`"),
]

FAILOVERS = 3


@pytest.fixture(autouse=True)
def _possible() -> None:
    if missing := what_is_missing():
        pytest.skip(f"NOT TESTED: {FAILOVERS + 1} failovers of three nodes: {missing}")


@pytest.mark.rule("R15")
def test_nothing_acknowledged_is_lost_however_often_the_leader_is_killed() -> None:
    """R15: appends go on over the same URL, to whichever node leads."""
    assert [gone for _, gone in failovers(FAILOVERS)] == [0] * FAILOVERS


@pytest.mark.rule("R10", "R15", "R17")
def test_a_worker_goes_on_where_the_new_leader_is(tmp_path: Path) -> None:
    """R10, R15, R17: it produces and purges as before; no journal tells of anything that the log does not have."""
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster())
        make_database(cluster)
        app = App(cluster.url())
        stack.callback(app.close)
        news = Channel(app, tmp_path / "media")  # type: ignore[arg-type]
        news.open()
        news.generate(3)
        assert app.retention.run_once().recorded
        before = app.log.incarnation()
        leader = cluster.leader()
        leader.kill()
        while _incarnation(app, before) == before:
            pass
        news.generate(2)
        done = app.retention.run_once()
        assert done.recorded
        assert done.paused == {}
        assert len(news.segments()) == 4
        app.read_model_projector.catch_up()
        app.sealer.catch_up()
        found = app.reconciler.find()
        assert (found.missing, found.unread) == ((), ())
        assert app.verifier.verify(Level.IDENTITY).ok


def _incarnation(app: App, unknown: str) -> str:
    """Where the log is kept; ``unknown`` while no node takes writes."""
    with suppress(StoreUnavailable):
        return app.log.incarnation()
    return unknown
