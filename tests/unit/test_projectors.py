"""The two threads of a worker that project: what either of them meets, and how both end."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from application.retention_projector import Round
from domain.errors import LogDamaged, ReadModelsDamaged, StoreUnavailable
from domain.events import BatchFailed
from entrypoints.bootstrap import App, opened
from entrypoints.projectors import Projectors
from tests.builders import envelope, terms

DEADLINE_S = 20.0


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with opened(f"sqlite:///{tmp_path / 'log.db'}") as app:
        yield app


class Team:
    """The projectors of an app, and what they asked of their worker."""

    def __init__(self, app: App) -> None:
        self.app, self.stopping = app, threading.Event()
        self.projectors = Projectors(app, self.stopping, self.stop)

    def stop(self) -> None:
        self.stopping.set()
        self.app.signal.notify()

    def ended(self) -> bool:
        """Whether both end by themselves, or as they are told to."""
        pause = threading.Event()
        for _ in range(int(DEADLINE_S * 100)):
            if not self.projectors.is_alive():
                return True
            pause.wait(0.01)
        return False


@pytest.fixture
def team(app: App) -> Iterator[Team]:
    team = Team(app)
    yield team
    team.stop()
    team.projectors.finish()


def opened_session(app: App) -> str:
    """Its id."""
    session_id = app.sessions.id_of("news", 1)
    app.log.append([envelope(terms(), session_id=session_id)], expected_version=0)
    return session_id


def raising(error: Exception) -> Callable[..., Round]:
    def raise_it(*_: object) -> Round:
        raise error

    return raise_it


def test_what_was_recorded_before_the_end_is_described_and_sealed(team: Team) -> None:
    team.projectors.start()
    opened_session(team.app)
    team.projectors.finish()
    assert team.app.read_models.checkpoint() == team.app.seals.load().size == team.app.log.head() == 1
    assert (team.projectors.damage, team.projectors.fatal) == (None, None)


def test_told_to_stop_both_end(team: Team) -> None:
    team.projectors.start()
    team.stop()
    assert team.ended()


@pytest.mark.parametrize("finder", ["retention.run_part", "read_model_projector.catch_up", "sealer.catch_up"])
def test_whoever_finds_damage_ends_both_and_nothing_is_sealed_then(
    team: Team, monkeypatch: pytest.MonkeyPatch, finder: str
) -> None:
    where, what = finder.split(".")
    damage = LogDamaged(7, "it is torn")
    sealed = list[int]()
    catch_up = team.app.sealer.catch_up
    monkeypatch.setattr(team.app.sealer, "catch_up", lambda: sealed.append(1) or catch_up())
    team.projectors.start()
    while not sealed:
        team.app.signal.notify()
    monkeypatch.setattr(getattr(team.app, where), what, raising(damage))
    team.app.signal.notify()
    assert team.ended()
    assert (team.projectors.damage, team.projectors.fatal) == (damage, None)
    assert not team.stopping.is_set(), "producers go on while it can be appended to"


def test_a_purger_that_finds_damage_at_first_leaves_nothing_sealed_after_it(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other thread is woken when the damage is known, and not before."""
    opened_session(team.app)
    found = threading.Event()
    catch_up = team.app.read_model_projector.catch_up

    def late() -> int:
        assert found.wait(DEADLINE_S)
        return catch_up()

    def damaged(*_: object) -> Round:
        found.set()
        raise LogDamaged(1, "it is torn")

    rounds = list[int]()
    monkeypatch.setattr(team.app.read_model_projector, "catch_up", lambda: rounds.append(1) or late())
    monkeypatch.setattr(team.app.retention, "run_part", damaged)
    team.projectors.start()
    assert team.ended()
    assert len(rounds) <= 1, "what was under way, and no round after it"
    assert team.projectors.damage is not None


@pytest.mark.parametrize("finder", ["retention.run_part", "read_model_projector.catch_up"])
def test_a_store_that_is_not_there_is_waited_for(team: Team, monkeypatch: pytest.MonkeyPatch, finder: str) -> None:
    where, what = finder.split(".")
    asked = threading.Event()

    def unavailable(*_: object) -> Round:
        asked.set()
        raise StoreUnavailable("sqlite", "the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(getattr(team.app, where), what, unavailable)
        team.projectors.start()
        assert asked.wait(DEADLINE_S)
    opened_session(team.app)
    team.projectors.finish()
    assert team.app.read_models.checkpoint() == team.app.seals.load().size == 1
    assert team.projectors.fatal is None


@pytest.mark.parametrize("finder", ["retention.run_part", "read_model_projector.catch_up"])
def test_a_store_that_is_not_there_at_the_end_is_told(team: Team, monkeypatch: pytest.MonkeyPatch, finder: str) -> None:
    where, what = finder.split(".")
    gone = StoreUnavailable("sqlite", "the disk is full")
    monkeypatch.setattr(getattr(team.app, where), what, raising(gone))
    team.projectors.start()
    team.projectors.finish()
    assert team.projectors.fatal is gone


@pytest.mark.parametrize("finder", ["retention.run_part", "read_model_projector.catch_up"])
def test_anything_else_has_the_worker_stopped(team: Team, monkeypatch: pytest.MonkeyPatch, finder: str) -> None:
    where, what = finder.split(".")
    bug = ZeroDivisionError()
    monkeypatch.setattr(getattr(team.app, where), what, raising(bug))
    team.projectors.start()
    assert team.ended()
    assert team.stopping.is_set()
    assert team.projectors.fatal is bug


def test_rows_that_do_not_fit_are_damage_of_the_log_if_its_events_do_not_follow(team: Team) -> None:
    """Whichever thread meets it first: producers go on, and the operator is not told to rebuild."""
    session_id = opened_session(team.app)
    stranger = envelope(BatchFailed(batch=5, attempt=1, reason="no"), version=2, session_id=session_id)
    team.app.log.append([stranger], expected_version=1)
    team.app.retention.catch_up = lambda: None  # type: ignore[method-assign] # this one would meet it, too
    team.projectors.start()
    assert team.ended()
    assert isinstance(team.projectors.damage, LogDamaged)
    assert not isinstance(team.projectors.fatal, ReadModelsDamaged)
    assert not team.stopping.is_set()
