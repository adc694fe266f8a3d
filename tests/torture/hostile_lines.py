"""A line of the log for each kind of event, as one that follows in the arena's log, and the places of text in it."""

from collections.abc import Iterator
from typing import Any

from domain.events import (
    OF_ROOTS,
    BatchFailed,
    Because,
    Disposition,
    Event,
    FileIdentity,
    LossAccepted,
    LostEvent,
    OrphansCondemned,
    OrphansRemoved,
    PlaylistPublished,
    PurgeFailed,
    PurgeIssued,
    PurgeRefused,
    RemainingFile,
    RootSuspected,
    RootTrusted,
    SegmentsLost,
    SegmentsPurged,
    SessionClosed,
    Suspicion,
    Uptime,
)
from domain.session import Session
from entrypoints.bootstrap import opened
from tests.builders import an_id, envelope

IN_THE_ARENA = ("SessionOpened", "BatchStarted", "BatchCompleted")
"""They are there; the others are appended for a case."""

Place = tuple[str | int, ...]


def appended(kind: str, session: Session) -> list[Event]:
    """An event of the kind, the last of these, with a text in every place that can have one."""
    root, stranger = session.terms.media_root, FileIdentity(file="left.ts", size=1, mtime_ns=1, inode=1)
    oldest = session.batches[0]
    assert oldest.due is not None
    because = Because(
        rule="R3", completed_batch=oldest.due.batch, completed_position=oldest.due.position, session_id="later"
    )
    issued = PurgeIssued(
        purge_id=an_id(91),
        batch=0,
        because=because,
        files=len(oldest.files),
        bytes=oldest.bytes,
        confirmed="plan",
    )
    condemned = OrphansCondemned(removal_id=an_id(92), files=(stranger,), reason="why")
    outcome: dict[str, Any] = {"deleted": 0, "bytes_freed": 0, "already_absent": ("x",), "superseded": (stranger,)}
    remaining = (RemainingFile(name="90p/90p_segment_000.ts", errno="EACCES"),)
    lost = LostEvent(position=1, event_id=an_id(93), type="BatchCompleted", channel="news")
    failed = BatchFailed(batch=3, attempt=1, reason="why", stderr_tail="end", files_left=("90p/x.ts",))
    events: dict[str, list[Event]] = {
        "BatchFailed": [failed],
        "PlaylistPublished": [
            PlaylistPublished(
                first_segment=2, last_segment=5, duration_ms=8000, uptime=Uptime(boot="b", us=1, host="h")
            )
        ],
        "PurgeIssued": [issued],
        "PurgeRefused": [PurgeRefused(batch=0, matching=0, absent=("x",), changed=(stranger,), plan="plan")],
        "SegmentsPurged": [issued, SegmentsPurged(purge_id=an_id(91), batch=0, **outcome)],
        "PurgeFailed": [
            issued,
            PurgeFailed(purge_id=an_id(91), batch=0, attempt=1, remaining=remaining, retry_at=0, **outcome),
        ],
        "SegmentsLost": [SegmentsLost(batch=1, files=(stranger,), reason="why")],
        "OrphansCondemned": [condemned],
        "OrphansRemoved": [condemned, OrphansRemoved(removal_id=an_id(92), remaining=remaining, **outcome)],
        "RootSuspected": [RootSuspected(root=root, suspicion=Suspicion.FLUSH, reason="why")],
        "RootTrusted": [RootTrusted(root=root, reason="why")],
        "LossAccepted": [LossAccepted(root=root, events=(lost,), reason="why")],
        "SessionClosed": [failed, SessionClosed(reason="why", disposition=Disposition.PURGE)],
    }
    return events[kind]


def append(database: str, kind: str) -> None:
    """Put an event of the kind at the end of the log."""
    with opened(database) as app:
        session = app.sessions.resolve("news")
        for number, event in enumerate(appended(kind, session), 1):
            of_root = isinstance(event, OF_ROOTS)
            stream = session.terms.media_root.root_id if of_root else session.session_id
            version = app.log.version_of(stream)
            fields = {"event_id": an_id(9000 + number), "causation_id": an_id(1), "session_id": stream}
            app.log.append([envelope(event, version=version + 1, **fields)], expected_version=version)


def places(value: Any, of: type = str, at: Place = ()) -> Iterator[Place]:
    """Where in an event, as JSON has it, there is text, or a number."""
    if type(value) is of:
        yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, of, (*at, key))
