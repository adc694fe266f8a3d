"""Repairs that an operator orders: what may be noted as lost, what may be condemned, and what becomes of it."""

from typing import Any

import pytest
from msgspec.structs import replace

from domain import retention
from domain.commands import CondemnOrphans, IssuePurge, RecordLoss, RecordPurge, RecordRemoval
from domain.decisions import decide
from domain.errors import Refused
from domain.events import (
    Availability,
    FileIdentity,
    OrphansCondemned,
    OrphansRemoved,
    Policy,
    PurgeIssued,
    RemainingFile,
    SegmentsLost,
    SegmentsPurged,
)
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
    happened,
    identities_of,
    published,
    purge_refused,
    purged,
    purging,
    start_batch,
    started,
)

LATER = NOW + 3600 * SECOND
STRANGER = FileIdentity(file="v/left.ts", size=1, mtime_ns=2, inode=3)


def refused(session: Session, command: Any) -> Refused:
    with pytest.raises(Refused) as error:
        decide(session, command)
    return error.value


class TestLoss:
    """Files of a kept batch are gone, and an operator takes note."""

    @pytest.mark.rule("R16")
    def test_what_is_lost_is_recorded_as_it_was(self) -> None:
        """R16: with the identities, for nothing else will tell them any more."""
        session = generated(a_session(), 2)
        first, second = files_of(session, 0)
        command = RecordLoss(batch=0, files=("v/v_segment_001.ts",))
        assert decide(session, command) == (SegmentsLost(batch=0, files=identities_of([second])),)
        session = happened(session, SegmentsLost(batch=0, files=identities_of([second])))
        assert session.batches[0].files == (first,)
        assert session.batches[0].bytes == first.size
        assert session.batches[1].files == files_of(session, 1)

    def test_nothing_lost_is_nothing_to_note(self) -> None:
        assert decide(generated(a_session()), RecordLoss(batch=0, files=())) == ()

    @pytest.mark.rule("R20")
    @pytest.mark.parametrize(
        ("session", "batch"),
        [
            (generated(a_session(), 3), 3),
            (started(a_session()), 0),
            (failed(started(a_session())), 0),
            (purging(generated(a_session(), 3), 0), 0),
            (purged(generated(a_session(), 3), 0), 0),
        ],
        ids=["unknown", "generating", "failed", "purging", "purged"],
    )
    def test_only_a_batch_that_is_kept_can_lose_something(self, session: Session, batch: int) -> None:
        """R20: of a purge the outcome tells what was absent."""
        error = refused(session, RecordLoss(batch=batch, files=("v/v_segment_000.ts",)))
        assert (error.field, error.value, error.reason) == ("batch", batch, "it keeps no files")

    @pytest.mark.rule("R20")
    @pytest.mark.parametrize("file", ["v/v_segment_002.ts", "v_segment_000.ts", ""])
    def test_only_its_own_files_can_be_lost_and_once(self, file: str) -> None:
        """R20: all of the order or nothing."""
        session = generated(a_session(), 2)
        error = refused(session, RecordLoss(batch=0, files=("v/v_segment_000.ts", file)))
        assert (error.rule, error.field, error.value) == ("R20", "file", file)
        lost = happened(session, SegmentsLost(batch=0, files=identities_of(files_of(session, 0)[:1])))
        assert refused(lost, RecordLoss(batch=0, files=("v/v_segment_000.ts",))).value == "v/v_segment_000.ts"

    @pytest.mark.rule("R3", "R10")
    def test_the_purge_is_of_what_is_left(self) -> None:
        """R3, R10: it is due as before, and its counts are of the files that it is to delete."""
        session = generated(a_session(), 3)
        first, second = files_of(session, 0)
        session = happened(session, SegmentsLost(batch=0, files=identities_of([first])))
        (issued,) = decide(session, IssuePurge(batch=0, purge_id=an_id(7), now=LATER))
        assert isinstance(issued, PurgeIssued)
        assert (issued.files, issued.bytes) == (1, second.size)
        session = happened(session, issued)
        assert session.batches[0].purge is not None
        assert session.batches[0].purge.files == identities_of([second])

    @pytest.mark.rule("R6")
    def test_a_batch_that_lost_everything_is_still_purged(self) -> None:
        """R6: its purge has its outcome, though there is nothing to delete."""
        session = generated(a_session(), 3)
        session = happened(session, SegmentsLost(batch=0, files=identities_of(files_of(session, 0))))
        (due,) = retention.due(session)
        assert (due.batch, due.waits_for) == (0, "")
        (issued,) = decide(session, IssuePurge(batch=0, purge_id=an_id(7), now=LATER))
        assert isinstance(issued, PurgeIssued)
        assert (issued.files, issued.bytes) == (0, 0)
        session = happened(session, issued)
        (outcome,) = decide(session, RecordPurge(batch=0, deleted=0, bytes_freed=0))
        assert isinstance(outcome, SegmentsPurged)
        assert 0 not in happened(session, outcome).batches

    @pytest.mark.rule("R13")
    def test_a_batch_that_lost_everything_waits_for_the_longest_playlist_alone(self) -> None:
        """R13: no segment of it can be asked for any more, but its playlist can."""
        policy = Policy(availability=Availability.RFC8216)
        session = published(generated(a_session(policy=policy), 3), 0, 5)
        session = published(session, 2, 5)
        (before,) = retention.due(session)
        session = happened(session, SegmentsLost(batch=0, files=identities_of(files_of(session, 0))))
        (after,) = retention.due(session)
        assert before.due_at is not None
        assert after.due_at == before.due_at - 2 * SECOND

    @pytest.mark.rule("R19")
    def test_what_was_noted_is_not_held_against_the_batch_any_more(self) -> None:
        """R19: the refusal is over, and the files that are left are looked at anew."""
        session = purge_refused(generated(a_session(batch_size=4), 3), 0)
        lost = files_of(session, 0)[:3]
        (event,) = decide(session, RecordLoss(batch=0, files=tuple(f"v/{file.name}" for file in lost)))
        assert isinstance(event, SegmentsLost)
        session = happened(session, event)
        assert session.batches[0].refusal is None
        (issued,) = decide(session, IssuePurge(batch=0, purge_id=an_id(7), now=LATER))
        assert isinstance(issued, PurgeIssued)
        assert issued.confirmed is None

    @pytest.mark.rule("R5")
    def test_the_name_of_a_lost_file_is_free(self) -> None:
        """R5: no file that a kept batch needs bears it; the names of the others are still in use."""
        session = generated(a_session(wrap=6), 3)
        first, second = files_of(session, 0)
        one_lost = happened(session, SegmentsLost(batch=0, files=identities_of([first])))
        assert "v/v_segment_001.ts" in refused(one_lost, start_batch()).reason
        assert decide(happened(one_lost, SegmentsLost(batch=0, files=identities_of([second]))), start_batch())


class TestCondemning:
    """R10: what nobody explains goes by authorisation and outcome too."""

    @pytest.mark.rule("R10")
    def test_the_authorisation_names_each_file_as_it_was_seen(self) -> None:
        """R10, R11."""
        session = generated(a_session(), 2)
        command = CondemnOrphans(removal_id=an_id(8), files=(STRANGER,))
        condemned = OrphansCondemned(removal_id=an_id(8), files=(STRANGER,))
        assert decide(session, command) == (condemned,)
        session = happened(session, condemned, event_id=an_id(5), correlation_id=an_id(6))
        assert session.removal is not None
        assert (session.removal.removal_id, session.removal.files) == (an_id(8), (STRANGER,))
        assert (session.removal.event_id, session.removal.correlation_id) == (an_id(5), an_id(6))

    def test_nothing_condemned_is_nothing_recorded(self) -> None:
        assert decide(a_session(), CondemnOrphans(removal_id=an_id(8), files=())) == ()

    @pytest.mark.rule("R2", "R11")
    @pytest.mark.parametrize(
        ("session", "file"),
        [
            (generated(a_session(), 2), "v/v_segment_000.ts"),
            (purging(generated(a_session(), 3), 0), "v/v_segment_001.ts"),
            (started(generated(a_session(), 2)), "v/v_segment_004.ts"),
            (closed(generated(a_session(), 2)), "v/v_segment_003.ts"),
        ],
        ids=["kept", "being purged", "being generated", "of a closed session"],
    )
    def test_a_file_that_a_batch_needs_is_no_orphan(self, session: Session, file: str) -> None:
        """R2: whatever was seen under the name; the whole order is refused."""
        needed = replace(STRANGER, file=file)
        error = refused(session, CondemnOrphans(removal_id=an_id(8), files=(STRANGER, needed)))
        assert (error.rule, error.field, error.value) == ("R2", "file", file)

    @pytest.mark.parametrize(
        "session",
        [purged(generated(a_session(), 3), 0), generated(a_session(), 2), failed(started(a_session()))],
        ids=["of a purged batch", "of no batch yet", "of a batch that failed"],
    )
    def test_under_a_name_that_no_batch_needs_now_it_may_be_one(self, session: Session) -> None:
        """The disk says whether it is one; the session only says that nothing of it is at stake."""
        number = {3: 0, 2: 4, 0: 0}[session.next_batch]
        stray = replace(STRANGER, file=f"v/v_segment_{number:03d}.ts")
        assert decide(session, CondemnOrphans(removal_id=an_id(8), files=(stray,)))

    @pytest.mark.rule("R6")
    def test_one_removal_is_finished_before_the_next(self) -> None:
        """R6."""
        session = happened(a_session(), OrphansCondemned(removal_id=an_id(8), files=(STRANGER,)))
        error = refused(session, CondemnOrphans(removal_id=an_id(9), files=(STRANGER,)))
        assert (error.rule, error.value) == ("R6", an_id(8))


class TestRemoval:
    def under_way(self) -> Session:
        return happened(generated(a_session(), 2), OrphansCondemned(removal_id=an_id(8), files=(STRANGER,)))

    @pytest.mark.rule("R6", "R7", "R11")
    def test_the_outcome_tells_of_each_file_and_ends_it(self) -> None:
        """R6, R7, R11: what could not be deleted stays an orphan; there is no second attempt."""
        left = (RemainingFile(name="v/left.ts", errno="EPERM"),)
        outcome: dict[str, Any] = {
            "deleted": 1,
            "bytes_freed": 10,
            "already_absent": ("v/gone.ts",),
            "superseded": (STRANGER,),
            "remaining": left,
        }
        (event,) = decide(self.under_way(), RecordRemoval(**outcome))
        assert event == OrphansRemoved(removal_id=an_id(8), **outcome)
        assert happened(self.under_way(), event).removal is None

    @pytest.mark.rule("R10")
    def test_no_removal_is_recorded_that_was_not_authorised(self) -> None:
        """R10."""
        session = generated(a_session(), 2)
        assert refused(session, RecordRemoval(deleted=1, bytes_freed=1)).rule == "R10"
        over = happened(self.under_way(), OrphansRemoved(removal_id=an_id(8), deleted=1, bytes_freed=1))
        assert refused(over, RecordRemoval(deleted=1, bytes_freed=1)).rule == "R10"

    @pytest.mark.rule("R2")
    def test_it_changes_no_batch(self) -> None:
        """R2."""
        before = generated(a_session(), 2)
        over = happened(self.under_way(), OrphansRemoved(removal_id=an_id(8), deleted=1, bytes_freed=1))
        assert over.batches == before.batches
        assert (over.state, over.purged) == (before.state, 0)
