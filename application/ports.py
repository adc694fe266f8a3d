"""What the application needs of the world: one Protocol a port. Adapters live in persistence/ and media/."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from domain.events import Envelope, FileIdentity, Recorded, RemainingFile, Uptime
from domain.segments import ExpectedFile
from domain.session import Session


class Clock(Protocol):
    """The time. Availability is measured by uptime; of what a purge does, the wall clock decides the back-off alone."""

    def now(self) -> int:
        """The wall clock: microseconds since the epoch, UTC. It may be set, in either direction."""
        ...

    def uptime(self) -> Uptime:
        """How long the machine has been running: the same for all of its processes, and not to be set."""
        ...


class IdSource(Protocol):
    """Fresh ids."""

    def new(self) -> str:
        """A UUIDv7 (RFC 9562 section 5.7) in its canonical text form."""
        ...

    def derive(self, namespace: str, name: str) -> str:
        """The UUIDv5 of a name in a namespace, itself a UUID (RFC 9562 section 5.5): the same again each time."""
        ...


class LogLine(msgspec.Struct, frozen=True):
    """An event as it is stored: the verbatim line, its leaf hash (RFC 9162 section 2.1.1) and the derived columns."""

    position: int
    line: bytes
    leaf_hash: bytes
    event_id: str
    session_id: str
    version: int


class Share(msgspec.Struct, frozen=True):
    """One of ``of`` shares of a log, counted from 0. Each session is in one of them."""

    number: int
    of: int

    def has(self, session: bytes) -> bool:
        """Whether the session with an id of these 16 bytes is in it."""
        return session[-1] % self.of == self.number


class OtherLine(msgspec.Struct, frozen=True):
    """What is told of a stored line to who reads another share: that it is there, and the hash beside it."""

    position: int
    leaf_hash: bytes


class Fence(msgspec.Struct, frozen=True):
    """What must hold in the transaction that records an outcome: the resource's lease still has this epoch."""

    resource: str
    epoch: int


class Draft(msgspec.Struct, frozen=True):
    """What is to be appended to one session: see `EventLog.append`."""

    envelopes: Sequence[Envelope]
    expected_version: int
    fence: Fence | None = None


class EventLog(Protocol):
    """The append-only log. Positions are gapless from 1, in the order of commit (R15)."""

    def append(
        self, envelopes: Sequence[Envelope], *, expected_version: int, fence: Fence | None = None
    ) -> tuple[Recorded, ...]:
        """Append the events of one session, durably and all or none, and return them with their positions.

        An event whose id and line the log holds already is not appended again: its first position is returned.

        Raises:
            ConcurrencyConflict: the session is not at ``expected_version``.
            EventIdConflict: one of the ids is taken by other content.
            LeaseLost: the ``fence`` does not hold: another worker took the work over.
            StoreUnavailable: nothing was appended.

        """
        ...

    def append_each(self, drafts: Sequence[Draft]) -> list[tuple[Recorded, ...] | None]:
        """Append drafts of different sessions, durably, in one transaction; the answer to each, in their order.

        None for a draft that was left out, and is not recorded; `append` tells why.

        Raises:
            StoreUnavailable: nobody can tell what was recorded. Who decides anew finds it in the log.

        """
        ...

    def read_session(self, session_id: str, *, after_version: int = 0) -> Iterator[Recorded]:
        """The session's events after a version, in order.

        Raises:
            LogDamaged: an event cannot be read, or a version is missing.

        """
        ...

    def version_of(self, session_id: str) -> int:
        """The version of the session's newest event; 0 if the log knows none. Nothing is read or checked."""
        ...

    def read_session_lines(self, session_id: str, *, after_version: int = 0, limit: int = 1000) -> list[LogLine]:
        """At most ``limit`` events of the session after a version, in order, as they are stored."""
        ...

    def read(self, *, after: int = 0, limit: int = 1000) -> list[Recorded]:
        """At most ``limit`` events after a position, in order.

        Raises:
            LogDamaged: an event cannot be read, or a position is missing.

        """
        ...

    def read_lines(self, *, after: int = 0, limit: int = 1000) -> list[LogLine]:
        """As `read`, but as stored: nothing is parsed or checked."""
        ...

    def read_share(self, share: Share, *, after: int = 0, limit: int = 1000) -> list[LogLine | OtherLine]:
        """As `read_lines`; lines of sessions outside the share are only counted. A damaged line is in every share."""
        ...

    def lines_at(self, positions: Iterable[int]) -> dict[int, LogLine]:
        """As `read_lines`, of the events at these positions; without those where there is none."""
        ...

    def examine(self, line: LogLine) -> Recorded:
        """Parse a stored line and compare it with its leaf hash and its derived columns.

        Raises:
            LogDamaged: they do not agree, or the line cannot be read.

        """
        ...

    def fault_of(self, line: LogLine) -> str | None:
        """Why `examine` would call a stored line damaged, as far as that can be told without parsing it."""
        ...

    def head(self) -> int:
        """The position of the newest event; 0 in an empty log."""
        ...

    def lines_of(self, event_ids: Iterable[str]) -> dict[str, LogLine]:
        """As `read_lines`, of the events with these ids; without those that the log does not hold."""
        ...

    def storage_faults(self) -> Iterator[str]:
        """What is wrong with the pages, indexes and guards that the log is stored in, whatever its lines say."""
        ...

    def incarnation(self) -> str:
        """Which server keeps the log, and which history of its own that server is on; the same for an embedded one.

        Where it changes the log may have failed over to another copy, or been put back.
        """
        ...

    def store_id(self) -> str:
        """The id that this store was given when it was made (R17)."""
        ...


class Snapshots(Protocol):
    """States of sessions, each as the log told it up to a version: a cache. Nothing changes when it is emptied."""

    def load(self, session_id: str) -> Session | None:
        """The newest state of the session that was kept and can be gone by.

        That is one that this very code folded, that is whole, and whose last event is in the log as it was then.
        """
        ...

    def save(self, session: Session) -> None:
        """Keep the state, in the place of an older one of the session."""
        ...

    def versions(self) -> dict[str, int]:
        """Which sessions have a state that was kept, and up to which version."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Who has a resource, or had it last, and until when. Times are microseconds since the epoch, by the database.

    The epoch grows by one each time that the resource changes hands. ``now`` is when this was told.
    """

    resource: str
    owner: str
    host: str
    epoch: int
    acquired_at: int
    expires_at: int
    now: int

    @property
    def live(self) -> bool:
        """Whether it has not run out."""
        return self.now < self.expires_at


class Leases(Protocol):
    """Who does what, where several hosts share a log. Time is that of the database alone."""

    def acquire(self, resource: str, owner: str, host: str, seconds: float, *, over: int | None = None) -> Lease:
        """Take the resource for ``owner`` if it is free, its lease ran out, or it is the owner's; tell who has it.

        In the epoch ``over`` it is taken also from somebody else, of whom it is known that he is gone.
        """
        ...

    def renew(self, held: Sequence[Fence], seconds: float) -> frozenset[Fence]:
        """Have these leases run for ``seconds`` from now, unless they were taken over; return those that still hold."""
        ...

    def release(self, held: Sequence[Fence]) -> None:
        """Let these leases run out now, unless they were taken over."""
        ...

    def find(self, resource: str) -> Lease | None:
        """The resource's lease, whether it ran out or not; None if nobody ever had it."""
        ...

    def all(self) -> list[Lease]:
        """Every lease, by resource."""
        ...


class Seal(msgspec.Struct, frozen=True):
    """The Merkle tree over the first ``size`` events: its frontier (the roots of its full subtrees, largest first)."""

    size: int = 0
    frontier: tuple[bytes, ...] = ()


class Seals(Protocol):
    """Where the sealer keeps its place: seal and checkpoint are one."""

    def load(self) -> Seal:
        """The newest seal; an empty one before the first.

        Raises:
            LogDamaged: size, frontier and root do not belong together.

        """
        ...

    def save(self, seal: Seal, root: bytes) -> None:
        """Replace it, durably."""
        ...


class AgendaItem(msgspec.Struct, frozen=True):
    """A batch that the retention projector has to look at: when, in microseconds; None until another event says."""

    session_id: str
    batch: int
    due_at: int | None


class Agenda(Protocol):
    """The retention projector's rows and checkpoint."""

    def checkpoint(self) -> int:
        """The position up to which the log is on the agenda."""
        ...

    def replace(self, items: Mapping[str, Sequence[AgendaItem]], *, checkpoint: int) -> None:
        """Put these sessions' items in the place of their old ones and move the checkpoint, in one transaction.

        The checkpoint may go back: what the items were not made of is read again.
        """
        ...

    def due(self, now: int) -> list[AgendaItem]:
        """The items that are due, oldest batches first within a session."""
        ...

    def next_due_at(self, after: int) -> int | None:
        """When the next item becomes due that is not due at ``after``; None if none has such a time."""
        ...

    def waiting(self) -> list[AgendaItem]:
        """The items that no time makes due, for they wait for something else; by session and batch."""
        ...

    def items(self) -> list[AgendaItem]:
        """Every item, due or not, by session and batch."""
        ...

    def clear(self) -> None:
        """Forget everything and go back to position 0: the log tells it again."""
        ...


class SessionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the read model of sessions. Times are microseconds since the epoch; None for not yet.

    ``bytes_kept`` are of completed batches whose purge is not authorised, ``bytes_freed`` of files that purges deleted.
    """

    session_id: str
    channel: str
    ordinal: int
    state: str
    root: str
    root_id: str
    opened_at: int
    closed_at: int | None
    version: int
    batches_completed: int
    batches_purged: int
    bytes_kept: int
    bytes_freed: int
    last_position: int


class BatchRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the batch ledger: a batch from its first start to its purge. The positions are of the events."""

    session_id: str
    batch: int
    state: str
    attempt: int
    first_segment: int
    last_segment: int
    files: int
    bytes: int
    started_at: int
    completed_at: int | None
    purge_issued_at: int | None
    purged_at: int | None
    because: str | None
    outcome: str | None
    positions: tuple[int, ...]


class ReadModels(Protocol):
    """Session summaries and the batch ledger. Never the authority; can be dropped and built again."""

    def checkpoint(self) -> int:
        """The position up to which the rows tell the log."""
        ...

    def apply(
        self, sessions: Sequence[SessionSummary], batches: Sequence[BatchRecord], *, after: int, checkpoint: int
    ) -> bool:
        """Insert or replace these rows and move the checkpoint from ``after``, in one transaction.

        Another projector may have moved it first: then the rows are stale, nothing is changed, and the answer is False.
        """
        ...

    def clear(self) -> None:
        """Remove all rows and go back to position 0."""
        ...

    def sessions(self, channel: str | None = None) -> list[SessionSummary]:
        """Summaries in the order in which the sessions were opened.

        Raises:
            ReadModelsDamaged: a row cannot be read.

        """
        ...

    def session(self, session_id: str) -> SessionSummary | None:
        """One summary."""
        ...

    def newest_on(self, root: str) -> str | None:
        """The id of the session that was opened last on the media root at this path."""
        ...

    def roots(self) -> list[tuple[str, str]]:
        """The media roots of all sessions, each place once: path and root id, in order."""
        ...

    def summaries(self, session_ids: Collection[str]) -> list[SessionSummary]:
        """The summaries of these sessions, in any order.

        Raises:
            ReadModelsDamaged: a row cannot be read.

        """
        ...

    def records(self, keys: Collection[tuple[str, int]]) -> list[BatchRecord]:
        """The ledger rows of these batches, by session and number, in any order.

        Raises:
            ReadModelsDamaged: a row cannot be read.

        """
        ...

    def batches(self, session_id: str, *, numbers: Sequence[int] | None = None) -> list[BatchRecord]:
        """Ledger rows by number; of these numbers only, if given.

        Raises:
            ReadModelsDamaged: a row cannot be read.

        """
        ...

    def ledger_sizes(self) -> dict[str, int]:
        """How many ledger rows there are, by session."""
        ...

    def ledger_numbers(self, session_id: str) -> list[int]:
        """The numbers of a session's ledger rows, in order."""
        ...


class FoundFile(msgspec.Struct, frozen=True):
    """A file that is there: its identity and whether it is a regular file."""

    identity: FileIdentity
    regular: bool


class Comparison(msgspec.Struct, frozen=True):
    """How a batch's files compare with what was recorded of them; those that cannot be looked at are in neither."""

    absent: tuple[str, ...] = ()
    changed: tuple[FileIdentity, ...] = ()


ChannelFiles = tuple[str, Sequence[FileIdentity]]
"""A channel, and files of it."""


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt to delete a batch's files did: every file is in exactly one of the four."""

    deleted: tuple[FileIdentity, ...] = ()
    already_absent: tuple[str, ...] = ()
    superseded: tuple[FileIdentity, ...] = ()
    remaining: tuple[RemainingFile, ...] = ()


class Marker(msgspec.Struct, frozen=True):
    """What the marker file of a media root says (R17)."""

    store_id: str
    root_id: str


class MediaFiles(Protocol):
    """The files below media roots. ``root`` is an absolute path; files are relative to the channel's directory.

    Nothing is ever opened through a symbolic link below the root.
    """

    def read_marker(self, root: str) -> Marker | None:
        """The root's marker; None if the root has none.

        Raises:
            RootSuspect: the root is missing, or its marker cannot be read or understood.

        """
        ...

    def adopt(self, root: str, marker: Marker) -> Marker:
        """Make the root directory and give it this marker, durably, where there is none; return the marker it has.

        Raises:
            RootSuspect: there is a marker that cannot be read or understood.

        """
        ...

    def mark(self, root: str, marker: Marker) -> None:
        """Give the root, which must be there, this marker in the place of any other, durably.

        Raises:
            RootSuspect: the root is missing, or the marker cannot be written.

        """
        ...

    def device(self, root: str) -> str:
        """What tells the filesystem that the root is on from another one.

        Raises:
            RootSuspect: the root is missing.

        """
        ...

    def staying(self, root: str) -> AbstractContextManager[None]:
        """Have all that this thread does below the root done on the disk that is there now, also if it is unmounted.

        Raises:
            RootSuspect: the root is missing.

        """
        ...

    def exclusive(self, root: str) -> AbstractContextManager[None]:
        """Hold the root against every other process and thread that purges or publishes in it.

        What this thread does below it meanwhile is done on the disk that is held: see `staying`.

        Raises:
            RootSuspect: the root is missing.

        """
        ...

    def producing(self, root: str, channel: str) -> AbstractContextManager[None]:
        """Hold the channel as its one producer; the hold ends with the process.

        Raises:
            Refused: another process produces it.

        """
        ...

    def prepare(self, root: str, channel: str, renditions: Sequence[str]) -> None:
        """Make the directories of a channel."""
        ...

    def find(self, root: str, channel: str, files: Sequence[str]) -> dict[str, FoundFile]:
        """Those of the files that exist, without following links."""
        ...

    def sync(self, root: str, channel: str, files: Sequence[str]) -> dict[str, FoundFile]:
        """Flush the files and their directories to disk and return what they are after that (R9).

        Files that do not exist or are not regular are not in the answer, or not flushed.
        """
        ...

    def compare(self, root: str, channel: str, files: Sequence[FileIdentity]) -> Comparison:
        """Look at the files and compare each with what was recorded of it; nothing is touched."""
        ...

    def delete_each(self, root: str, batches: Sequence[ChannelFiles]) -> list[Deletion]:
        """Delete those files that still are what they were, then flush every directory that held them (R10, R11).

        Each batch is given with its channel, and has its answer.

        Raises:
            RootSuspect: a directory could not be flushed: nothing may be recorded as gone.

        """
        ...

    def remove(self, root: str, channel: str, files: Sequence[FileIdentity]) -> Deletion:
        """`delete_each`, of files of one channel that are no segments: anywhere below its directory, but not hidden."""
        ...

    def removable(self, root: str, channel: str, files: Sequence[FileIdentity]) -> tuple[FileIdentity, ...]:
        """Those of the files that `remove` would delete: regular, unchanged, and with a name to call them by."""
        ...

    def list_files(self, root: str, channel: str) -> Iterator[FileIdentity]:
        """Every file below the channel's directory but playlists and hidden files."""
        ...

    def path(self, root: str, channel: str, file: str) -> str:
        """The absolute path of a file."""
        ...

    def free_bytes(self, root: str) -> int:
        """Bytes that an unprivileged process can still write below the root."""
        ...

    def try_writing(self, root: str, channel: str) -> None:
        """Write a block below the channel's directory and remove it again.

        Raises:
            RootUnavailable: the disk takes none.

        """
        ...


class JournalLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a media root's journal: an event that the log of this store had at this position.

    ``leaf_hash`` is hexadecimal; it is empty where only the event's id was at hand. ``channel`` is empty for an event
    of a media root, and ``batch`` None for one that is of no batch.
    """

    position: int
    leaf_hash: str
    event_id: str
    store_id: str
    session_id: str
    channel: str
    batch: int | None
    type: str
    recorded_at: int


class JournalPlace(msgspec.Struct, frozen=True):
    """Up to where a journal was read: which file it was, how it began, and how many bytes and lines were read."""

    inode: int = 0
    beginning: bytes = b""
    offset: int = 0
    lines: int = 0


BEGINNING = JournalPlace()


class Journals(Protocol):
    """The journals of media roots, one file below each: what the log was told to have, kept where the media are."""

    def read(self, root: str, after: JournalPlace = BEGINNING) -> tuple[list[JournalLine], JournalPlace]:
        """The lines after a place, and the place after them; all of them if it is another file by now.

        A root without a journal has no lines. A last line that a power cut tore is none.

        Raises:
            RootSuspect: the root is missing, or its journal cannot be read or understood.
            RootUnavailable: it cannot be read now.

        """
        ...

    def append(self, root: str, lines: Sequence[JournalLine]) -> None:
        """Write lines behind those that are there, durably, for one who holds the root; a torn line goes first.

        Raises:
            RootFull: there is no room for them; nothing was written.
            RootUnavailable: they cannot be written now.
            RootSuspect: they cannot be written, or not flushed.

        """
        ...

    def flush(self, root: str) -> None:
        """Make what is there durable, whoever wrote it: it may have died before it could.

        Raises:
            RootSuspect: it could not be flushed, or not be opened.

        """
        ...

    def shorten(self, root: str, keep: int) -> None:
        """Keep the newest lines alone, atomically and durably, for one who holds the root; errors as `append`."""
        ...


class PlaylistSegment(msgspec.Struct, frozen=True):
    """A segment as a media playlist lists it. ``program_at`` is in microseconds since the epoch."""

    name: str
    duration_ms: int
    program_at: int
    discontinuity: bool


class MediaPlaylist(msgspec.Struct, frozen=True, kw_only=True):
    """A media playlist of one rendition (RFC 8216 section 4.3.3). ``bandwidth`` is its peak in bits per second.

    ``next_sequence`` is the media sequence number of the segment that the log would have next, whether the newest ones
    are listed or were lost.
    """

    rendition: str
    target_duration_ms: int
    media_sequence: int
    discontinuity_sequence: int
    segments: tuple[PlaylistSegment, ...]
    bandwidth: int
    next_sequence: int = 0


class PlaylistDifference(msgspec.Struct, frozen=True):
    """How a playlist on disk is not what would be written; ``file`` is relative to the channel's directory.

    It lists the names ``absent``, whose files are not there, and the names ``unwanted``, which it should not list (any
    more); it does not list the names ``lacking``. Where none of these is the matter, ``reason`` tells.
    """

    file: str
    absent: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    reason: str = ""


class Shown(msgspec.Struct, frozen=True):
    """What a media playlist shows: its names, and the media sequence number that would come next."""

    names: tuple[str, ...]
    next_sequence: int


class Playlists(Protocol):
    """The playlists of a channel on disk."""

    def publish(
        self, root: str, channel: str, playlists: Sequence[MediaPlaylist], retired: Sequence[MediaPlaylist] = ()
    ) -> None:
        """Replace the media playlists and the master playlist, each atomically and durably; unchanged ones stay.

        ``retired`` are of renditions that the channel no longer has: the master playlist does not name them.
        """
        ...

    def differences(
        self, root: str, channel: str, playlists: Sequence[MediaPlaylist], retired: Sequence[str]
    ) -> tuple[PlaylistDifference, ...]:
        """What `publish` would change now; ``retired`` are the renditions whose playlists are to list nothing."""
        ...

    def shown(self, root: str, channel: str) -> dict[str, Shown]:
        """What the media playlists below the channel's directory show now, by rendition, whoever wrote them."""
        ...

    def listed(self, root: str, channel: str, rendition: str) -> tuple[str, ...] | None:
        """The names that the rendition's playlist lists now, durably; None if there is no playlist."""
        ...

    def find(self, root: str, channel: str, renditions: Sequence[str]) -> tuple[str, ...]:
        """Those of the channel's playlists that are there, relative to its directory; the master playlist is first."""
        ...


class EncodedSegment(msgspec.Struct, frozen=True):
    """A segment that the encoder closed, and how long it lasts."""

    rendition: str
    number: int
    duration_ms: int


class BatchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What an encoder is to make: the files of one batch, in this directory of the channel."""

    directory: str
    batch: int
    segment_ms: int
    renditions: tuple[str, ...]
    numbers: range
    files: tuple[ExpectedFile, ...]
    first_file_number: int
    pattern: str
    wrap: int


class Encoder(Protocol):
    """Makes the files of one batch."""

    def describe(self, batch: int, segments_before: int, segment_ms: int) -> tuple[str, str]:
        """Label and position of the material that the batch would be made from (see `Source`)."""
        ...

    def encode(
        self, plan: BatchPlan, stopped: Callable[[], bool], on_segment: Callable[[EncodedSegment], None]
    ) -> tuple[EncodedSegment, ...]:
        """Make the batch, calling ``on_segment`` for each segment as it is closed.

        Raises:
            EncoderFailed: it ended without a full batch, or ``stopped`` became true.

        """
        ...


class DurationProbe(Protocol):
    """Tells how long a segment that somebody else made lasts."""

    def duration_ms(self, path: str) -> int | None:
        """Milliseconds; None if the file is not media that can be measured."""
        ...


class Signal(Protocol):
    """Tells readers of the log that it grew; a lost signal costs only the timeout."""

    def notify(self) -> None:
        """The log grew."""
        ...

    def wait(self, timeout: float) -> None:
        """Return soon after the next `notify` (at once if one came since the last return), or after ``timeout``."""
        ...


SessionLoader = Callable[[str], Session]
