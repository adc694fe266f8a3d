"""Load a session in a process that does not know it yet: from its snapshot, and without one."""

from itertools import chain, islice
from pathlib import Path

from application.sessions import SNAPSHOT_EVERY, Sessions
from benchmarks.histories import a_session_id, an_envelope, batches
from benchmarks.histories import opened as opening
from benchmarks.measure import Contender, Figure, ratio, seconds, take_turns
from entrypoints.bootstrap import App, opened

SIZES = (100, 1_000, 10_000, 100_000)
ROUNDS, PER_COMMIT, REPLAYED = 11, 1_000, 10_000


def measure(directory: Path, sizes: tuple[int, ...] = SIZES) -> Figure:
    """Milliseconds. Each snapshot is as old as it gets: one more event, and the state would be kept again."""
    with opened(f"sqlite:///{directory / 'ours.db'}") as app:
        for number, size in enumerate(sizes):
            _fill(app, a_session_id(number), size)
        contenders: dict[str, Contender] = {
            _name(size): _loaded(app, a_session_id(number)) for number, size in enumerate(sizes)
        }
        whole = f"{REPLAYED:,} events, no snapshot"
        contenders[whole] = _loaded(app, a_session_id(sizes.index(REPLAYED)), snapshots=False)
        values = take_turns(contenders, ROUNDS)
    return Figure(
        "load of a session",
        f"SQLite; a snapshot every {SNAPSHOT_EVERY:,} events, {SNAPSHOT_EVERY - 1} events older than the session; "
        f"{ROUNDS} rounds",
        "ms",
        values,
        [ratio(values, _name(sizes[-1]), _name(1_000), "flat: about 1")],
    )


def measure_longer(directory: Path) -> Figure:
    """The same up to a million events."""
    return measure(directory, (*SIZES, 1_000_000))


def _name(size: int) -> str:
    return f"{size:,} events"


def _fill(app: App, session_id: str, size: int) -> None:
    history, kept = chain([opening()], batches()), size - SNAPSHOT_EVERY + 1
    version = 0
    while version < size:
        end = min(version + PER_COMMIT, kept if version < kept else size)
        page = [
            an_envelope(session_id, at, what) for at, what in enumerate(islice(history, end - version), version + 1)
        ]
        app.log.append(page, expected_version=version)
        if end == kept:
            state = Sessions(app.log, app.ids, app.snapshots, every=1).load(session_id)
            assert state.version == app.snapshots.versions()[session_id] == kept
        version = end


def _loaded(app: App, session_id: str, *, snapshots: bool = True) -> Contender:
    def once() -> float:
        sessions = Sessions(app.log, app.ids, app.snapshots if snapshots else None)
        return seconds(lambda: sessions.load(session_id)) * 1000

    return once
