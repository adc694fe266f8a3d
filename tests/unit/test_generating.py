"""Starting, completing and failing a batch: what is recorded, and what is refused."""

from typing import Any

import pytest

from domain.commands import CloseSession, CompleteBatch, FailBatch
from domain.decisions import decide
from domain.errors import Refused
from domain.events import (
    BatchCompleted,
    BatchFailed,
    BatchStarted,
    Disposition,
    FileIdentity,
    Naming,
    OrphansCondemned,
    SegmentFile,
)
from domain.retention import kept_files
from domain.segments import DEFAULT_PATTERN
from domain.session import Session
from tests.builders import (
    CAMERA,
    a_segment_file,
    a_session,
    an_id,
    closed,
    completed,
    failed,
    files_of,
    generated,
    happened,
    identities_of,
    purge_failed,
    purged,
    purging,
    start_batch,
    started,
    with_one_changed,
    without_last,
)


def refused(session: Session, command: Any) -> Refused:
    with pytest.raises(Refused) as error:
        decide(session, command)
    return error.value


@pytest.mark.rule("R1")
@pytest.mark.parametrize(("finished", "first", "last"), [(0, 0, 4), (1, 5, 9), (3, 15, 19)])
def test_a_batch_starts_with_its_range_of_segments(finished: int, first: int, last: int) -> None:
    """R1."""
    session = generated(a_session(batch_size=5, playlist_window=5), finished)
    assert decide(session, start_batch()) == (
        BatchStarted(batch=finished, attempt=1, first_segment=first, last_segment=last, source=CAMERA),
    )


@pytest.mark.rule("R9")
def test_files_that_bore_the_names_before_are_recorded_at_the_start() -> None:
    """R9: so that they are not taken for the batch's work."""
    present = (FileIdentity(file="v/v_segment_000.ts", size=1, mtime_ns=2, inode=3),)
    (event,) = decide(a_session(), start_batch(present=present))
    assert isinstance(event, BatchStarted)
    assert event.present == present


@pytest.mark.parametrize("session", [started(a_session()), closed(a_session())], ids=["generating", "closed"])
def test_no_batch_starts_while_one_runs_or_after_the_end(session: Session) -> None:
    error = refused(session, start_batch())
    assert (error.rule, error.field, error.value) == ("R20", "session", session.session_id)
    assert session.state in error.reason


class TestNamesInUse:
    """R5: no batch starts under a name that a kept batch still needs."""

    WRAP = Naming(pattern=DEFAULT_PATTERN, wrap=6)

    @pytest.mark.rule("R5")
    @pytest.mark.invariant(12)
    def test_a_batch_waits_for_the_batch_that_has_its_names(self) -> None:
        """R5: it names the file and the batch that needs it."""
        session = generated(a_session(naming=self.WRAP), 3)
        error = refused(session, start_batch())
        assert (error.rule, error.field, error.value) == ("R5", "batch", 3)
        assert "v/v_segment_000.ts" in error.reason
        assert "batch 0, which is completed" in error.reason

    @pytest.mark.rule("R5", "R6")
    @pytest.mark.invariant(12)
    def test_names_are_free_only_when_the_purge_has_its_outcome(self) -> None:
        """R5: also a name whose file went in an attempt that left others."""
        session = purging(generated(a_session(naming=self.WRAP), 3), 0)
        assert "batch 0, which is purging" in refused(session, start_batch()).reason
        session = purge_failed(session, 0, retry_at=0)
        assert refused(session, start_batch()).rule == "R5"
        assert decide(purged(session, 0), start_batch())

    @pytest.mark.rule("R5")
    def test_any_shared_name_is_enough(self) -> None:
        """R5: also when the wrap is no multiple of the batch size and only the last name meets the first."""
        session = generated(a_session(batch_size=2, naming=Naming(pattern=DEFAULT_PATTERN, wrap=7)), 3)
        assert "v/v_segment_000.ts" in refused(session, start_batch()).reason

    @pytest.mark.rule("R5")
    @pytest.mark.invariant(12)
    def test_what_an_earlier_session_keeps_is_in_use(self) -> None:
        """R5: names go on from session to session, and so do the collisions."""
        earlier = closed(generated(a_session(1, naming=self.WRAP), 2))
        later = generated(a_session(2, ordinal=2, naming=Naming(pattern=DEFAULT_PATTERN, wrap=6, offset=4)), 1)
        error = refused(later, start_batch(occupied=kept_files([earlier])))
        assert (error.rule, error.value) == ("R5", 1)
        assert f"batch 0 of session {earlier.session_id}" in error.reason
        assert decide(later, start_batch(occupied=kept_files([purged(earlier, 0)])))

    @pytest.mark.rule("R5")
    def test_what_is_in_use_is_every_file_that_a_batch_keeps(self) -> None:
        """R5: by its path below the channel, and with the batch that needs it."""
        earlier = generated(a_session(1, renditions=("v", "a")), 1)
        assert kept_files([earlier]) == tuple(
            (file, f"batch 0 of session {earlier.session_id}")
            for file in ("v/v_segment_000.ts", "v/v_segment_001.ts", "a/a_segment_000.ts", "a/a_segment_001.ts")
        )

    @pytest.mark.rule("R5", "R10")
    def test_what_a_removal_of_orphans_may_still_delete_is_in_use(self) -> None:
        """R5, R10: until it has its outcome; else it would meet what was written under the name since."""
        orphan = FileIdentity(file="v/v_segment_000.ts", size=5, mtime_ns=6, inode=7)
        earlier = happened(closed(a_session(1)), OrphansCondemned(removal_id=an_id(8), files=(orphan,)))
        holder = f"a removal of orphans without an outcome, of session {earlier.session_id}"
        assert kept_files([earlier]) == (("v/v_segment_000.ts", holder),)
        error = refused(a_session(2, ordinal=2), start_batch(occupied=kept_files([earlier])))
        assert error.rule == "R5"
        assert holder in error.reason

    @pytest.mark.rule("R5")
    @pytest.mark.invariant(12)
    def test_what_the_batches_keep_is_in_use_also_during_a_removal_of_orphans(self) -> None:
        """R5: of that session and of the others."""
        orphan = FileIdentity(file="v/v_segment_009.ts", size=5, mtime_ns=6, inode=7)
        removing = happened(generated(a_session(1), 1), OrphansCondemned(removal_id=an_id(8), files=(orphan,)))
        earlier = [generated(a_session(3, naming=Naming(pattern=DEFAULT_PATTERN, wrap=0, offset=4)), 1), removing]
        assert [file for file, _ in kept_files(earlier)] == [
            "v/v_segment_004.ts",
            "v/v_segment_005.ts",
            "v/v_segment_000.ts",
            "v/v_segment_001.ts",
            "v/v_segment_009.ts",
        ]

    @pytest.mark.rule("R5")
    def test_the_names_of_another_rendition_are_not_in_use(self) -> None:
        """R5."""
        earlier = closed(generated(a_session(1, renditions=("audio",)), 3))
        assert decide(a_session(2, ordinal=2), start_batch(occupied=kept_files([earlier])))

    def test_a_failed_batch_holds_no_names(self) -> None:
        """Nothing says what its files are: the next attempt writes over them."""
        assert kept_files([failed(started(a_session()))]) == ()
        assert decide(failed(started(a_session())), start_batch())


class TestCompleting:
    """R9: completed means that every expected file was there."""

    SESSION = started(generated(a_session(renditions=("v", "a")), 1))
    FILES = files_of(SESSION)

    def complete(self, *files: SegmentFile, batch: int = 1) -> CompleteBatch:
        return CompleteBatch(batch=batch, files=files)

    @pytest.mark.rule("R9")
    def test_a_full_batch_is_recorded_with_the_identity_of_every_file(self) -> None:
        """R9."""
        assert decide(self.SESSION, self.complete(*self.FILES)) == (
            BatchCompleted(batch=1, attempt=1, files=self.FILES),
        )

    @pytest.mark.rule("R1")
    def test_the_files_are_recorded_in_the_order_of_their_numbers(self) -> None:
        """R1: whatever the order they were found in: a playlist lists them in that of the event."""
        assert decide(self.SESSION, self.complete(*reversed(self.FILES), self.FILES[0])) == (
            BatchCompleted(batch=1, attempt=1, files=self.FILES),
        )

    @pytest.mark.rule("R9")
    @pytest.mark.invariant(7)
    @pytest.mark.parametrize("missing", range(4))
    def test_a_missing_file_is_no_full_batch(self, missing: int) -> None:
        """R9: wherever it is missing."""
        error = refused(self.SESSION, self.complete(*self.FILES[:missing], *self.FILES[missing + 1 :]))
        file = self.FILES[missing]
        assert (error.rule, error.field, error.value) == ("R9", "file", f"{file.rendition}/{file.name}")
        assert "missing" in error.reason

    @pytest.mark.rule("R9")
    @pytest.mark.parametrize(
        ("fields", "field", "reason"),
        [
            ({"size": 0}, "file", "empty"),
            ({"size": -1}, "file", "empty"),
            ({"duration_ms": 0}, "duration_ms", "at least a millisecond"),
            ({"duration_ms": -5}, "duration_ms", "at least a millisecond"),
            ({"name": "a_segment_004.ts"}, "file", "missing"),
            ({"number": 4}, "file", "missing"),
            ({"rendition": "v"}, "file", "missing"),
        ],
    )
    def test_a_file_that_proves_nothing_is_no_segment(self, fields: dict[str, Any], field: str, reason: str) -> None:
        """R9."""
        error = refused(self.SESSION, self.complete(*with_one_changed(self.FILES, **fields)))
        assert (error.rule, error.field) == ("R9", field)
        assert reason in error.reason

    @pytest.mark.rule("R9")
    def test_the_smallest_and_the_shortest_segment_is_one(self) -> None:
        """R9."""
        assert decide(self.SESSION, self.complete(*with_one_changed(self.FILES, size=1, duration_ms=1)))

    @pytest.mark.rule("R9")
    @pytest.mark.invariant(7)
    def test_a_file_that_was_there_before_is_not_the_work_of_the_batch(self) -> None:
        """R9: an encoder that wrote nothing leaves the old file; one that wrote it anew changed its identity."""
        old = self.FILES[-1]
        session = started(generated(a_session(renditions=("v", "a")), 1), present=identities_of([old]))
        error = refused(session, self.complete(*self.FILES))
        assert (error.rule, error.value) == ("R9", f"{old.rendition}/{old.name}")
        assert "has not changed" in error.reason
        for change in ({"size": old.size + 1}, {"mtime_ns": old.mtime_ns + 1}, {"inode": old.inode + 1}):
            assert decide(session, self.complete(*with_one_changed(self.FILES, **change)))

    @pytest.mark.rule("R1")
    def test_a_file_of_another_batch_is_refused(self) -> None:
        """R1."""
        error = refused(self.SESSION, self.complete(*self.FILES, a_segment_file(4)))
        assert (error.rule, error.field, error.value) == ("R1", "file", "v/v_segment_004.ts")

    def test_only_the_running_batch_can_be_completed(self) -> None:
        error = refused(self.SESSION, self.complete(*self.FILES, batch=0))
        assert (error.rule, error.field, error.value) == ("R20", "batch", 0)
        assert "batch 1 is being generated" in error.reason

    @pytest.mark.parametrize(
        "session",
        [a_session(), generated(a_session()), failed(started(a_session())), closed(a_session())],
        ids=["idle", "ready", "failed", "closed"],
    )
    @pytest.mark.parametrize("command", [CompleteBatch(batch=0, files=()), FailBatch(batch=0, reason="why not")])
    def test_no_batch_ends_that_is_not_being_generated(self, session: Session, command: Any) -> None:
        error = refused(session, command)
        assert (error.rule, error.value) == ("R20", 0)
        assert session.state in error.reason


class TestFailing:
    @pytest.mark.rule("R4")
    def test_a_failure_is_recorded_with_what_is_known_of_it(self) -> None:
        """R4: and it is the running attempt that failed."""
        session = started(failed(started(a_session())))
        command = FailBatch(batch=0, reason="no disk", exit_code=1, stderr_tail="oops", files_left=("v/a.ts",))
        assert decide(session, command) == (
            BatchFailed(batch=0, attempt=2, reason="no disk", exit_code=1, stderr_tail="oops", files_left=("v/a.ts",)),
        )

    @pytest.mark.parametrize(
        ("said", "kept"),
        [
            ("x" * 4096, "x" * 4096),
            ("a" + "x" * 4096, "x" * 4096),
            ("é" * 4000, "é" * 2048),
            ("€" * 2000, "€" * 1365),
        ],
    )
    def test_only_the_end_of_what_the_encoder_said_is_kept(self, said: str, kept: str) -> None:
        """4 KiB, and no torn character at its beginning."""
        (event,) = decide(started(a_session()), FailBatch(batch=0, reason="no disk", stderr_tail=said))
        assert isinstance(event, BatchFailed)
        assert event.stderr_tail == kept


class TestClosing:
    @pytest.mark.parametrize("disposition", Disposition)
    @pytest.mark.parametrize(
        "session", [a_session(), generated(a_session()), failed(started(a_session()))], ids=["idle", "ready", "failed"]
    )
    def test_a_session_at_rest_can_be_closed(self, session: Session, disposition: Disposition) -> None:
        (event,) = decide(session, CloseSession(reason="the end", disposition=disposition))
        assert (event.reason, event.disposition) == ("the end", disposition)  # type: ignore[union-attr]

    def test_a_session_is_not_closed_under_a_running_batch(self) -> None:
        error = refused(started(a_session()), CloseSession(reason="the end", disposition=Disposition.KEEP))
        assert (error.rule, error.field) == ("R20", "session")
        assert "complete or fail the running batch first" in error.reason

    def test_what_becomes_of_the_batches_can_be_settled_anew(self) -> None:
        kept = closed(generated(a_session()), Disposition.KEEP)
        assert decide(kept, CloseSession(reason="no room", disposition=Disposition.PURGE))
        error = refused(kept, CloseSession(reason="again", disposition=Disposition.KEEP))
        assert (error.rule, "closed already, with keep" in error.reason) == ("R20", True)

    def test_a_closed_session_that_is_settled_anew_stays_closed(self) -> None:
        session = closed(closed(generated(a_session()), Disposition.KEEP), Disposition.PURGE)
        assert (session.state, session.disposition) == ("closed", Disposition.PURGE)


@pytest.mark.rule("R20")
def test_a_refusal_leaves_the_state_as_it_was() -> None:
    """R20: nothing is half-done."""
    session = started(generated(a_session(), 2))
    before = generated(a_session(), 2)
    for command in (
        start_batch(),
        CompleteBatch(batch=2, files=without_last(files_of(session))),
        FailBatch(batch=1, reason="another"),
        CloseSession(reason="the end", disposition=Disposition.KEEP),
    ):
        refused(session, command)
    assert session == started(before)
    assert completed(session) == generated(before)
