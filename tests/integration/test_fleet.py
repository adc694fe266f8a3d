"""The log that the benchmarks of scale make is one that Trailkeep could have written itself."""

from collections.abc import Iterator
from multiprocessing import active_children
from pathlib import Path

import pytest

from application.disk_check import Level
from application.ports import LogLine
from benchmarks.fleet import fill
from entrypoints.bootstrap import App, opened
from persistence import codec

EVENTS, CHANNELS = 20_000, 12


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    directory = tmp_path_factory.mktemp("fleet")
    with opened(f"sqlite:///{directory / 'log.db'}") as app:
        fill(app, directory / "media", EVENTS, CHANNELS)
        app.retention.catch_up()
        app.read_model_projector.catch_up()
        yield app


def test_everything_agrees_with_it(app: App) -> None:
    report = app.verifier.verify(Level.IDENTITY)
    assert report.ok, report
    assert report.log.events == app.log.head() >= EVENTS * 0.95
    assert report.checked >= CHANNELS * 2 * 5


def test_several_processes_read_their_shares_of_it(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """This one parses a part of the events alone, and the report is the same."""
    alone = app.verifier.verify(Level.IDENTITY)
    parsed = list[LogLine]()
    examine = app.log.examine
    monkeypatch.setattr(app.log, "examine", lambda line: parsed.append(line) or examine(line))
    assert app.verifier.verify(Level.IDENTITY, processes=3) == alone
    assert app.log.head() * 0.2 < len(parsed) < app.log.head() * 0.5
    assert {one.session_id for one in parsed} < {one.session_id for one in app.read_models.sessions()}
    assert active_children() == []


def test_what_its_end_makes_due_can_be_purged(app: App) -> None:
    planned = app.queries.planned_sessions()
    assert len(app.queries.plan(planned)) == len(planned) == 2, "each tenth channel"
    done = app.retention.run_once()
    assert [type(one.event).__name__ for one in done.recorded] == ["PurgeIssued"] * 2 + ["SegmentsPurged"] * 2
    app.read_model_projector.catch_up()
    assert app.verifier.verify(Level.IDENTITY).ok


def test_its_rows_are_byte_for_byte_those_of_an_ordinary_append(app: App, tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path / 'log.db'}") as other:
        after = 0
        while lines := app.log.read_lines(after=after):
            for line in lines:
                envelope = codec.decode(line.line, position=line.position)
                other.log.append([envelope], expected_version=line.version - 1)
            assert other.log.read_lines(after=after) == lines
            after = lines[-1].position
            if after >= 3000:
                break
        assert other.log.head() == after


def test_some_sessions_have_ended_and_some_batches_failed(app: App) -> None:
    sessions = app.read_models.sessions()
    assert {one.state for one in sessions} == {"ready", "closed"}
    assert len(sessions) > CHANNELS
    attempts = {row.attempt for one in sessions for row in app.queries.history(one.session_id)}
    assert attempts == {1, 2}
