"""The decisions about purges: what is authorised, what is refused, and what an attempt came to."""

from domain import retention
from domain.batch import Batch, Moment
from domain.commands import IssuePurge, RecordPurge
from domain.errors import Refused
from domain.events import Event, PurgeFailed, PurgeIssued, PurgeRefused, SegmentsPurged
from domain.lifecycle import BATCH_MOVES, BatchState, Trigger
from domain.plan import plan_hash, too_few
from domain.retention import Due
from domain.session import Session


def issue_purge(session: Session, command: IssuePurge) -> tuple[Event, ...]:
    """PurgeIssued; or PurgeRefused, if too few of the files are what they should be and nobody confirmed it."""
    batch, due = _due_batch(session, command)
    plan = plan_hash(session.session_id, batch, command.absent, command.changed)
    few = too_few(batch, command.absent, command.changed)
    waits_for = batch.refusal.plan if batch.refusal else None
    if command.confirmed != waits_for:
        raise _unconfirmed(command, waits_for)
    if few and command.confirmed != plan:
        return (
            PurgeRefused(
                batch=batch.number,
                matching=len(batch.files) - len(command.absent) - len(command.changed),
                absent=command.absent,
                changed=command.changed,
                plan=plan,
            ),
        )
    assert due.because is not None
    return (
        PurgeIssued(
            purge_id=command.purge_id,
            batch=batch.number,
            because=due.because,
            files=len(batch.files),
            bytes=batch.bytes,
            confirmed=command.confirmed,
        ),
    )


def record_purge(session: Session, command: RecordPurge) -> tuple[Event, ...]:
    """SegmentsPurged; or PurgeFailed, if files remain."""
    batch = session.batches.get(command.batch)
    if batch is None or batch.purge is None:
        raise Refused("R10", "batch", command.batch, "no purge of it is authorised and open")
    if command.remaining:
        return (
            PurgeFailed(
                purge_id=batch.purge.purge_id,
                batch=batch.number,
                attempt=batch.purge.attempt,
                remaining=command.remaining,
                retry_at=command.retry_at,
                deleted=command.deleted,
                bytes_freed=command.bytes_freed,
                already_absent=command.already_absent,
                superseded=command.superseded,
            ),
        )
    return (
        SegmentsPurged(
            purge_id=batch.purge.purge_id,
            batch=batch.number,
            deleted=command.deleted,
            bytes_freed=command.bytes_freed,
            already_absent=command.already_absent,
            superseded=command.superseded,
        ),
    )


def _due_batch(session: Session, command: IssuePurge) -> tuple[Batch, Due]:
    batch = session.batches.get(command.batch)
    if batch is None and 0 <= command.batch < session.next_batch:
        raise Refused("R6", "batch", command.batch, "it is purged already")
    if batch is None:
        raise Refused("R3", "batch", command.batch, "the session has no such batch")
    if (batch.state, Trigger.ISSUE_PURGE) not in BATCH_MOVES:
        rule = "R6" if batch.state is BatchState.PURGING else "R4"
        raise Refused(rule, "batch", command.batch, f"it is {batch.state}")
    due = next((due for due in retention.due(session, command.successor) if due.batch == command.batch), None)
    if due is None:
        raise Refused("R3", "batch", command.batch, "it is not due")
    due_at = due.by(Moment(command.now, command.uptime))
    if due.because is None or due_at is None:
        rule = "R13" if due.because else "R19"
        raise Refused(rule, "batch", command.batch, f"it is not due yet: {due.waits_for}")
    if command.now < due_at:
        raise Refused("R13", "batch", command.batch, f"it is due in {(due_at - command.now) / 1e6:.3f} s")
    return batch, due


def _unconfirmed(command: IssuePurge, waits_for: str | None) -> Refused:
    if command.confirmed is None:
        return Refused("R19", "batch", command.batch, f"its purge was refused and waits for plan {waits_for}")
    return Refused("R18", "plan", command.confirmed, "it is not, or not any more, the plan that the batch waits for")
