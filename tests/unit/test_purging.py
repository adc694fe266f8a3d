"""What authorises a purge, what refuses it, and how its outcome is recorded."""

from typing import Any

import pytest

from domain.commands import IssuePurge, RecordPurge
from domain.decisions import decide
from domain.errors import Refused
from domain.events import (
    Because,
    Disposition,
    FileIdentity,
    Policy,
    PurgeFailed,
    PurgeIssued,
    PurgeRefused,
    RemainingFile,
    SegmentsPurged,
)
from domain.lifecycle import BatchState
from domain.plan import plan_hash
from domain.session import Session
from tests.builders import (
    NOW,
    SECOND,
    a_session,
    an_id,
    closed,
    failed,
    files_of,
    generated,
    identities_of,
    purge_failed,
    purged,
    purging,
    started,
)

LATER = NOW + 3600 * SECOND


def issue(batch: int, now: int = LATER) -> IssuePurge:
    return IssuePurge(batch=batch, purge_id=an_id(77), now=now)


def refused(session: Session, command: Any) -> Refused:
    with pytest.raises(Refused) as error:
        decide(session, command)
    return error.value


@pytest.mark.rule("R3", "R10")
def test_the_authorisation_says_which_batch_and_why_and_how_much() -> None:
    """R3, R10."""
    session = generated(a_session(renditions=("v", "a")), 3)
    files = files_of(session, 0)
    assert decide(session, issue(0)) == (
        PurgeIssued(
            purge_id=an_id(77),
            batch=0,
            because=Because(rule="R3", completed_batch=2, completed_position=session.version),
            files=4,
            bytes=sum(file.size for file in files),
        ),
    )


@pytest.mark.rule("R18", "R19")
def test_a_refused_purge_tells_what_was_found_and_its_plan_is_of_this_session() -> None:
    """R18, R19: so nobody confirms the same find in another session."""
    session = generated(a_session(5, batch_size=3), 3)
    found: dict[str, Any] = {
        "absent": ("v/v_segment_000.ts",),
        "changed": (FileIdentity(file="v/v_segment_001.ts", size=5, mtime_ns=6, inode=7),),
    }
    plan = plan_hash(session.session_id, session.batches[0], **found)
    command = IssuePurge(batch=0, purge_id=an_id(77), now=LATER, **found)
    assert decide(session, command) == (PurgeRefused(batch=0, matching=1, plan=plan, **found),)


@pytest.mark.rule("R3", "R4", "R6")
@pytest.mark.invariant(3)
@pytest.mark.parametrize(
    ("session", "batch", "rule", "reason"),
    [
        (generated(a_session(), 3), 1, "R3", "not due"),
        (generated(a_session(), 3), 2, "R3", "not due"),
        (generated(a_session(), 3), 3, "R3", "no such batch"),
        (generated(a_session(), 3), -1, "R3", "no such batch"),
        (started(generated(a_session(), 3)), 3, "R4", "generating"),
        (failed(started(generated(a_session(), 3))), 3, "R4", "failed"),
        (purging(generated(a_session(), 3), 0), 0, "R6", "purging"),
        (purge_failed(purging(generated(a_session(), 3), 0), 0, LATER), 0, "R6", "purging"),
        (purged(generated(a_session(), 3), 0), 0, "R6", "purged already"),
    ],
)
def test_a_batch_that_is_not_due_is_not_purged(session: Session, batch: int, rule: str, reason: str) -> None:
    """R3, R4, R6: the refusal names the batch and the rule."""
    error = refused(session, issue(batch))
    assert (error.rule, error.field, error.value) == (rule, "batch", batch)
    assert reason in error.reason


@pytest.mark.rule("R6")
def test_a_purge_covers_every_rendition_and_has_one_outcome() -> None:
    """R6: all files of the batch, then nothing more."""
    session = purging(generated(a_session(renditions=("v", "a")), 3), 0)
    purge = session.batches[0].purge
    assert purge is not None
    assert purge.files == identities_of(files_of(session, 0))
    assert (purge.attempt, purge.retry_at) == (1, 0)
    session = purged(session, 0)
    assert 0 not in session.batches
    assert session.purged == 1
    assert refused(session, RecordPurge(batch=0, deleted=1, bytes_freed=1)).rule == "R10"


@pytest.mark.rule("R10")
@pytest.mark.invariant(1)
@pytest.mark.parametrize("batch", [0, 2, 5])
def test_no_deletion_is_recorded_that_was_not_authorised(batch: int) -> None:
    """R10."""
    error = refused(generated(a_session(), 3), RecordPurge(batch=batch, deleted=2, bytes_freed=10))
    assert (error.rule, error.field, error.value) == ("R10", "batch", batch)


@pytest.mark.rule("R7", "R11")
def test_missing_and_replaced_files_are_part_of_the_outcome() -> None:
    """R7, R11: and the purge is over with them."""
    session = purging(generated(a_session(), 3), 0)
    other = FileIdentity(file="v/v_segment_001.ts", size=5, mtime_ns=6, inode=7)
    command = RecordPurge(
        batch=0, deleted=0, bytes_freed=0, already_absent=("v/v_segment_000.ts",), superseded=(other,)
    )
    assert decide(session, command) == (
        SegmentsPurged(
            purge_id=an_id(9000),
            batch=0,
            deleted=0,
            bytes_freed=0,
            already_absent=("v/v_segment_000.ts",),
            superseded=(other,),
        ),
    )


@pytest.mark.rule("R7")
def test_a_purge_that_left_files_goes_on_with_those_alone() -> None:
    """R7: a permission error is an outcome of the attempt; the next one has its number and its time."""
    session = purging(generated(a_session(), 3), 0)
    left = (RemainingFile(name="v/v_segment_000.ts", errno="EACCES"),)
    command = RecordPurge(batch=0, deleted=1, bytes_freed=1001, remaining=left, retry_at=LATER)
    assert decide(session, command) == (
        PurgeFailed(
            purge_id=an_id(9000), batch=0, attempt=1, remaining=left, retry_at=LATER, deleted=1, bytes_freed=1001
        ),
    )
    session = purge_failed(session, 0, retry_at=LATER)
    purge = session.batches[0].purge
    assert purge is not None
    assert [file.file for file in purge.files] == ["v/v_segment_000.ts"]
    assert (purge.attempt, purge.retry_at) == (2, LATER)
    assert session.batches[0].state is BatchState.PURGING
    (event,) = decide(session, command)
    assert isinstance(event, PurgeFailed)
    assert event.attempt == 2


@pytest.mark.rule("R7", "R11")
def test_an_attempt_that_left_files_tells_also_of_the_missing_and_the_replaced() -> None:
    """R7, R11: the next attempt is for the remaining files alone, and will not see the others."""
    session = purging(generated(a_session(batch_size=3), 3), 0)
    other = FileIdentity(file="v/v_segment_001.ts", size=5, mtime_ns=6, inode=7)
    command = RecordPurge(
        batch=0,
        deleted=0,
        bytes_freed=0,
        already_absent=("v/v_segment_000.ts",),
        superseded=(other,),
        remaining=(RemainingFile(name="v/v_segment_002.ts", errno="EACCES"),),
        retry_at=LATER,
    )
    (event,) = decide(session, command)
    assert isinstance(event, PurgeFailed)
    assert (event.already_absent, event.superseded) == (command.already_absent, command.superseded)


@pytest.mark.rule("R7")
def test_a_failing_purge_stops_neither_the_next_batch_nor_the_next_purge() -> None:
    """R7."""
    session = purge_failed(purging(generated(a_session(), 3), 0), 0, retry_at=LATER)
    session = generated(session, 1)
    assert decide(session, issue(1))
    session = purged(session, 1)
    assert session.batches.keys() == {0, 2, 3}


@pytest.mark.rule("R16")
def test_an_open_purge_knows_its_authorisation() -> None:
    """R16: the outcome will be caused by it, and is of the same correlation."""
    session = generated(a_session(), 3)
    session = purging(session, 0, event_id=an_id(5), correlation_id=an_id(6))
    purge = session.batches[0].purge
    assert purge is not None
    assert (purge.event_id, purge.correlation_id) == (an_id(5), an_id(6))
    assert purge.because == Because(rule="R3", completed_batch=2, completed_position=1)


@pytest.mark.rule("R2", "R3")
def test_a_longer_memory_makes_a_batch_due_later() -> None:
    """R2, R3: with keep_previous = 2 it is N-3 that goes."""
    policy = Policy(keep_previous=2, availability=a_session().terms.policy.availability)
    session = generated(a_session(policy=policy), 4)
    assert refused(session, issue(1)).rule == "R3"
    (event,) = decide(session, issue(0))
    assert isinstance(event, PurgeIssued)
    assert event.because.completed_batch == 3


@pytest.mark.rule("R20")
def test_a_session_whose_batches_are_kept_has_nothing_to_purge() -> None:
    """R20: settled by an operator, and changed by one alone."""
    session = closed(generated(a_session(), 4), Disposition.KEEP)
    assert refused(session, issue(0)).reason == "it is not due"
    assert decide(closed(session, Disposition.PURGE), issue(0))
