"""Replay a long session: read its events from SQLite and fold them, from nothing, beside the peer."""

from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from uuid import UUID

from application.sessions import Sessions
from benchmarks.histories import (
    BATCH_SIZE,
    PeerSession,
    a_session_id,
    an_envelope,
    batches,
    opened,
    peer_application,
    peer_session,
    tell_peer,
)
from benchmarks.measure import Contender, Figure, per_second, ratio, take_turns
from entrypoints.bootstrap import App
from entrypoints.bootstrap import opened as opened_app
from persistence.engine import driver_cursor

ROWS_OF = "SELECT position, line, leaf_hash FROM events WHERE session_id = ? ORDER BY version"
EVENTS = 10_000
ROUNDS = 5
OURS, READ, ROWS = "Trailkeep", "Trailkeep, read and check alone", "the driver, its rows alone"
PEER, PEER_READ = "eventsourcing, repository.get", "eventsourcing, select_events alone"


def measure(directory: Path, size: int = BATCH_SIZE) -> Figure:
    """Events a second. Trailkeep also compares each line with its hash, and each version with the one before."""
    history = [opened(size), *islice(batches(size), EVENTS - 1)]
    session_id = a_session_id(1)
    with ExitStack() as stack:
        app = stack.enter_context(opened_app(f"sqlite:///{directory / 'ours.db'}"))
        peer = stack.enter_context(closing(peer_application(str(directory / "peer.db"))))
        envelopes = [an_envelope(session_id, version, what) for version, what in enumerate(history, 1)]
        app.log.append(envelopes, expected_version=0)
        twin = peer_session()
        for what in history[1:]:
            tell_peer(twin, what)
        peer.save(twin)
        _check_same(app, session_id, peer.repository.get(twin.id))
        mean = sum(len(one.line) for one in app.log.read_lines(limit=EVENTS)) // EVENTS
        rows = stack.enter_context(driver_cursor(app.engine))
        values = take_turns(
            {
                OURS: _timed(lambda: Sessions(app.log, app.ids).load(session_id)),
                READ: _timed(lambda: deque(app.log.read_session(session_id), maxlen=0)),
                ROWS: _timed(lambda: deque(rows.execute(ROWS_OF, (UUID(session_id).bytes,)), maxlen=0)),
                PEER: _timed(lambda: peer.repository.get(twin.id)),
                PEER_READ: _timed(lambda: peer.recorder.select_events(twin.id)),
            },
            ROUNDS,
        )
    return Figure(
        f"replay of a session, {size} files a batch",
        f"{EVENTS:,} events with lines of {mean} bytes on average, {ROUNDS} rounds; no snapshot, no cache",
        "events/s",
        values,
        [ratio(values, OURS, PEER, ">= 12")],
    )


def measure_short(directory: Path) -> Figure:
    """The same with the shortest lines that there are, of one file a batch: what is left is the envelope."""
    return measure(directory, size=1)


def _timed(work: Callable[[], object]) -> Contender:
    return lambda: per_second(EVENTS, work)


def _check_same(app: App, session_id: str, twin: PeerSession) -> None:
    """Both must have done the work."""
    session = Sessions(app.log, app.ids).load(session_id)
    assert session.version == twin.version == EVENTS
    assert set(session.batches) == set(twin.batches)
