"""The orders that a session can be given. What they must know of clocks, ids and the disk arrives inside them."""

import msgspec

from domain.batch import Completion, Moment
from domain.events import (
    Disposition,
    FileIdentity,
    MediaRoot,
    Naming,
    Policy,
    RemainingFile,
    SegmentFile,
    Source,
    Uptime,
)


class _Command(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the commands."""


class OpenSession(_Command, frozen=True, kw_only=True):
    """Open the channel's session number ``ordinal``."""

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


class StartBatch(_Command, frozen=True, kw_only=True):
    """Start the session's next batch, or the failed one again.

    ``occupied`` are files (relative to the channel) that earlier sessions of the channel keep, each with the session's
    id; ``present`` are the files that already bear the batch's names on the disk.
    """

    source: Source
    present: tuple[FileIdentity, ...] = ()
    occupied: tuple[tuple[str, str], ...] = ()


class CompleteBatch(_Command, frozen=True, kw_only=True):
    """Record the running batch as completed: ``files`` were found, checked and synced."""

    batch: int
    files: tuple[SegmentFile, ...]


class FailBatch(_Command, frozen=True, kw_only=True):
    """Record the running batch as failed."""

    batch: int
    reason: str
    exit_code: int | None = None
    stderr_tail: str = ""
    files_left: tuple[str, ...] = ()


class RecordPlaylist(_Command, frozen=True, kw_only=True):
    """Record what the playlists on disk list now; ``uptime`` was read when they were there."""

    first_segment: int
    last_segment: int
    duration_ms: int
    uptime: Uptime | None = None


class Successor(_Command, frozen=True, kw_only=True):
    """What later sessions of the channel have done: how many batches they completed, when the first of their playlists
    replaced this session's (None if none did), and the newest of those batches with its session.
    """

    completed: int = 0
    published: Moment | None = None
    session_id: str | None = None
    newest: Completion | None = None


class IssuePurge(_Command, frozen=True, kw_only=True):
    """Authorise the deletion of a batch, at the time ``now``; waits are measured by ``uptime``.

    ``absent`` and ``changed`` are those of its files that are gone, or are not what BatchCompleted recorded.
    ``confirmed`` is the hash of the plan that an operator confirms.
    """

    batch: int
    purge_id: str
    now: int
    uptime: Uptime | None = None
    successor: Successor = Successor()
    absent: tuple[str, ...] = ()
    changed: tuple[FileIdentity, ...] = ()
    confirmed: str | None = None


class RecordPurge(_Command, frozen=True, kw_only=True):
    """Record what an attempt at an authorised purge did; with ``remaining`` files it is to be tried at ``retry_at``."""

    batch: int
    deleted: int
    bytes_freed: int
    already_absent: tuple[str, ...] = ()
    superseded: tuple[FileIdentity, ...] = ()
    remaining: tuple[RemainingFile, ...] = ()
    retry_at: int = 0


class RecordLoss(_Command, frozen=True, kw_only=True):
    """Take note that files of a kept batch are gone."""

    batch: int
    files: tuple[str, ...]
    reason: str = ""


class CondemnOrphans(_Command, frozen=True, kw_only=True):
    """Authorise the deletion of files of the channel that no event explains."""

    removal_id: str
    files: tuple[FileIdentity, ...]
    reason: str = ""


class RecordRemoval(_Command, frozen=True, kw_only=True):
    """Record what became of the condemned orphans."""

    deleted: int
    bytes_freed: int
    already_absent: tuple[str, ...] = ()
    superseded: tuple[FileIdentity, ...] = ()
    remaining: tuple[RemainingFile, ...] = ()


class CloseSession(_Command, frozen=True, kw_only=True):
    """Close the session, or settle anew what becomes of the batches of a closed one."""

    reason: str
    disposition: Disposition


Command = (
    OpenSession
    | StartBatch
    | CompleteBatch
    | FailBatch
    | RecordPlaylist
    | IssuePurge
    | RecordPurge
    | RecordLoss
    | CondemnOrphans
    | RecordRemoval
    | CloseSession
)
