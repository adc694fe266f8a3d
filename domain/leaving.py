"""How completed batches leave: out of the playlists, then by a purge. Folded into the session's state."""

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from domain.batch import Batch, Moment, Purge, Refusal, longest_possible_ms
from domain.events import PlaylistPublished, PurgeFailed, PurgeIssued, PurgeRefused, Recorded, SegmentsPurged
from domain.lifecycle import BATCH_MOVES, BatchState, Trigger
from domain.segments import batch_numbers, identity_of

if TYPE_CHECKING:
    from domain.session import Session


def published(session: "Session", recorded: Recorded, event: PlaylistPublished) -> dict[str, Any]:
    """What a playlist lists, what left it, and since when (R13)."""
    now, size = Moment(recorded.envelope.recorded_at, event.uptime), session.terms.batch_size
    batches: dict[int, Batch] = {}
    missed_ms = 0
    if event.last_segment - (session.published[1] if session.published else -1) > size:
        # A playlist in between was written and not recorded: there was a crash, or a flush or the database failed.
        missed_ms = longest_possible_ms(session.batches.values(), session.terms.playlist_window)
    for number, batch in session.batches.items():
        if batch.completed is None:
            continue
        numbers = batch_numbers(number, size)
        if numbers[0] <= event.last_segment and event.first_segment <= numbers[-1]:
            batches[number] = replace(
                batch, listed=True, longest_ms=max(batch.longest_ms, event.duration_ms, missed_ms), left=None
            )
        elif numbers[-1] < event.first_segment and batch.left is None:
            batches[number] = replace(batch, listed=False, longest_ms=max(batch.longest_ms, missed_ms), left=now)
    return {
        "batches": batches,
        "published": (event.first_segment, event.last_segment),
        "first_published": session.first_published or now,
    }


def missed_ms(session: "Session") -> int:
    """How long the session's last playlist may have been, if it was perhaps written and is not recorded."""
    terms = session.terms
    if session.published and session.published[1] == session.next_batch * terms.batch_size - 1:
        return 0
    return longest_possible_ms(session.batches.values(), terms.playlist_window)


def purge_issued(session: "Session", recorded: Recorded, event: PurgeIssued) -> dict[str, Any]:
    """The batch is being purged."""
    envelope, before = recorded.envelope, session.batches[event.batch]
    purge = Purge(
        purge_id=event.purge_id,
        event_id=envelope.event_id,
        correlation_id=envelope.correlation_id,
        because=event.because,
        issued_at=envelope.recorded_at,
        files=tuple(map(identity_of, before.files)),
    )
    batch = replace(before, state=BATCH_MOVES[before.state, Trigger.ISSUE_PURGE], purge=purge, refusal=None)
    return {"batches": {event.batch: batch}}


def purge_refused(session: "Session", recorded: Recorded, event: PurgeRefused) -> dict[str, Any]:
    """The batch waits for a person."""
    batch = replace(session.batches[event.batch], refusal=Refusal(plan=event.plan, matching=event.matching))
    return {"batches": {event.batch: batch}}


def purge_failed(session: "Session", recorded: Recorded, event: PurgeFailed) -> dict[str, Any]:
    """Less remains to be purged, at a later time."""
    before = session.batches[event.batch]
    assert before.purge is not None
    left = {remaining.name for remaining in event.remaining}
    purge = replace(
        before.purge,
        files=tuple(file for file in before.purge.files if file.file in left),
        attempt=event.attempt + 1,
        retry_at=event.retry_at,
    )
    batch = replace(before, state=BATCH_MOVES[before.state, Trigger.PURGE_FAILED], purge=purge)
    return {"batches": {event.batch: batch}}


def purged(session: "Session", recorded: Recorded, event: SegmentsPurged) -> dict[str, Any]:
    """The batch leaves the state."""
    assert BATCH_MOVES[session.batches[event.batch].state, Trigger.PURGED] is BatchState.PURGED
    return {"batches": {event.batch: None}, "purged": session.purged + 1}
