"""What must hold whatever failed: read from the log, line by line, and from the disk."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from application.verify import Level
from entrypoints.bootstrap import App
from media.journal_file import JOURNAL_FILE
from media.marker_file import MARKER_FILE
from persistence.engine import driver
from tests.torture.fault_life import CHANNEL, Place

Identity = tuple[str, int, int, int]


class State(NamedTuple):
    """The log's lines and the events in them, the segments on the disk, and what the playlists list."""

    lines: list[tuple[int, bytes]]
    segments: set[Identity]
    listed: set[str]
    hidden: set[str]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [{"position": position, **json.loads(line)} for position, line in self.lines]


def look(place: Place) -> State:
    """The state as it is now; a database that was not made yet has no lines."""
    channel = place.root / CHANNEL
    return State(
        _lines(place.directory / "log.db"),
        {_identity(channel, path) for path in channel.glob("*/*.ts")},
        {
            f"{playlist.parent.name}/{name}"
            for playlist in channel.glob("*/*.m3u8")
            for name in playlist.read_text().splitlines()
            if not name.startswith("#")
        },
        {path.name for path in place.root.rglob(".*")},
    )


def _lines(database: Path) -> list[tuple[int, bytes]]:
    if not database.exists():
        return []
    connection = driver.connect(database)
    try:
        made = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'events'").fetchone()[0]
        return connection.execute("SELECT position, line FROM events ORDER BY position").fetchall() if made else []
    finally:
        connection.close()


def _identity(channel: Path, path: Path) -> Identity:
    status = path.stat()
    return str(path.relative_to(channel)), status.st_size, status.st_mtime_ns, status.st_ino


def wrong(state: State, acknowledged: Iterable[str]) -> Iterator[str]:
    """What must never be, at no moment."""
    events = state.events
    ids = [event["event_id"] for event in events]
    if [event["position"] for event in events] != list(range(1, len(events) + 1)):
        yield "R15: the log has a gap"
    if len(set(ids)) < len(ids):
        yield "an event is there twice"
    if lost := set(acknowledged) - set(ids):
        yield f"acknowledged events are lost: {sorted(lost)}"
    yield from _doubled(events)
    yield from _gone(state, events)
    if missing := state.listed - {file for file, *_ in state.segments}:
        yield f"R8: playlists list what is not there: {sorted(missing)}"


def _doubled(events: Sequence[dict[str, Any]]) -> Iterator[str]:
    versions: dict[str, int] = {}
    once: Counter[tuple[str, ...]] = Counter()
    for event in events:
        session = event["session_id"]
        versions[session] = versions.get(session, 0) + 1
        if event["version"] != versions[session]:
            yield f"position {event['position']} is version {event['version']}, not {versions[session]}"
        if event["type"] in {"SessionOpened", "BatchCompleted", "PurgeIssued", "SegmentsPurged"}:
            once[session, event["type"], str(event["data"].get("batch"))] += 1
    for what, times in once.items():
        if times > 1:
            yield f"R6: {what[1]} of batch {what[2]} is there {times} times"


def _gone(state: State, events: Sequence[dict[str, Any]]) -> Iterator[str]:
    """R10, R11: what is gone was authorised to go, and what is said to be gone is."""
    issued, purged = (
        {(event["session_id"], event["data"]["batch"]) for event in events if event["type"] == kind}
        for kind in ("PurgeIssued", "SegmentsPurged")
    )
    if purged - issued:
        yield f"R10: purged without an authorisation: {sorted(purged - issued)}"
    for event in events:
        if event["type"] != "BatchCompleted":
            continue
        batch = event["session_id"], event["data"]["batch"]
        there = {recorded for recorded in _recorded(event) if recorded in state.segments}
        if batch not in issued and len(there) < len(event["data"]["files"]):
            yield f"R10: files of batch {batch[1]} are gone, and no purge was issued"
        if batch in purged and there:
            yield f"R10: batch {batch[1]} is said to be purged, and {sorted(there)} are there"


def _recorded(event: dict[str, Any]) -> Iterator[Identity]:
    for file in event["data"]["files"]:
        yield f"{file['rendition']}/{file['name']}", file["size"], file["mtime_ns"], file["inode"]


def unheld(state: State, failed: str, place: Place) -> Iterator[str]:
    """A flush below the channel that failed, and nothing else did, is held against the root; but for a draft's."""
    call, _, path = failed.partition(" ")
    if call != "fsync" or not _matters(path, place):
        return
    if not any(event["data"].get("suspicion") == "flush" for event in state.events):
        yield f"R10: the flush of {path} failed, and nothing is held against the root"


def unrepeated(unflushed: str, place: Place) -> Iterator[str]:
    """A flush below the channel that was interrupted is made again."""
    if _matters(unflushed, place):
        yield f"R10: the flush of {unflushed} was interrupted, and not made again"


def _matters(path: str, place: Place) -> bool:
    return path.startswith(f"{place.root / CHANNEL}") and not Path(path).name.startswith(".")


def unfinished(before: State, after: State, app: App, batches: int) -> Iterator[str]:
    """What must not be left when nothing fails any more and the life has been lived to its end."""
    if after.lines[: len(before.lines)] != before.lines:
        yield "R15: the log that was there is not the beginning of the log that is there"
    session = app.sessions.resolve(CHANNEL)
    if session.completed < batches:
        yield f"only {session.completed} batches were completed"
    kept = {number for number, batch in session.batches.items() if batch.completed}
    if kept != set(range(session.completed)[-2:]):
        yield f"R3: completed batches {sorted(kept)} are there, of {session.completed}"
    if again := app.recoverer.recover():
        for recorded in again.recorded:
            yield f"R14: a second recovery recorded {type(recorded.event).__name__}"
        yield from (f"a second recovery left {left}" for left in again.left)
    report = app.verifier.verify(Level.IDENTITY)
    if not report.ok or report.superseded:
        yield f"verify: {report}"
    # Of a marker that could not be made, or was made, its draft may stay: it is hidden, and of no consequence.
    if odd := {name for name in after.hidden if not name.startswith(MARKER_FILE)} - {JOURNAL_FILE}:
        yield f"left over: {sorted(odd)}"
