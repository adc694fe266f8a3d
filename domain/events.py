"""The facts that Trailkeep records: one frozen struct each, a closed union, and the envelope around them.

Times are whole microseconds since the epoch, UTC; durations whole milliseconds; sizes bytes. There are no floats.
"""

from enum import StrEnum

import msgspec


class Availability(StrEnum):
    """How long a segment stays after it left the playlist (R13)."""

    RFC8216 = "rfc8216"
    OFF = "off"


class Disposition(StrEnum):
    """What becomes of the batches of a closed session."""

    KEEP = "keep"
    PURGE = "purge"


class _Fact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all that stands in an event's ``data``."""


class Suspicion(StrEnum):
    """Why a media root is not trusted (R17). What can be seen ends when it is seen no more, a failed flush does not."""

    ABSENT = "absent"
    FOREIGN = "foreign"
    DEVICE = "device"
    FLUSH = "flush"


class MediaRoot(_Fact, frozen=True, kw_only=True):
    """A directory that holds channels: its path, the id in its marker file, and the filesystem that it is on (R17)."""

    path: str
    root_id: str
    device: str = ""


class Naming(_Fact, frozen=True, kw_only=True):
    """How a segment's number becomes a file name.

    ``pattern`` has ``{rendition}`` and one printf-style integer such as ``%03d``. ``wrap`` is how many numbers there
    are before names are used again, 0 for never. ``offset`` is added to the segment's number before it is wrapped: the
    sessions of one channel follow each other in names and in media sequence numbers.
    """

    pattern: str
    wrap: int
    offset: int = 0


class Policy(_Fact, frozen=True, kw_only=True):
    """What a session promises: how many finished batches stay beside the newest one, and for how long after."""

    keep_previous: int = 1
    availability: Availability = Availability.RFC8216

    def __str__(self) -> str:
        """The form that stands in every event's envelope (R16)."""
        return f"keep_previous={self.keep_previous} availability={self.availability}"


class Source(_Fact, frozen=True, kw_only=True):
    """What a batch was made from.

    ``label`` names the material and the encoder settings; where it changes from one batch to the next, the playlist has
    a discontinuity. ``position`` tells where in the material the batch begins, in words of the encoder.
    """

    label: str
    producer: str
    position: str = ""


class FileIdentity(_Fact, frozen=True, kw_only=True):
    """What a file is, beyond its name (R11). ``file`` is relative to the channel's directory."""

    file: str
    size: int
    mtime_ns: int
    inode: int


class SegmentFile(_Fact, frozen=True, kw_only=True):
    """One segment of a completed batch in one rendition, as it was verified."""

    rendition: str
    number: int
    name: str
    size: int
    mtime_ns: int
    inode: int
    duration_ms: int


class Because(_Fact, frozen=True, kw_only=True):
    """Why a batch went: the rule and the completed batch that made it due.

    ``session_id`` is there when that batch is of a later session of the channel.
    """

    rule: str
    completed_batch: int
    completed_position: int
    session_id: str | None = None


class RemainingFile(_Fact, frozen=True, kw_only=True):
    """A file that could not be deleted, and the symbolic error number, for example ``EACCES``."""

    name: str
    errno: str


class SessionOpened(_Fact, frozen=True, kw_only=True):
    """A run of a channel began. ``ordinal`` counts the sessions of the channel from 1.

    ``discontinuities`` counts those of the sessions before it (RFC 8216 section 4.3.3.3).
    """

    channel: str
    ordinal: int
    media_root: MediaRoot
    batch_size: int
    renditions: tuple[str, ...]
    naming: Naming
    segment_ms: int
    playlist_window: int
    policy: Policy
    discontinuities: int = 0


class BatchStarted(_Fact, frozen=True, kw_only=True):
    """An attempt at a batch began. ``present`` are files that bore its names before: they are not its work."""

    batch: int
    attempt: int
    first_segment: int
    last_segment: int
    source: Source
    present: tuple[FileIdentity, ...] = ()


class BatchCompleted(_Fact, frozen=True, kw_only=True):
    """Every file of the batch exists, is not empty, is synced to disk, and is recorded here (R9)."""

    batch: int
    attempt: int
    files: tuple[SegmentFile, ...]


class BatchFailed(_Fact, frozen=True, kw_only=True):
    """An attempt ended without a full batch; it makes nothing due (R4). ``files_left`` are relative to the channel."""

    batch: int
    attempt: int
    reason: str
    exit_code: int | None = None
    stderr_tail: str = ""
    files_left: tuple[str, ...] = ()


class Uptime(_Fact, frozen=True, kw_only=True):
    """How long the machine has been running since the start named ``boot``, in microseconds; sleep counts.

    Every process of the machine measures the same, and nobody can set it. ``host`` is what the machine calls itself; an
    event from before there were several has none.
    """

    boot: str
    us: int
    host: str = ""


class PlaylistPublished(_Fact, frozen=True, kw_only=True):
    """The playlists on disk list segments ``first_segment`` to ``last_segment``; the longest lasts ``duration_ms``.

    Recorded while availability is ``rfc8216``: the moment at which a segment leaves the playlist starts its wait (R13),
    which is measured from ``uptime``.
    The first playlist of a channel's second or later session is always recorded: what the one before it listed leaves.
    """

    first_segment: int
    last_segment: int
    duration_ms: int
    uptime: Uptime | None = None


class PurgeIssued(_Fact, frozen=True, kw_only=True):
    """The authorisation to delete one batch (R10). ``files`` and ``bytes`` are the counts of BatchCompleted.

    ``confirmed`` is the hash of the plan that a person confirmed after a PurgeRefused; None where none was needed.
    """

    purge_id: str
    batch: int
    because: Because
    files: int
    bytes: int
    confirmed: str | None = None


class PurgeRefused(_Fact, frozen=True, kw_only=True):
    """A due batch is not purged: fewer than half of its files are what BatchCompleted recorded (R18, R19).

    ``absent`` and ``changed`` are the others, as they were found. Who confirms ``plan``, a hash over all of it, has it
    purged as it was found.
    """

    batch: int
    matching: int
    absent: tuple[str, ...]
    changed: tuple[FileIdentity, ...]
    plan: str


class SegmentsPurged(_Fact, frozen=True, kw_only=True):
    """The outcome: the files are gone for good, or were gone already, or are no longer ours."""

    purge_id: str
    batch: int
    deleted: int
    bytes_freed: int
    already_absent: tuple[str, ...] = ()
    superseded: tuple[FileIdentity, ...] = ()


class PurgeFailed(_Fact, frozen=True, kw_only=True):
    """Some files could not be deleted; the purge goes on at ``retry_at``. The counts are of this attempt alone."""

    purge_id: str
    batch: int
    attempt: int
    remaining: tuple[RemainingFile, ...]
    retry_at: int
    deleted: int = 0
    bytes_freed: int = 0
    already_absent: tuple[str, ...] = ()
    superseded: tuple[FileIdentity, ...] = ()


class SegmentsLost(_Fact, frozen=True, kw_only=True):
    """Files of a kept batch are gone, nobody knows why, and an operator took note; ``files`` are what they were."""

    batch: int
    files: tuple[FileIdentity, ...]
    reason: str = ""


class OrphansCondemned(_Fact, frozen=True, kw_only=True):
    """An operator's authorisation to delete files of the channel that no event explains (R10)."""

    removal_id: str
    files: tuple[FileIdentity, ...]
    reason: str = ""


class OrphansRemoved(_Fact, frozen=True, kw_only=True):
    """The outcome. What could not be deleted is in ``remaining``; it stays an orphan."""

    removal_id: str
    deleted: int
    bytes_freed: int
    already_absent: tuple[str, ...] = ()
    superseded: tuple[FileIdentity, ...] = ()
    remaining: tuple[RemainingFile, ...] = ()


class RootSuspected(_Fact, frozen=True, kw_only=True):
    """A media root does not prove to be what the log knows: no batch starts and nothing is purged below it (R17).

    It is recorded in the root's own event stream, whose id is the root's.
    """

    root: MediaRoot
    suspicion: Suspicion
    reason: str


class RootTrusted(_Fact, frozen=True, kw_only=True):
    """The root is trusted again: an operator says so, or it proves itself again. It is on ``root.device`` now."""

    root: MediaRoot
    reason: str


class LostEvent(_Fact, frozen=True, kw_only=True):
    """An event that a journal tells of and the log does not have. ``channel`` is empty for one of a media root."""

    position: int
    event_id: str
    type: str
    channel: str
    batch: int | None = None


class LossAccepted(_Fact, frozen=True, kw_only=True):
    """An operator knows that the log lost these events, which the root's journal tells of, and wants it to go on."""

    root: MediaRoot
    events: tuple[LostEvent, ...]
    reason: str


class SessionClosed(_Fact, frozen=True, kw_only=True):
    """The run ended; or, for a session closed before, what becomes of its batches was settled anew."""

    reason: str
    disposition: Disposition


Event = (
    SessionOpened
    | BatchStarted
    | BatchCompleted
    | BatchFailed
    | PlaylistPublished
    | PurgeIssued
    | PurgeRefused
    | SegmentsPurged
    | PurgeFailed
    | SegmentsLost
    | OrphansCondemned
    | OrphansRemoved
    | RootSuspected
    | RootTrusted
    | LossAccepted
    | SessionClosed
)

OF_ROOTS = (RootSuspected, RootTrusted, LossAccepted)
"""The events of a media root's own stream; all others are a session's."""

EVENT_TYPES: dict[str, type[Event]] = {kind.__name__: kind for kind in Event.__args__}

SCHEMA = 1
"""The schema number of the events as this module defines them; older ones are upcast when they are read."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """An event with who, when, why and under which policy (R16): what becomes one line of JSON.

    ``version`` counts the session's events from 1. ``causation_id`` is the event id that led to this one, None when a
    person or a clock did. Events that follow from one another share a ``correlation_id``.
    """

    event_id: str
    session_id: str
    version: int
    recorded_at: int
    actor: str
    worker: str
    correlation_id: str
    causation_id: str | None
    policy: str
    schema: int
    event: Event


class Recorded(msgspec.Struct, frozen=True):
    """An envelope at its place in the log. Positions are gapless from 1 and in the order of commit (R15)."""

    position: int
    envelope: Envelope

    @property
    def event(self) -> Event:
        """The fact itself."""
        return self.envelope.event
