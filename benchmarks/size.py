"""Bytes that an event takes on disk, keys and indexes included, beside the peer."""

from contextlib import closing
from itertools import islice
from pathlib import Path
from uuid import UUID, uuid4

from eventsourcing.persistence import StoredEvent

from benchmarks.histories import (
    a_session_id,
    an_envelope,
    batches,
    peer_application,
    peer_session,
    tell_peer,
)
from benchmarks.histories import opened as opening
from benchmarks.measure import Figure, Limit, ratio
from domain.events import Event
from domain.merkle import leaf_hash
from entrypoints.bootstrap import opened
from entrypoints.world import Uuids
from persistence.engine import open_engine
from persistence.writer import Append, Row, Writer

EVENTS, LINE, PER_COMMIT = 20_000, 320, 100
OURS, PEER = f"Trailkeep, lines of {LINE} bytes", f"eventsourcing, states of {LINE} bytes"
OUR_HISTORY, PEER_HISTORY = "Trailkeep, the history of `replay`", "eventsourcing, the same history"


def measure(directory: Path) -> Figure:
    """What the files grow by, for one session of many events, with everything checkpointed."""
    history = [opening(), *islice(batches(), EVENTS - 1)]
    values = {
        OURS: [_ours(directory / "ours.db")],
        PEER: [_peer(directory / "peer.db")],
        OUR_HISTORY: [_our_history(directory / "our-history.db", history)],
        PEER_HISTORY: [_peer_history(directory / "peer-history.db", history)],
    }
    return Figure(
        "size on disk",
        f"{EVENTS:,} events of one session, {PER_COMMIT} a commit; without the read models",
        "bytes an event",
        values,
        [ratio(values, OUR_HISTORY, PEER_HISTORY, "none")],
        [Limit(OURS, values[OURS][0], "<= 500")],
    )


def _ours(path: Path) -> float:
    before, key, line = _made(path), UUID(a_session_id(0)).bytes, bytes(LINE)
    rows: list[Row] = [
        (UUID(Uuids().new()).bytes, key, version, line, leaf_hash(line)) for version in range(1, EVENTS + 1)
    ]
    engine = open_engine(f"sqlite:///{path}")
    writer = Writer(engine)
    for first in range(0, EVENTS, PER_COMMIT):
        assert writer.commit([Append(rows[first : first + PER_COMMIT], first)]) == [first]
    engine.dispose()
    return (path.stat().st_size - before) / EVENTS


def _our_history(path: Path, history: list[Event]) -> float:
    before, session_id = _made(path), a_session_id(0)
    with opened(f"sqlite:///{path}") as app:
        for first in range(0, EVENTS, PER_COMMIT):
            page = history[first : first + PER_COMMIT]
            envelopes = [an_envelope(session_id, version, what) for version, what in enumerate(page, first + 1)]
            app.log.append(envelopes, expected_version=first)
    return (path.stat().st_size - before) / EVENTS


def _made(path: Path) -> int:
    with opened(f"sqlite:///{path}"):
        pass
    return path.stat().st_size


def _peer(path: Path) -> float:
    with closing(peer_application(str(path))) as peer:
        originator, topic = uuid4(), "benchmarks.histories:PeerSession.BatchStarted"
        stored = [StoredEvent(originator, version, topic, bytes(LINE)) for version in range(1, EVENTS + 1)]
        for first in range(0, EVENTS, PER_COMMIT):
            peer.recorder.insert_events(stored[first : first + PER_COMMIT])
    return path.stat().st_size / EVENTS


def _peer_history(path: Path, history: list[Event]) -> float:
    with closing(peer_application(str(path))) as peer:
        session = peer_session()
        for number, what in enumerate(history[1:], 1):
            tell_peer(session, what)
            if number % PER_COMMIT == 0:
                peer.save(session)
        peer.save(session)
    return path.stat().st_size / EVENTS
