"""A fleet's log, as large as wanted: channels side by side, each in sessions that follow one another.

Batches are started, completed, shown and purged two batches later, some fail first, and the next session takes the
place of the one before. What the log keeps at its end is on the disk, and everything agrees: `verify` finds nothing.
The events are appended by the store's own writer, a thousand a transaction.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from application.playlist_content import media_playlist
from application.ports import Marker
from benchmarks.histories import an_envelope
from domain.events import (
    BatchCompleted,
    BatchFailed,
    BatchStarted,
    Because,
    Disposition,
    Envelope,
    Event,
    MediaRoot,
    Naming,
    PlaylistPublished,
    Policy,
    PurgeIssued,
    SegmentFile,
    SegmentsPurged,
    SessionClosed,
    SessionOpened,
    Source,
    Uptime,
)
from domain.merkle import leaf_hash
from domain.segments import DEFAULT_PATTERN, DEFAULT_WRAP, file_name
from entrypoints.bootstrap import App
from persistence import codec
from persistence.storage import writer_of
from persistence.writer import Append, Row

BATCH_SIZE, SEGMENT_MS, RENDITION = 5, 2000, "720p"
SIZE = 512
"""Bytes of a segment that is on the disk."""

EVENTS_OF_BATCH = 5
REAL = 4
"""Rounds before the end from which on batches have files on the disk."""

PER_COMMIT = 1000
EVERY_US = 10_000
"""From one event to the next, by the times in the log."""

Step = list[tuple[str, list[Event]]]
"""Events by session: appends."""


class Channel:
    """One channel's life: each round makes one batch, in three steps, so that channels alternate in the log."""

    def __init__(self, app: App, number: int, root: MediaRoot, rounds: int) -> None:
        self._app, self._number, self._root, self._rounds = app, number, root, rounds
        self.name = f"channel-{number:05d}"
        self._directory = Path(root.path, self.name, RENDITION)
        self._late = number % 10 == 0
        self._length = 150 + number * 37 % 100
        self._completed_at: dict[int, int] = {}
        self._left: list[tuple[str, int, int]] = []
        self.session_id, self._ordinal, self._batch, self._offset = "", 0, 0, 0
        self._round = 0

    def start(self) -> Step:
        """The next batch, of the next session when this one is over; each fiftieth attempt fails."""
        step: Step = []
        if self._batch == self._length or not self._ordinal:
            step += self._next_session()
        started = self._started(1)
        if self._batch % 50 != 49:
            return [*step, (self.session_id, [started])]
        failed = BatchFailed(batch=self._batch, attempt=1, reason="ffmpeg ended with exit code 1", exit_code=1)
        return [*step, (self.session_id, [started, failed, self._started(2)])]

    def complete(self, position: int, at: int, uptime: Uptime) -> Step:
        """It ends well, at this position of the log, and the playlist shows it."""
        first = self._batch * BATCH_SIZE
        files = tuple(self._file(number, at) for number in range(first, first + BATCH_SIZE))
        self._completed_at[self._batch] = position
        shown_from = max(0, first - BATCH_SIZE)
        shown = PlaylistPublished(
            first_segment=shown_from,
            last_segment=first + BATCH_SIZE - 1,
            duration_ms=(first + BATCH_SIZE - shown_from) * SEGMENT_MS,
            uptime=uptime,
        )
        attempt = 2 if self._batch % 50 == 49 else 1
        return [(self.session_id, [BatchCompleted(batch=self._batch, attempt=attempt, files=files), shown])]

    def purge(self) -> Step:
        """What the batch made due; the last round of each tenth channel leaves it to others."""
        self._round += 1
        number, self._batch = self._batch, self._batch + 1
        if self._late and self._round == self._rounds:
            return []
        position = self._completed_at[number]
        if self._left and number < 2:
            session_id, old, offset = self._left.pop(0)
            because = Because(
                rule="R19", completed_batch=number, completed_position=position, session_id=self.session_id
            )
            return [(session_id, self._gone(old, offset, because))]
        if number < 2:
            return []
        self._completed_at.pop(number - 2)
        because = Because(rule="R3", completed_batch=number, completed_position=position)
        return [(self.session_id, self._gone(number - 2, self._offset, because))]

    def _next_session(self) -> Step:
        step: Step = []
        if self._ordinal:
            closed = SessionClosed(reason="the next day", disposition=Disposition.PURGE)
            step.append((self.session_id, [closed]))
            self._left = [(self.session_id, old, self._offset) for old in (self._batch - 2, self._batch - 1)]
            self._offset += self._batch * BATCH_SIZE
        self._ordinal, self._batch = self._ordinal + 1, 0
        self._completed_at.clear()
        self.session_id = self._app.sessions.id_of(self.name, self._ordinal)
        opened = SessionOpened(
            channel=self.name,
            ordinal=self._ordinal,
            media_root=self._root,
            batch_size=BATCH_SIZE,
            renditions=(RENDITION,),
            naming=self._naming(self._offset),
            segment_ms=SEGMENT_MS,
            playlist_window=2 * BATCH_SIZE,
            policy=Policy(),
            discontinuities=max(0, self._ordinal - 2),
        )
        return [*step, (self.session_id, [opened])]

    def _started(self, attempt: int) -> BatchStarted:
        first = self._batch * BATCH_SIZE
        source = Source(label="bars and tone #1a2b3c4d", producer="studio", position="00:00:00.000")
        return BatchStarted(
            batch=self._batch,
            attempt=attempt,
            first_segment=first,
            last_segment=first + BATCH_SIZE - 1,
            source=source,
        )

    def _gone(self, batch: int, offset: int, because: Because) -> list[Event]:
        purge_id = self._app.ids.new()
        if self._round > self._rounds - REAL:
            for number in range(batch * BATCH_SIZE, (batch + 1) * BATCH_SIZE):
                (self._directory / file_name(self._naming(offset), RENDITION, number)).unlink(missing_ok=True)
        size = SIZE * BATCH_SIZE
        return [
            PurgeIssued(purge_id=purge_id, batch=batch, because=because, files=BATCH_SIZE, bytes=size),
            SegmentsPurged(purge_id=purge_id, batch=batch, deleted=BATCH_SIZE, bytes_freed=size),
        ]

    def _file(self, number: int, at: int) -> SegmentFile:
        name, mtime_ns, inode = file_name(self._naming(self._offset), RENDITION, number), at * 1000, 10_000 + number
        if self._round >= self._rounds - REAL:
            path = self._directory / name
            path.write_bytes(bytes(SIZE))
            found = path.stat()
            mtime_ns, inode = found.st_mtime_ns, found.st_ino
        return SegmentFile(
            rendition=RENDITION,
            number=number,
            name=name,
            size=SIZE,
            mtime_ns=mtime_ns,
            inode=inode,
            duration_ms=SEGMENT_MS,
        )

    def _naming(self, offset: int) -> Naming:
        return Naming(pattern=DEFAULT_PATTERN, wrap=DEFAULT_WRAP, offset=offset)


class _Appender:
    """Appends in the order in which they come; knows the position that the next event gets."""

    def __init__(self, app: App, start_at: int) -> None:
        self._writer, self._pending = writer_of(app.engine), list[Append]()
        self._versions: dict[str, int] = {}
        self._position, self._start_at, self._count = app.log.head(), start_at, 0

    @property
    def next_position(self) -> int:
        return self._position + 1

    @property
    def now(self) -> int:
        return self._start_at + self._position * EVERY_US

    def add(self, session_id: str, events: list[Event]) -> None:
        version = self._versions.get(session_id, 0)
        rows = []
        for what in events:
            self._position += 1
            version += 1
            rows.append(row_of(msgspec.structs.replace(an_envelope(session_id, version, what), recorded_at=self.now)))
        self._pending.append(Append(rows, self._versions.get(session_id, 0)))
        self._versions[session_id] = version
        self._count += len(rows)
        if self._count >= PER_COMMIT:
            self.flush()

    def close_stream(self, session_id: str) -> None:
        """Forget its version: nothing more comes."""
        self._versions.pop(session_id, None)

    def flush(self) -> None:
        if self._pending:
            answers = self._writer.commit(self._pending)
            assert None not in answers
            assert answers[0] == self._position - self._count, "we are the only writer"
        self._pending, self._count = [], 0


def row_of(envelope: Envelope) -> Row:
    """The row of an event, as `EventLog.append` makes it."""
    line, read = codec.encode(envelope)
    return (codec.id_bytes(read.event_id), codec.id_bytes(read.session_id), read.version, line, leaf_hash(line))


def fill(app: App, root: Path, events: int, channels: int, progress: Callable[[int], None] = lambda _: None) -> int:
    """Append about so many events of so many channels below a new media root, seal them, and write the playlists.

    Returns how many there are.
    """
    path = str(root)
    marker = app.files.adopt(path, Marker(store_id=app.log.store_id(), root_id=app.ids.new()))
    media_root = MediaRoot(path=path, root_id=marker.root_id, device=app.files.device(path))
    rounds = max(REAL + 1, events // (EVENTS_OF_BATCH * channels))
    fleet = [Channel(app, number, media_root, rounds) for number in range(channels)]
    for one in fleet:
        app.files.prepare(path, one.name, [RENDITION])
    now, uptime = app.clock.now(), app.clock.uptime()
    log = _Appender(app, now - rounds * channels * (EVENTS_OF_BATCH + 1) * EVERY_US)
    for _ in range(rounds):
        for step in _steps(fleet, log, now, uptime):
            for session_id, appended in step:
                log.add(session_id, appended)
        log.flush()
        progress(log.next_position - 1)
    for one in fleet:  # not by the publisher: it would look at all the sessions that each channel ever had
        shown = media_playlist(app.sessions.load(one.session_id), RENDITION)
        app.playlists.publish(path, one.name, [shown], [])
    app.sealer.catch_up()
    return app.log.head()


def _steps(fleet: list[Channel], log: _Appender, now: int, uptime: Uptime) -> Iterator[Step]:
    for channel in fleet:
        yield channel.start()
    for channel in fleet:
        at = log.now
        then = Uptime(boot=uptime.boot, us=max(0, uptime.us - (now - at)))
        yield channel.complete(log.next_position, at, then)
    for channel in fleet:
        yield channel.purge()
