"""Histories for tests: each builder takes only the field that matters. No time passes and nothing is random here."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any
from uuid import UUID, uuid5

from msgspec.structs import replace

from domain.batch import Completion
from domain.commands import OpenSession, StartBatch, Successor
from domain.events import (
    SCHEMA,
    Availability,
    BatchCompleted,
    BatchFailed,
    BatchStarted,
    Because,
    Disposition,
    Envelope,
    Event,
    FileIdentity,
    MediaRoot,
    Naming,
    PlaylistPublished,
    Policy,
    PurgeFailed,
    PurgeIssued,
    PurgeRefused,
    Recorded,
    RemainingFile,
    SegmentFile,
    SegmentsPurged,
    SessionClosed,
    SessionOpened,
    Source,
    Uptime,
)
from domain.segments import DEFAULT_PATTERN, expected_files, identity_of
from domain.session import Session, evolve

NOW = 1_800_000_000_000_000
"""When the clocks of the tests start, in microseconds since the epoch."""

SECOND = 1_000_000
OFF = Policy(availability=Availability.OFF)
STORE_ID = "00000000-0000-4000-8000-000000000001"
CAMERA = Source(label="camera", producer="script")


class FakeClock:
    """A clock that moves when it is told to; ``tick_us`` is added after each look at the wall clock.

    The machine was started at `NOW`. Time passes for its uptime too; a clock that is set moves the wall clock alone.
    """

    def __init__(self, now: int = NOW, tick_us: int = 0) -> None:
        self.time, self.tick_us, self.boot, self.started_at = now, tick_us, "boot 1", NOW

    def now(self) -> int:
        self.time += self.tick_us
        return self.time - self.tick_us

    @contextmanager
    def standing(self) -> Iterator[None]:
        """It stands still however often it is looked at."""
        tick_us, self.tick_us = self.tick_us, 0
        try:
            yield
        finally:
            self.tick_us = tick_us

    def advance(self, seconds: float) -> None:
        self.time += round(seconds * SECOND)

    def uptime(self) -> Uptime:
        return Uptime(boot=self.boot, us=self.time - self.started_at)

    def set_by(self, seconds: float) -> None:
        """The wall clock is set forward (or back), and no time passes."""
        self.advance(seconds)
        self.started_at += round(seconds * SECOND)

    def reboot(self, seconds_down: float = 0) -> None:
        """The machine is off for that long, and starts again."""
        self.advance(seconds_down)
        self.boot, self.started_at = f"{self.boot} and again", self.time


class CountingIds:
    """Ids that count; derived ones are real."""

    def __init__(self) -> None:
        self.made = 0

    def new(self) -> str:
        self.made += 1
        return an_id(self.made)

    @staticmethod
    @cache
    def derive(namespace: str, name: str) -> str:
        return str(uuid5(UUID(namespace), name))


def an_id(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012x}"


def terms(**fields: Any) -> SessionOpened:
    """What a session is opened with: batches of 2 in one rendition, names that never repeat, no waiting."""
    fields.setdefault("naming", Naming(pattern=DEFAULT_PATTERN, wrap=fields.pop("wrap", 0)))
    fields.setdefault("policy", OFF)
    defaults: dict[str, Any] = {
        "channel": "news",
        "ordinal": 1,
        "media_root": MediaRoot(path="/srv/hls", root_id=an_id(0)),
        "batch_size": 2,
        "renditions": ("v",),
        "segment_ms": 2000,
        "playlist_window": 4,
    }
    return SessionOpened(**{**defaults, **fields})


def open_session(**fields: Any) -> OpenSession:
    """The command with the same defaults as `terms`."""
    opened = terms(**fields)
    return OpenSession(**{name: getattr(opened, name) for name in opened.__struct_fields__})


def envelope(event: Event, *, version: int = 1, at: int = NOW, session_id: str = an_id(0), **fields: Any) -> Envelope:
    """The event as somebody recorded it."""
    defaults: dict[str, Any] = {
        "event_id": an_id(1000 + version),
        "actor": "tester",
        "worker": "here:1",
        "correlation_id": an_id(1),
        "causation_id": None,
        "policy": str(OFF),
        "schema": SCHEMA,
    }
    return Envelope(session_id=session_id, version=version, recorded_at=at, event=event, **{**defaults, **fields})


def recorded(session: Session, event: Event, **fields: Any) -> Recorded:
    """The event as the session's next one; positions count like versions, and a second passes from one to the next."""
    version = session.version + 1
    fields.setdefault("at", NOW + session.version * SECOND)
    position = fields.pop("position", version)
    return Recorded(position, envelope(event, version=version, session_id=session.session_id, **fields))


def happened(session: Session, event: Event, **fields: Any) -> Session:
    """The session after one more event."""
    return evolve(session, recorded(session, event, **fields))


def a_session(number: int = 0, **fields: Any) -> Session:
    """An opened session, whose id has this number."""
    return happened(Session(an_id(number)), terms(**fields))


def a_segment_file(number: int, rendition: str = "v", **fields: Any) -> SegmentFile:
    """A file that is unlike those of every other segment and rendition."""
    defaults: dict[str, Any] = {
        "name": f"{rendition}_segment_{number:03d}.ts",
        "size": 1000 + number,
        "mtime_ns": NOW * 1000 + number,
        "inode": 10_000 + sum(rendition.encode()) * 1000 + number,
        "duration_ms": 2000,
    }
    return SegmentFile(rendition=rendition, number=number, **{**defaults, **fields})


def files_of(session: Session, number: int | None = None, **fields: Any) -> tuple[SegmentFile, ...]:
    """Every file that a batch of the session (the next one) must have."""
    opened = session.terms
    batch = session.next_batch if number is None else number
    numbers = range(batch * opened.batch_size, (batch + 1) * opened.batch_size)
    return tuple(
        a_segment_file(one.number, one.rendition, name=one.name, **fields)
        for one in expected_files(opened.naming, opened.renditions, numbers)
    )


def identities_of(files: Sequence[SegmentFile]) -> tuple[FileIdentity, ...]:
    return tuple(map(identity_of, files))


def a_completed_batch(number: int = 0, files: Sequence[SegmentFile] | None = None) -> BatchCompleted:
    """A batch of two segments in one rendition, unless its files are given."""
    chosen = [a_segment_file(number * 2), a_segment_file(number * 2 + 1)] if files is None else files
    return BatchCompleted(batch=number, attempt=1, files=tuple(chosen))


def started(session: Session, source: Source = CAMERA, **fields: Any) -> Session:
    """The next batch was started."""
    number, size = session.next_batch, session.terms.batch_size
    earlier, present = session.batches.get(number), fields.pop("present", ())
    event = BatchStarted(
        batch=number,
        attempt=earlier.attempt + 1 if earlier else 1,
        first_segment=number * size,
        last_segment=number * size + size - 1,
        source=source,
        present=present,
    )
    return happened(session, event, **fields)


def completed(session: Session, files: Sequence[SegmentFile] | None = None, **fields: Any) -> Session:
    """The running batch was completed."""
    batch = session.batches[session.next_batch]
    event = BatchCompleted(
        batch=batch.number, attempt=batch.attempt, files=tuple(files_of(session) if files is None else files)
    )
    return happened(session, event, **fields)


def failed(session: Session, reason: str = "the camera went away", **fields: Any) -> Session:
    """The running batch failed."""
    batch, left = session.batches[session.next_batch], fields.pop("files_left", ())
    return happened(
        session, BatchFailed(batch=batch.number, attempt=batch.attempt, reason=reason, files_left=left), **fields
    )


def generated(session: Session, batches: int = 1, **fields: Any) -> Session:
    """That many further batches were started and completed."""
    for _ in range(batches):
        session = completed(started(session), **fields)
    return session


def published(session: Session, first: int, last: int, duration_ms: int | None = None, **fields: Any) -> Session:
    """The playlists list these segments."""
    lasts = (last - first + 1) * session.terms.segment_ms if duration_ms is None else duration_ms
    return happened(session, PlaylistPublished(first_segment=first, last_segment=last, duration_ms=lasts), **fields)


def purging(session: Session, number: int, **fields: Any) -> Session:
    """The purge of the batch was authorised."""
    batch = session.batches[number]
    because = Because(rule="R3", completed_batch=number + 2, completed_position=1)
    event = PurgeIssued(
        purge_id=an_id(9000 + number), batch=number, because=because, files=len(batch.files), bytes=batch.bytes
    )
    return happened(session, event, **fields)


def purge_refused(session: Session, number: int, plan: str = "ab" * 32, **fields: Any) -> Session:
    """The batch's purge was refused: none of its files was there."""
    absent = tuple(identity_of(file).file for file in session.batches[number].files)
    return happened(session, PurgeRefused(batch=number, matching=0, absent=absent, changed=(), plan=plan), **fields)


def purge_failed(session: Session, number: int, retry_at: int, errno: str = "EACCES", **fields: Any) -> Session:
    """An attempt at the purge left the batch's first file."""
    batch = session.batches[number]
    assert batch.purge is not None
    event = PurgeFailed(
        purge_id=batch.purge.purge_id,
        batch=number,
        attempt=batch.purge.attempt,
        remaining=(RemainingFile(name=batch.purge.files[0].file, errno=errno),),
        retry_at=retry_at,
        deleted=len(batch.purge.files) - 1,
        bytes_freed=sum(file.size for file in batch.purge.files[1:]),
    )
    return happened(session, event, **fields)


def purged(session: Session, number: int, **fields: Any) -> Session:
    """The purge of the batch, authorised before or right now, has its outcome."""
    if session.batches[number].purge is None:
        session = purging(session, number)
    batch = session.batches[number]
    assert batch.purge is not None
    event = SegmentsPurged(
        purge_id=batch.purge.purge_id,
        batch=number,
        deleted=len(batch.purge.files),
        bytes_freed=sum(file.size for file in batch.purge.files),
    )
    return happened(session, event, **fields)


def closed(session: Session, disposition: Disposition = Disposition.PURGE, **fields: Any) -> Session:
    """The session was closed."""
    return happened(session, SessionClosed(reason="the end", disposition=disposition), **fields)


def successor(completed: int, *, batch: int = 0, position: int = 99, at: int = NOW, **fields: Any) -> Successor:
    """What later sessions did, if they completed that many batches, the newest of them at that time."""
    newest = Completion(batch, position, an_id(position), an_id(1), at)
    return Successor(completed=completed, session_id=an_id(2), newest=newest, **fields)


def start_batch(**fields: Any) -> StartBatch:
    return StartBatch(**{"source": CAMERA, **fields})


def with_one_changed(files: Sequence[SegmentFile], **fields: Any) -> tuple[SegmentFile, ...]:
    """The files, the last one with other facts."""
    return (*files[:-1], replace(files[-1], **fields))


def without_last(files: Sequence[SegmentFile]) -> tuple[SegmentFile, ...]:
    return tuple(files[:-1])
