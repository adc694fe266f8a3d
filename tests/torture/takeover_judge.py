"""What must hold after a fleet of workers was disturbed for long enough: by the log, the disk, and `verify`."""

from collections import Counter
from pathlib import Path

from application.verify import Level
from domain.events import BatchCompleted, BatchFailed, BatchStarted, PurgeIssued, Recorded, SegmentsPurged
from entrypoints.bootstrap import App, opened
from entrypoints.projectors import project
from tests.torture.host_worker import BATCH_SIZE, CHANNELS

KEPT = 2


def judge(url: str, directory: Path) -> dict[str, int]:
    """Recover once, project until nothing is due, and hold what is there against the promises; return what was made."""
    with opened(url) as app:
        app.recoverer.recover()
        project(app)
        assert app.recoverer.recover().recorded == (), "a second recovery adds nothing (R14)"
        log = app.log.read(limit=10**7)
        assert [one.position for one in log] == list(range(1, len(log) + 1)), "positions are gapless (R15)"
        counts = Counter[str]()
        for channel in CHANNELS:
            counts += _judge_session(app, channel, log, directory)
        due = [row for row in app.queries.plan(app.queries.planned_sessions()) if row.due_at is not None]
        assert due == [], "nothing that is due is left (R3)"
        verdict = app.verifier.verify(Level.IDENTITY)
        assert verdict.ok, verdict
    return dict(counts)


def _judge_session(app: App, channel: str, log: list[Recorded], directory: Path) -> "Counter[str]":
    session = app.sessions.resolve(channel)
    own = [one for one in log if one.envelope.session_id == session.session_id]
    assert [one.envelope.version for one in own] == list(range(1, len(own) + 1)), "versions are gapless (R15)"
    completed = _outcomes(own)
    _purges(own, completed)
    assert sorted(completed) == list(range(len(completed))), "each batch completed once"
    newest = sorted(completed)[-KEPT:]
    names = {file.name for number in newest for file in completed[number].files}
    root = Path(session.terms.media_root.path)
    found = {path.name for path in (root / channel / "v").glob("*.ts")}
    failed = {file for one in own if isinstance(one.event, BatchFailed) for file in one.event.files_left}
    assert names <= found, "what is kept is there (R2)"
    assert found - names <= {file.rpartition("/")[2] for file in failed}, "and nothing else, but what failures left"
    assert len(found - names) <= BATCH_SIZE
    return Counter(events=len(own), batches=len(completed))


def _outcomes(own: list[Recorded]) -> dict[int, BatchCompleted]:
    """Each attempt that started has exactly one outcome (R6); the completed batches, by number."""
    started = Counter((one.event.batch, one.event.attempt) for one in own if isinstance(one.event, BatchStarted))
    ended = Counter(
        (one.event.batch, one.event.attempt) for one in own if isinstance(one.event, BatchCompleted | BatchFailed)
    )
    assert started == ended, "each attempt has one outcome"
    assert set(started.values()) <= {1}, "each attempt is made once"
    return {one.event.batch: one.event for one in own if isinstance(one.event, BatchCompleted)}


def _purges(own: list[Recorded], completed: dict[int, BatchCompleted]) -> None:
    at = {one.event.batch: one.position for one in own if isinstance(one.event, BatchCompleted)}
    issued = {one.event.batch: one.position for one in own if isinstance(one.event, PurgeIssued)}
    gone = [one.event.batch for one in own if isinstance(one.event, SegmentsPurged)]
    assert sum(isinstance(one.event, PurgeIssued) for one in own) == len(issued), "one authorisation a batch (R6)"
    assert sorted(gone) == sorted(issued), "one outcome an authorisation (R6)"
    assert sorted(issued) == sorted(completed)[:-KEPT], "all but the newest two went (R3, R19)"
    assert all(position > at[batch + KEPT] for batch, position in issued.items()), "none before N completed (R2)"
