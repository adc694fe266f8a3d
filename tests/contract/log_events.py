"""Envelopes that a log accepts, for tests of the log: ids count by session and version."""

from collections.abc import Iterator, Sequence

from application.ports import EventLog
from domain.events import (
    BatchCompleted,
    BatchFailed,
    BatchStarted,
    Because,
    Disposition,
    Envelope,
    Event,
    FileIdentity,
    LossAccepted,
    LostEvent,
    MediaRoot,
    OrphansCondemned,
    OrphansRemoved,
    PlaylistPublished,
    PurgeFailed,
    PurgeIssued,
    PurgeRefused,
    Recorded,
    RemainingFile,
    RootSuspected,
    RootTrusted,
    SegmentsLost,
    SegmentsPurged,
    SessionClosed,
    Source,
    Suspicion,
)
from tests.builders import NOW, SECOND, a_segment_file, an_id, envelope, identities_of, terms

CAMERA = Source(label="camera", producer="script")


def session(number: int) -> str:
    return an_id(0xA000 + number)


def a_failure(reason: str = "the camera went away", **fields: object) -> BatchFailed:
    return BatchFailed(**{"batch": 0, "attempt": 1, "reason": reason, **fields})  # type: ignore[arg-type]


def an_event(event: Event | None = None, *, of: int = 1, version: int = 1, **fields: object) -> Envelope:
    """The event of a session at a version; its id follows from both."""
    told = {"event_id": an_id(of * 0x1000000 + version), "at": NOW + version, **fields}
    return envelope(event or a_failure(f"event {version}"), version=version, session_id=session(of), **told)  # type: ignore[arg-type]


def some_events(count: int, *, of: int = 1, after: int = 0) -> list[Envelope]:
    return [an_event(of=of, version=version) for version in range(after + 1, after + count + 1)]


def found(log: EventLog, event_id: str) -> Recorded | None:
    """The event with this id, if the log holds it."""
    line = log.lines_of([event_id]).get(event_id)
    return log.examine(line) if line else None


def fill(log: EventLog, count: int, *, of: int = 1, each: int = 1) -> None:
    """Append that many events to a new session, so many at a time."""
    events = some_events(count, of=of)
    for start in range(0, count, each):
        log.append(events[start : start + each], expected_version=start)


def every_kind_of_event() -> tuple[Event, ...]:
    """Each kind of event at least once."""
    return (*a_whole_life(), *the_doubts_about_a_root())


def a_whole_life() -> tuple[Event, ...]:
    """A session's events in their order, each kind at least once."""
    return tuple(_life())


def the_doubts_about_a_root() -> tuple[Event, ...]:
    """The events of a media root's own stream."""
    root = MediaRoot(path="/srv/straße", root_id=an_id(0), device="00000000000000ff")
    return (
        RootSuspected(root=root, suspicion=Suspicion.FLUSH, reason="a directory cannot be flushed to disk: EIO"),
        RootTrusted(root=root, reason="the disk was replaced"),
        LossAccepted(
            root=root,
            events=(
                LostEvent(position=2**40, event_id=an_id(9), type="PurgeIssued", channel="Nachrichten 新闻", batch=7),
                LostEvent(position=2**40 + 1, event_id=an_id(10), type="RootTrusted", channel=""),
            ),
            reason="the standby lagged",
        ),
    )


def the_life_of(number: int, events: Sequence[Event]) -> list[Envelope]:
    return [
        an_event(event, of=number, version=version, at=NOW + version * SECOND)
        for version, event in enumerate(events, 1)
    ]


def _life() -> Iterator[Event]:
    yield terms(channel="nachrichten")
    files = [(a_segment_file(batch * 2), a_segment_file(batch * 2 + 1)) for batch in range(3)]
    stranger = FileIdentity(file="v/v_segment_000.ts", size=2**40, mtime_ns=2**62, inode=2**64 - 1)
    for batch in range(3):
        for attempt in (1, 2):
            yield BatchStarted(
                batch=batch,
                attempt=attempt,
                first_segment=batch * 2,
                last_segment=batch * 2 + 1,
                source=CAMERA,
                present=(stranger,) if attempt == 1 else (),
            )
            if attempt == 1:
                yield a_failure("exit code 1", batch=batch, exit_code=1, stderr_tail='"\\\n\x00', files_left=("v/a",))
        yield BatchCompleted(batch=batch, attempt=2, files=files[batch])
        yield PlaylistPublished(first_segment=0, last_segment=batch * 2 + 1, duration_ms=(batch + 1) * 4000)
    yield SegmentsLost(batch=1, files=identities_of(files[1][:1]))
    left_over = FileIdentity(file="v/left_over.ts", size=2**40, mtime_ns=2**62, inode=2**64 - 1)
    yield OrphansCondemned(removal_id=an_id(8), files=(left_over,))
    yield OrphansRemoved(
        removal_id=an_id(8),
        deleted=0,
        bytes_freed=0,
        already_absent=("v/left.ts",),
        remaining=(RemainingFile(name=left_over.file, errno="EPERM"),),
    )
    yield PurgeRefused(batch=0, matching=0, absent=("v/v_segment_001.ts",), changed=(stranger,), plan="ab" * 32)
    because = Because(rule="R3", completed_batch=2, completed_position=12)
    yield PurgeIssued(purge_id=an_id(7), batch=0, because=because, files=2, bytes=2001, confirmed="ab" * 32)
    yield PurgeFailed(
        purge_id=an_id(7),
        batch=0,
        attempt=1,
        remaining=(RemainingFile(name="v/v_segment_001.ts", errno="EACCES"),),
        retry_at=NOW + 60 * SECOND,
        deleted=1,
        bytes_freed=1000,
    )
    yield SegmentsPurged(purge_id=an_id(7), batch=0, deleted=0, bytes_freed=0, superseded=identities_of(files[0][1:]))
    yield SessionClosed(reason="the end", disposition=Disposition.KEEP)
