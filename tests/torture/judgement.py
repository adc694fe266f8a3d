"""What must hold of a life that was cut off: of its log, of its disk, and of what it comes to in the end.

`look` reads the log's lines and the disk by itself; nothing of the product but the log's table is asked.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from application.read_model_projector import ledger
from application.verify import Level
from domain.batch import Batch
from domain.session import Session
from media.playlist_text import parse_media
from tests.torture.chapters import CHANNEL
from tests.torture.mishaps import JOURNAL
from tests.torture.scenario import Process

Identity = tuple[int, int, int]
"""Size, modification time in nanoseconds, inode."""


class Line(NamedTuple):
    """One event of the log, parsed."""

    position: int
    told: dict[str, Any]

    @property
    def kind(self) -> str:
        """The event's type."""
        return str(self.told["type"])

    @property
    def batch(self) -> tuple[str, int]:
        """Session and batch that it is about."""
        return self.told["session_id"], self.told["data"]["batch"]


def look(process: Process, acknowledged: bytes) -> None:
    """What must hold at any moment, whoever died a moment ago."""
    log = [Line(one.position, msgspec.json.decode(one.line)) for one in process.app.log.read_lines()]
    channel = process.place.root / CHANNEL
    _look_at_log(log, acknowledged)
    _look_at_purges(log)
    _look_at_files(log, channel, process.mishaps.gone())
    _look_at_playlists(log, channel)
    _look_at_journal(log, process.place.root, process.mishaps.gone())


def _look_at_log(log: list[Line], acknowledged: bytes) -> None:
    assert [line.position for line in log] == list(range(1, len(log) + 1)), "R15: positions have no gap"
    by_session: dict[str, list[int]] = {}
    for line in log:
        by_session.setdefault(line.told["session_id"], []).append(line.told["version"])
    for session_id, versions in by_session.items():
        assert versions == list(range(1, len(versions) + 1)), f"R15: versions of {session_id} have no gap"
    ids = [line.told["event_id"] for line in log]
    assert len(set(ids)) == len(ids), "R15: no event is there twice"
    for said in acknowledged.decode().splitlines():
        position, event_id = said.split()
        assert ids[int(position) - 1 : int(position)] == [event_id], f"R15: {said} was acknowledged, and is lost"


def _look_at_purges(log: list[Line]) -> None:
    issued: dict[str, Line] = {}
    ended: set[str] = set()
    completed: list[tuple[str, int]] = []
    for line in log:
        if line.kind == "BatchCompleted":
            completed.append(line.batch)
        elif line.kind == "PurgeIssued":
            assert line.batch in completed[:-2], "R2, R3, R19: the newest two completed batches stay"
            assert line.batch not in {one.batch for one in issued.values()}, "R6: one authorisation"
            issued[line.told["data"]["purge_id"]] = line
        elif line.kind in {"SegmentsPurged", "PurgeFailed"}:
            purge_id = line.told["data"]["purge_id"]
            assert purge_id in issued, "R10: an authorisation comes first"
            assert purge_id not in ended, "R6: one outcome"
            if line.kind == "SegmentsPurged":
                ended.add(purge_id)


def _look_at_files(log: list[Line], channel: Path, gone: set[str]) -> None:
    issued = {line.batch for line in log if line.kind == "PurgeIssued"}
    purged = {line.batch for line in log if line.kind == "SegmentsPurged"}
    for line in log:
        if line.kind != "BatchCompleted":
            continue
        for file in line.told["data"]["files"]:
            path = channel / file["rendition"] / file["name"]
            there = _identity(path)
            recorded = (file["size"], file["mtime_ns"], file["inode"])
            if line.batch not in issued:
                assert there == recorded or (there is None and str(path) in gone), (
                    f"R10: {file['name']} of batch {line.batch} has no PurgeIssued: {there}"
                )
            elif line.batch in purged:
                assert there != recorded, f"R10: {file['name']} of batch {line.batch} is said to be purged, and is back"
            else:
                assert there in {recorded, None}, f"R5: {file['name']} of batch {line.batch} is another: {there}"


def _look_at_journal(log: list[Line], root: Path, gone: set[str]) -> None:
    """It tells of nothing that the log does not have; and of each purge that is under way and has begun to delete."""
    journal = root / JOURNAL
    texts = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
    told = {line["event_id"]: line["position"] for line in map(msgspec.json.decode, texts)}
    at = {line.told["event_id"]: line.position for line in log}
    assert told.items() <= at.items(), "R15: the journal is not ahead of the log"
    begun = {line.told["data"]["purge_id"] for line in log if line.kind in {"SegmentsPurged", "PurgeFailed"}}
    files = {line.batch: line.told["data"]["files"] for line in log if line.kind == "BatchCompleted"}
    for line in log:
        if line.kind == "PurgeIssued" and line.told["data"]["purge_id"] not in begun:
            paths = [root / CHANNEL / file["rendition"] / file["name"] for file in files[line.batch]]
            if any(not path.exists() and str(path) not in gone for path in paths):
                assert line.told["event_id"] in told, f"R10: the journal has no authorisation for batch {line.batch}"


def _look_at_playlists(log: list[Line], channel: Path) -> None:
    shown: dict[str, int] = {}
    for playlist in channel.rglob("*.m3u8"):
        text = playlist.read_text()
        assert text.startswith("#EXTM3U\n"), f"R8: {playlist.name} is not whole"
        assert text.endswith("\n"), f"R8: {playlist.name} is not whole"
        listing = parse_media(text)
        missing = [name for name in listing.names if not (playlist.parent / name).exists()]
        assert not missing or playlist.name == "master.m3u8", f"R8: {playlist.name} lists {missing}"
        shown[playlist.stem] = listing.media_sequence
    opened = {line.told["session_id"]: line.told["data"] for line in log if line.kind == "SessionOpened"}
    for line in log:
        if line.kind == "PlaylistPublished":
            session = opened[line.told["session_id"]]
            first = session["naming"]["offset"] + line.told["data"]["first_segment"]
            for rendition in session["renditions"]:
                assert shown[rendition] >= first, f"R13: {first} is said to be the first of {rendition}.m3u8"


def _identity(path: Path) -> Identity | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def verified(process: Process) -> None:
    """`verify` at level identity finds nothing, but what got lost."""
    report = process.app.verifier.verify(Level.IDENTITY)
    assert report.log.ok, str(report)
    unexplained = (*report.orphans, *report.changed, *report.superseded, *report.suspect_roots)
    assert not unexplained, str(report)
    assert set(report.lost) <= process.mishaps.gone(), str(report)


def nothing_to_add(process: Process, stands: Any) -> None:
    """R14: a further recovery, of a process that knows nothing of the one before, adds nothing to what stands."""
    head = process.app.log.head()
    process.again()
    process.recover()
    assert process.app.log.head() == head, "R14: a second recovery adds nothing to the log"
    assert standing(process) == stands, "R14: nor does it change anything"


def nothing_left(process: Process) -> None:
    """What a crash leaves open is ended, what may go by now is gone, and the read models tell what the log tells."""
    app = process.app
    for summary in app.read_models.sessions():
        session = app.sessions.load(summary.session_id)
        assert session.running is None, "R4: a batch without a producer has failed"
        rows = app.read_models.batches(summary.session_id)
        assert rows == ledger(app.log.read_session(summary.session_id)), "R15: a projector skips nothing"
    plan = app.queries.plan(app.queries.planned_sessions())
    due = [row for row in plan if row.due_at is not None and row.due_at <= process.clock.time and not row.blocked_by]
    assert due == [], "R3: what may go by now is gone"


def standing(process: Process) -> Any:
    """What a life has come to: everything but ids, times, positions, and how often something was tried."""
    sessions = [session for ordinal in (1, 2) if (session := process.session(ordinal)).opened]
    channel = process.place.root / CHANNEL
    found = {
        "sessions": [_session(session) for session in sessions],
        "files": dict(sorted(_files(process.place.root))),
        "playlists": {path.name: _undated(path) for path in sorted(channel.rglob("*.m3u8"))},
    }
    return msgspec.json.decode(msgspec.json.encode(found))


def _session(session: Session) -> dict[str, Any]:
    return {
        "state": session.state,
        "next_batch": session.next_batch,
        "completed": session.completed,
        "purged": session.purged,
        "discontinuities": session.discontinuities,
        "published": session.published,
        "disposition": session.disposition,
        "source": session.source,
        "batches": [_batch(batch) for _, batch in sorted(session.batches.items())],
    }


def _batch(batch: Batch) -> dict[str, Any]:
    return {
        "number": batch.number,
        "state": batch.state,
        "source": batch.source,
        "files": [(file.rendition, file.number, file.name, file.size, file.duration_ms) for file in batch.files],
        "discontinuity": (batch.discontinuity, batch.discontinuities),
        "due": batch.due.batch if batch.due else None,
        "purge": [file.file for file in batch.purge.files] if batch.purge else None,
    }


def _files(root: Path) -> Iterator[tuple[str, str]]:
    """Every file below the root; of segments, by what is in them."""
    for path in root.rglob("*"):
        if path.is_file():
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.suffix == ".ts" else ""
            yield str(path.relative_to(root)), digest


def _undated(playlist: Path) -> list[str]:
    return [line for line in playlist.read_text().splitlines() if not line.startswith("#EXT-X-PROGRAM-DATE-TIME")]
