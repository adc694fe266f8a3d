"""Repairs that an operator orders: decided, and folded into the session's state.

What is lost is taken note of; what nobody explains is deleted by authorisation and outcome, as a purge is (R10).
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from domain.batch import Removal
from domain.errors import Refused
from domain.events import Event, FileIdentity, OrphansCondemned, OrphansRemoved, Recorded, SegmentsLost
from domain.leaving import missed_ms
from domain.lifecycle import BatchState
from domain.segments import (
    batch_numbers,
    check_below,
    check_deletable,
    check_inside,
    expected_files,
    identity_of,
    relative_file,
)

if TYPE_CHECKING:
    from domain.commands import CondemnOrphans, RecordLoss, RecordRemoval
    from domain.session import Session


def record_loss(session: "Session", command: "RecordLoss") -> tuple[Event, ...]:
    """SegmentsLost, for files of a batch that no purge is authorised for."""
    batch = session.batches.get(command.batch)
    if batch is None or batch.state is not BatchState.COMPLETED:
        raise Refused("R20", "batch", command.batch, "it keeps no files")
    known = {relative_file(file.rendition, file.name): identity_of(file) for file in batch.files}
    for file in command.files:
        if file not in known:
            raise Refused("R20", "file", file, f"batch {batch.number} does not keep it")
    lost = tuple(known[file] for file in command.files)
    return (SegmentsLost(batch=batch.number, files=lost, reason=command.reason),) if lost else ()


def condemn_orphans(session: "Session", command: "CondemnOrphans") -> tuple[Event, ...]:
    """OrphansCondemned, unless a batch of the session needs one of the files (R2), or a removal is under way (R6).

    Raises:
        Refused: that is so.
        Invalid: one is not below the channel's directory, is hidden, or is a playlist (R8).

    """
    for file in command.files:
        check_below(file.file)
    check_removable(session, command.files)
    if not command.files:
        return ()
    return (OrphansCondemned(removal_id=command.removal_id, files=command.files, reason=command.reason),)


def check_removable(session: "Session", files: Iterable[FileIdentity]) -> None:
    """Return if a removal of the files may be authorised now. Errors as `condemn_orphans`."""
    if session.removal is not None:
        raise Refused("R6", "removal", session.removal.removal_id, "it has no outcome yet; finish it first")
    needed = {identity_of(file).file for batch in session.batches.values() for file in batch.files}
    if (running := session.running) is not None:
        terms = session.terms
        numbers = batch_numbers(running.number, terms.batch_size)
        needed |= {one.file for one in expected_files(terms.naming, terms.renditions, numbers)}
    for file in files:
        check_deletable(check_inside(file.file))
        if file.file in needed:
            raise Refused("R2", "file", file.file, "a batch of the session needs it; it is no orphan")


def record_removal(session: "Session", command: "RecordRemoval") -> tuple[Event, ...]:
    """OrphansRemoved, for the removal that is under way."""
    if session.removal is None:
        raise Refused("R10", "session", session.session_id, "no removal of orphans is authorised and open")
    return (
        OrphansRemoved(
            removal_id=session.removal.removal_id,
            deleted=command.deleted,
            bytes_freed=command.bytes_freed,
            already_absent=command.already_absent,
            superseded=command.superseded,
            remaining=command.remaining,
        ),
    )


def lost(session: "Session", recorded: Recorded, event: SegmentsLost) -> dict[str, Any]:
    """The batch without the files; what it was refused for may hold no longer, so that is looked at again.

    What comes to be published is shorter for it. A playlist from before may have been written, and is not recorded.
    """
    missed = missed_ms(session)
    batches = {
        number: replace(batch, longest_ms=missed)
        for number, batch in session.batches.items()
        if batch.completed and batch.left is None and batch.longest_ms < missed
    }
    before = batches.get(event.batch, session.batches[event.batch])
    files = tuple(file for file in before.files if identity_of(file) not in event.files)
    batch = replace(before, files=files, bytes=sum(file.size for file in files), refusal=None)
    return {"batches": {**batches, event.batch: batch}}


def condemned(session: "Session", recorded: Recorded, event: OrphansCondemned) -> dict[str, Any]:
    """A removal is under way."""
    envelope = recorded.envelope
    return {
        "removal": Removal(
            removal_id=event.removal_id,
            event_id=envelope.event_id,
            correlation_id=envelope.correlation_id,
            files=event.files,
        )
    }


def removed(session: "Session", recorded: Recorded, event: OrphansRemoved) -> dict[str, Any]:
    """It is over."""
    return {"removal": None}
