"""Session summaries and the batch ledger: rows that follow the log, whoever writes them and however often."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import pytest

from application import read_model_projector, read_model_rows
from application.ports import BatchRecord, SessionSummary
from application.read_model_projector import ReadModelProjector, ledger
from domain.errors import FlushFailed, ReadModelsDamaged
from domain.events import (
    Disposition,
    Event,
    FileIdentity,
    OrphansCondemned,
    OrphansRemoved,
    PurgeRefused,
    Recorded,
    SegmentsLost,
)
from persistence.memory_read_models import MemoryReadModels
from tests.builders import NOW, SECOND, an_id, envelope, identities_of
from tests.memory_app import TESTER, App, Channel, Store, TestLog
from tests.property.faults import FailingRoots, Points

Rows = tuple[list[SessionSummary], list[list[BatchRecord]], int]


def rows(read_models: MemoryReadModels) -> Rows:
    sessions = read_models.sessions()
    return sessions, [read_models.batches(one.session_id) for one in sessions], read_models.checkpoint()


@pytest.fixture
def storied(store: Store, tmp_path: Path) -> Channel:
    """A channel with a failure, a purge that failed, one that succeeded, and a second session."""
    denied: set[str] = set()
    channel = Channel(App(store, FailingRoots(Points(), denied)), tmp_path / "root")
    channel.open()
    for number in range(4):
        store.clock.advance(4)
        channel.start()
        if number == 1:
            channel.write(1)
            channel.fail()
            channel.start()
        channel.complete()
    denied.add(str(channel.paths(0)[0]))
    store.clock.advance(1)
    channel.app.retention.run_once()
    store.clock.advance(4)
    channel.app.generation.close(channel.id, "next", Disposition.PURGE, TESTER)
    channel.open()
    channel.generate(1)
    return channel


def project(channel: Channel) -> MemoryReadModels:
    channel.app.read_model_projector.catch_up()
    return channel.app.read_models


class TestRows:
    def test_a_summary_tells_a_session_as_a_whole(self, storied: Channel) -> None:
        first, second = project(storied).sessions("news")
        sizes = [
            sum(file.size for file in batch.files)
            for batch in storied.app.sessions.load(first.session_id).batches.values()
        ]
        assert (first.channel, first.ordinal, first.state) == ("news", 1, "closed")
        assert (first.root, first.opened_at, first.closed_at) == (str(storied.root), NOW, NOW + 21 * SECOND)
        assert first.root_id == second.root_id == storied.session.terms.media_root.root_id
        assert (first.batches_completed, first.batches_purged) == (4, 1)
        assert first.bytes_kept == sum(sizes[1:]), "batch 0 is being purged"
        assert first.version == storied.app.sessions.load(first.session_id).version
        assert (second.ordinal, second.state, second.closed_at) == (2, "ready", None)
        assert second.last_position == storied.app.log.head()

    def test_bytes_that_were_gone_without_us_are_not_kept_for_ever(self, channel: Channel) -> None:
        """R7: a missing file frees nothing, but its batch is no longer kept."""
        channel.open()
        channel.generate(3)
        size = channel.paths(0)[1].stat().st_size
        channel.paths(0)[0].unlink()
        channel.app.project()
        (summary,) = channel.app.read_models.sessions()
        assert summary.bytes_freed == size
        assert summary.bytes_kept == sum(path.stat().st_size for path in channel.directory.glob("v/*.ts"))

    @pytest.mark.parametrize(
        ("verbs", "state"), [("", "idle"), ("s", "generating"), ("sf", "failed"), ("sc", "ready"), ("scx", "closed")]
    )
    def test_a_summary_has_the_state_of_the_session(self, channel: Channel, verbs: str, state: str) -> None:
        channel.open()
        for verb in verbs:
            {"s": channel.start, "f": channel.fail, "c": channel.complete, "x": lambda: close(channel)}[verb]()
        (summary,) = project(channel).sessions()
        assert summary.state == state == channel.session.state

    def test_the_ledger_tells_each_batch_from_its_start_to_its_purge(self, storied: Channel) -> None:
        first = project(storied).sessions()[0].session_id
        stuck, purged, kept, newest = storied.app.read_models.batches(first)
        assert [one.state for one in (stuck, purged, kept, newest)] == ["purging", "purged", "completed", "completed"]
        assert (purged.attempt, purged.first_segment, purged.last_segment, purged.files) == (2, 2, 3, 2)
        assert (purged.started_at, purged.completed_at) == (NOW + 8 * SECOND, NOW + 8 * SECOND)
        assert (purged.purge_issued_at, purged.purged_at) == (NOW + 17 * SECOND, NOW + 17 * SECOND)
        assert purged.outcome == "2 deleted"
        assert purged.because is not None
        assert '"rule":"R3","completed_batch":3' in purged.because
        assert stuck.outcome == "attempt 1 left v/v_segment_000.ts (EACCES)"
        assert (kept.because, kept.purge_issued_at, kept.purged_at, kept.outcome) == (None, None, None, None)
        assert kept.bytes > 0

    def test_the_ledger_knows_where_the_log_speaks_of_a_batch(self, storied: Channel) -> None:
        first = project(storied).sessions()[0].session_id
        for record in storied.app.read_models.batches(first):
            spoken = [
                one.position
                for one in storied.app.log.read_session(first)
                if getattr(one.event, "batch", None) == record.batch
            ]
            assert record.positions == tuple(spoken)

    def test_a_failure_is_told_until_the_next_attempt(self, channel: Channel) -> None:
        channel.open()
        channel.start()
        channel.fail("no signal")
        (record,) = project(channel).batches(channel.id)
        assert (record.state, record.attempt, record.outcome, record.files) == ("failed", 1, "no signal", 0)
        channel.start()
        (record,) = project(channel).batches(channel.id)
        assert (record.state, record.attempt, record.outcome) == ("generating", 2, None)

    def test_an_outcome_tells_what_was_missing_and_what_was_left_alone(self, channel: Channel) -> None:
        channel.open(batch_size=4, playlist_window=4)
        channel.generate(3)
        first, second, *_ = channel.paths(0)
        first.unlink()
        second.unlink()
        second.write_bytes(b"another")
        channel.app.project()
        record = channel.app.read_models.batches(channel.id, numbers=[0])[0]
        assert record.outcome == "2 deleted, 1 already absent, 1 superseded and left alone"

    @pytest.mark.rule("R6", "R7")
    def test_an_outcome_accounts_for_what_earlier_attempts_settled(self, store: Store, tmp_path: Path) -> None:
        """R6, R7: a purge in two attempts leaves none of the batch's files untold."""
        denied: set[str] = set()
        channel = Channel(App(store, FailingRoots(Points(), denied)), tmp_path / "root")
        channel.open()
        channel.generate(3)
        denied.add(str(channel.paths(0)[0]))
        channel.app.project()
        denied.clear()
        store.clock.advance(10)
        channel.app.project()
        (record, *_) = channel.app.read_models.batches(channel.id)
        assert (record.state, record.files) == ("purged", 2)
        assert record.outcome == "1 deleted, 1 settled by earlier attempts"

    @pytest.mark.rule("R19")
    def test_a_refused_purge_is_told_until_it_has_an_outcome(self, channel: Channel) -> None:
        """R19: its bytes are kept until it is authorised."""
        channel.open(batch_size=4)
        channel.generate(3)
        kept = sum(path.stat().st_size for path in channel.directory.glob("v/*.ts"))
        for path in channel.paths(0)[:3]:
            path.unlink()
        channel.app.project()
        read_models = channel.app.read_models
        (record,) = read_models.batches(channel.id, numbers=[0])
        (event,) = (event for event in channel.events() if isinstance(event, PurgeRefused))
        assert record.state == "completed"
        assert record.outcome == (
            f"purge refused: only 1 of 4 files are what was recorded; it waits for plan {event.plan[:12]}"
        )
        (summary,) = read_models.sessions()
        assert (summary.bytes_kept, summary.bytes_freed, summary.batches_purged) == (kept, 0, 0)

        size = channel.paths(0)[3].stat().st_size
        channel.app.purger.issue(channel.id, 0, confirmed=event.plan)
        channel.app.project()
        (record,) = read_models.batches(channel.id, numbers=[0])
        assert (record.state, record.outcome) == ("purged", "1 deleted, 3 already absent")
        (summary,) = read_models.sessions()
        assert (summary.bytes_kept, summary.bytes_freed, summary.batches_purged) == (kept - 4 * size, size, 1)

    def test_a_loss_is_taken_off_the_batch_and_its_session(self, channel: Channel) -> None:
        """What is lost is neither kept nor freed."""
        channel.open(batch_size=4)
        channel.generate(2)
        (before,) = project(channel).sessions()
        lost = identities_of(channel.session.batches[1].files[:3])
        record_event(channel, SegmentsLost(batch=1, files=lost))
        (after,) = project(channel).sessions()
        (record,) = channel.app.read_models.batches(channel.id, numbers=[1])
        assert (record.state, record.files, record.outcome) == (
            "completed",
            1,
            "3 of 4 files lost: an operator took note",
        )
        assert record.bytes == sum(file.size for file in channel.session.batches[1].files)
        assert after.bytes_kept == before.bytes_kept - sum(file.size for file in lost)
        assert (after.bytes_freed, after.batches_completed) == (0, 2)

    def test_orphans_that_were_removed_freed_what_they_took(self, channel: Channel) -> None:
        """They were never kept; no batch changes."""
        channel.open()
        channel.generate(2)
        (before,) = project(channel).sessions()
        ledger_before = channel.app.read_models.batches(channel.id)
        orphan = FileIdentity(file="v/left.ts", size=7, mtime_ns=1, inode=1)
        record_event(channel, OrphansCondemned(removal_id=an_id(8), files=(orphan,)))
        record_event(channel, OrphansRemoved(removal_id=an_id(8), deleted=1, bytes_freed=7))
        (after,) = project(channel).sessions()
        assert (after.bytes_kept, after.bytes_freed) == (before.bytes_kept, 7)
        assert (after.version, after.last_position) == (before.version + 2, before.last_position + 2)
        assert channel.app.read_models.batches(channel.id) == ledger_before

    @pytest.mark.rule("R17")
    def test_the_doubts_about_a_root_are_no_sessions(self, channel: Channel) -> None:
        """R17: the rows move past them."""
        channel.open()
        (before,) = project(channel).sessions()
        root = channel.session.terms.media_root
        with pytest.raises(FlushFailed), channel.app.roots.flushing(root):
            raise FlushFailed(root.path, "EIO")
        channel.app.roots.trust(root, "looked", TESTER)
        assert project(channel).sessions() == [before]
        assert channel.app.read_models.checkpoint() == channel.app.log.head() == before.last_position + 2

    @pytest.mark.rule("R14")
    def test_the_ledger_of_a_history_alone_is_the_same(self, storied: Channel) -> None:
        """R14."""
        first = project(storied).sessions()[0].session_id
        assert ledger(storied.app.log.read_session(first)) == storied.app.read_models.batches(first)
        assert ledger([]) == []


def record_event(channel: Channel, event: Event) -> None:
    """Append the event to the channel's session as it is."""
    version = channel.session.version
    channel.app.log.append(
        [envelope(event, version=version + 1, session_id=channel.id, event_id=channel.app.ids.new())],
        expected_version=version,
    )


def close(channel: Channel) -> Recorded:
    return channel.app.generation.close(channel.id, "the end", Disposition.KEEP, TESTER)


class TestRepeating:
    @pytest.mark.rule("R14")
    def test_rows_built_again_are_identical(self, storied: Channel) -> None:
        """R14: and so is what is rebuilt while it was never built."""
        before = rows(project(storied))
        heard: list[int] = []
        assert storied.app.read_model_projector.rebuild(heard.append) == storied.app.log.head()
        assert rows(storied.app.read_models) == before
        assert heard == [storied.app.log.head()]

    def test_nothing_new_changes_nothing(self, storied: Channel) -> None:
        before = rows(project(storied))
        assert storied.app.read_model_projector.catch_up() == storied.app.log.head()
        assert rows(storied.app.read_models) == before

    @pytest.mark.parametrize("page", [1, 2, 3, 7])
    def test_rows_do_not_depend_on_how_the_log_was_cut_into_pages(
        self, storied: Channel, page: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = rows(project(storied))
        monkeypatch.setattr(read_model_projector, "PAGE", page)
        heard: list[int] = []
        storied.app.read_model_projector.rebuild(heard.append)
        assert rows(storied.app.read_models) == before
        head = storied.app.log.head()
        assert heard == [*range(page, head, page), head]


class DisturbedReadModels(MemoryReadModels):
    """Somebody else writes between the look at the rows and their change, as often as there is something to do."""

    def __init__(self) -> None:
        super().__init__()
        self.before_apply: list[Callable[[], object]] = []
        self.before_look: list[Callable[[], object]] = []

    def apply(
        self, sessions: Sequence[SessionSummary], batches: Sequence[BatchRecord], *, after: int, checkpoint: int
    ) -> bool:
        if self.before_apply:
            self.before_apply.pop(0)()
        return super().apply(sessions, batches, after=after, checkpoint=checkpoint)

    def summaries(self, session_ids: Collection[str]) -> list[SessionSummary]:
        if self.before_look:
            self.before_look.pop(0)()
        return super().summaries(session_ids)


class TestSideBySide:
    """Two projectors over the same rows: `run` in one process, a query in another."""

    def two(self, channel: Channel) -> tuple[DisturbedReadModels, ReadModelProjector, ReadModelProjector, Rows]:
        expected = rows(project(channel))
        disturbed = DisturbedReadModels()
        return (
            disturbed,
            ReadModelProjector(channel.app.log, disturbed),
            ReadModelProjector(channel.app.log, disturbed),
            expected,
        )

    @pytest.mark.rule("R15")
    def test_the_first_to_write_wins_and_the_other_reads_again(
        self, storied: Channel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """R15: no event is applied twice, and none is skipped."""
        read_models, one, other, expected = self.two(storied)
        monkeypatch.setattr(read_model_projector, "PAGE", 3)
        read_models.before_apply = [lambda: None, other.catch_up, lambda: None]
        assert one.catch_up() == storied.app.log.head()
        assert rows(read_models) == expected

    @pytest.mark.rule("R15")
    @pytest.mark.parametrize("moment", range(6))
    def test_a_rebuild_in_between_does_no_harm(
        self, storied: Channel, moment: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """R15: also when it took the rows away that were about to be changed."""
        read_models, one, other, expected = self.two(storied)
        monkeypatch.setattr(read_model_projector, "PAGE", 2)
        read_models.before_look = [*[lambda: None] * moment, read_models.clear]
        one.catch_up()
        other.catch_up()
        assert rows(read_models) == expected

    def test_a_batch_row_that_vanishes_in_between_does_no_harm(self, storied: Channel) -> None:
        class Vanishing(MemoryReadModels):
            gone = False

            def records(self, keys: Collection[tuple[str, int]]) -> list[BatchRecord]:
                if not self.gone and self.checkpoint() > 2:
                    self.gone = True
                    self.clear()
                return super().records(keys)

        expected = rows(project(storied))
        vanishing = Vanishing()
        projector = ReadModelProjector(storied.app.log, vanishing)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(read_model_projector, "PAGE", 2)
            projector.catch_up()
        assert vanishing.gone
        assert rows(vanishing) == expected


class Gappy(TestLog):
    """A log that lost its first events."""

    def __init__(self, log: TestLog, lost: int) -> None:
        super().__init__()
        self._lines = log._lines
        self.lost = lost

    def read(self, *, after: int = 0, limit: int = 1000) -> list[Recorded]:
        return super().read(after=max(after, self.lost), limit=limit)


@pytest.mark.rule("R15")
@pytest.mark.parametrize(("lost", "what"), [(1, "session was opened"), (2, "batch was started")])
def test_a_log_that_makes_no_sense_stops_the_projector_loudly(channel: Channel, lost: int, what: str) -> None:
    """R15: it does not skip."""
    channel.open()
    channel.generate(1)
    read_models = MemoryReadModels()
    if lost == 2:
        (opened,) = channel.app.log.read(limit=1)
        read_models.apply([read_model_rows._opened(opened, opened.event)], [], after=0, checkpoint=0)  # type: ignore[arg-type]
    with pytest.raises(ReadModelsDamaged, match=what):
        ReadModelProjector(Gappy(channel.app.log, lost), read_models).catch_up()
