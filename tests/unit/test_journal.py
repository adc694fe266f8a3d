"""R10, R15, R17: the journal of a media root, and what it knows that the log does not."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from application import journal
from application.ports import ChannelFiles, Deletion, JournalLine
from application.retention_projector import Round
from application.verify import Level
from domain.errors import EventsLost, FlushFailed, NotFound, RootFull, RootSuspect, RootUnavailable
from domain.events import (
    BatchCompleted,
    Disposition,
    LossAccepted,
    PurgeIssued,
    Recorded,
    RootSuspected,
    SessionClosed,
    Suspicion,
)
from media.journal_file import JournalFiles
from media.segment_root import SegmentRoots
from persistence.memory_read_models import MemoryReadModels
from tests.builders import STORE_ID
from tests.memory_app import TESTER, App, Channel, Store
from tests.root_troubles import root_of

JOURNAL = ".trailkeep-journal"


def lines(root: Path) -> list[JournalLine]:
    return JournalFiles().read(str(root))[0]


def told(root: Path) -> list[tuple[str, int | None]]:
    """The journal, in short."""
    return [(line.type, line.batch) for line in lines(root)]


def go_back(store: Store, head: int) -> None:
    """The log is put back under the feet of every process that has it open."""
    old = store.at(head)
    store.log._lines, store.log._sessions, store.log._ids = old.log._lines, old.log._sessions, old.log._ids
    store.read_models, store.agenda = old.read_models, old.agenda


def losing(store: Store) -> Callable[..., tuple[Recorded, ...]]:
    """The log's `append`, after which the log goes back to what it was before."""
    append = store.log.append

    def append_and_lose(*words: Any, **terms: Any) -> tuple[Recorded, ...]:
        head = store.log.head()
        recorded = append(*words, **terms)
        go_back(store, head)
        return recorded

    return append_and_lose


def accepted(app: App, reason: str = "no copy has them") -> list[Recorded]:
    return app.reconciler.accept(reason, TESTER)


@pytest.fixture
def film(app: App, tmp_path: Path) -> Channel:
    """A channel on a disk of its own; its first batch is due, and nobody has purged it."""
    made = Channel(app, tmp_path / "archive", "film")
    made.open(playlist_window=0)
    made.generate(3)
    return made


@pytest.fixture
def news(app: App, film: Channel, tmp_path: Path) -> Channel:
    """A channel on another disk, with playlists, and nothing due."""
    made = Channel(app, tmp_path / "media", "news")
    made.open()
    made.generate(2)
    return made


class TestWriting:
    @pytest.mark.rule("R15")
    @pytest.mark.invariant(13)
    def test_a_line_says_what_the_log_has_and_where(self, channel: Channel) -> None:
        """R15: position, id and leaf hash, and in words what it is."""
        channel.open()
        channel.generate()
        [line] = lines(channel.root)
        stored = channel.app.log.lines_of([line.event_id])[line.event_id]
        completed = channel.app.log.examine(stored)
        assert isinstance(completed.event, BatchCompleted)
        assert line == JournalLine(
            position=completed.position,
            leaf_hash=stored.leaf_hash.hex(),
            event_id=completed.envelope.event_id,
            store_id=STORE_ID,
            session_id=channel.id,
            channel="news",
            batch=0,
            type="BatchCompleted",
            recorded_at=completed.envelope.recorded_at,
        )

    @pytest.mark.rule("R10", "R15")
    @pytest.mark.invariant(13)
    def test_the_authorisation_is_in_it_before_the_first_file_goes(self, store: Store, tmp_path: Path) -> None:
        """R10, R15."""
        seen: list[list[tuple[str, int | None]]] = []

        class Watched(SegmentRoots):
            def delete_each(self, root: str, batches: Sequence[ChannelFiles]) -> list[Deletion]:
                seen.append(told(Path(root)))
                return super().delete_each(root, batches)

        channel = Channel(App(store, Watched()), tmp_path / "root")
        channel.open()
        channel.generate(3)
        channel.app.project()
        made: list[tuple[str, int | None]] = [("BatchCompleted", batch) for batch in range(3)]
        assert seen == [[*made, ("PurgeIssued", 0)]]

    @pytest.mark.rule("R15")
    @pytest.mark.invariant(13)
    @pytest.mark.parametrize("window", [0, 4])
    def test_a_batch_is_in_it_before_a_playlist_lists_it(self, channel: Channel, window: int) -> None:
        """R15: with playlists or without."""
        channel.open(playlist_window=window)
        channel.generate()
        listed = channel.listed() if window else None
        (channel.root / JOURNAL).unlink()
        (channel.root / JOURNAL).mkdir()
        channel.start()
        with pytest.raises(RootSuspect, match=r"its journal \.trailkeep-journal cannot be"):
            channel.complete()
        assert channel.session.completed == 2
        assert window == 0 or channel.listed() == listed
        (channel.root / JOURNAL).rmdir()
        channel.app.publisher.publish(channel.id)
        assert told(channel.root) == [("BatchCompleted", 1)]
        assert window == 0 or len(channel.listed()) == 4

    @pytest.mark.rule("R14")
    def test_what_is_in_it_is_not_written_again_by_whichever_process(self, channel: Channel) -> None:
        """R14: recovery publishes again, and finishes what is open."""
        channel.open()
        channel.generate(3)
        channel.app.purger.issue(channel.id, 0)
        for _ in range(2):
            app = App(channel.app.store)
            app.recoverer.recover()
            app.publisher.publish(channel.id)
        assert told(channel.root).count(("PurgeIssued", 0)) == 1
        assert len(told(channel.root)) == 4

    @pytest.mark.rule("R10", "R14")
    @pytest.mark.invariant(13)
    def test_a_line_of_another_process_is_flushed_before_it_counts(
        self, channel: Channel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """R10, R14: who wrote it may have been killed before it could."""
        done: list[str] = []

        def noted(what: str, kind: type) -> None:
            original = getattr(kind, what)

            def noting(self: object, root: str, *rest: Any) -> object:
                done.append(what)
                return original(self, root, *rest)

            monkeypatch.setattr(kind, what, noting)

        channel.open()
        channel.generate(4)
        mine, others = (App(channel.app.store) for _ in range(2))
        for number in (0, 1):
            channel.app.purger.issue(channel.id, number)
        issued = [batch.purge for batch in channel.session.batches.values() if batch.purge]
        for kind, what in ((JournalFiles, "flush"), (JournalFiles, "append"), (SegmentRoots, "delete_each")):
            noted(what, kind)
        others.journal.write(root_of(channel), issued[0].event_id)
        assert done == ["flush", "append"], "the first time that it looks there are lines of others"
        mine.purger.carry_out(channel.id, 0)
        assert done[2:] == ["flush", "delete_each"]
        others.journal.write(root_of(channel), issued[1].event_id)
        assert done[4:] == ["append"], "it flushed all that was there"
        mine.purger.carry_out(channel.id, 1)
        assert done[5:] == ["flush", "delete_each"], "that line is not its own"
        mine.journal.write(root_of(channel), *(one.event_id for one in issued))
        assert done[7:] == [], "by now they are on disk"

    @pytest.mark.rule("R15")
    @pytest.mark.parametrize("there", [True, False])
    def test_a_closing_is_in_it_if_the_disk_is_there(self, channel: Channel, there: bool) -> None:
        """R15: that a session is to be kept is not to be lost; but it is closed in any case."""
        channel.open()
        channel.generate()
        if not there:
            channel.root.rename(channel.root.with_name("away"))
        channel.app.generation.close(channel.id, "the end", Disposition.KEEP, TESTER)
        assert isinstance(channel.events()[-1], SessionClosed)
        if there:
            assert told(channel.root)[-1] == ("SessionClosed", None)

    @pytest.mark.rule("R10", "R17")
    @pytest.mark.invariant(9)
    def test_a_line_that_could_not_be_flushed_is_held_against_the_root(
        self, channel: Channel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """R10, R17: as any flush that fails; nothing goes."""
        channel.open()
        channel.generate(3)

        def failing(_: JournalFiles, root: str, __: Any) -> None:
            raise FlushFailed(root, "its journal cannot be written: EIO")

        monkeypatch.setattr(JournalFiles, "append", failing)
        there = channel.segments()
        assert channel.app.retention.run_once().paused
        monkeypatch.undo()
        assert "trailkeep root trust" in channel.app.retention.run_once().paused[str(channel.root)]
        assert channel.segments() == there
        [suspected] = channel.app.log.read_session(root_of(channel).root_id)
        assert isinstance(suspected.event, RootSuspected)
        assert suspected.event.suspicion is Suspicion.FLUSH

    @pytest.mark.rule("R10")
    def test_a_removal_of_orphans_is_in_it_before_they_go(self, channel: Channel) -> None:
        """R10."""
        channel.open()
        channel.generate()
        (channel.directory / "v" / "stray.ts").touch()
        channel.app.orphans.remove("news", "a test left it", TESTER)
        assert told(channel.root)[-1] == ("OrphansCondemned", None)


class FullJournals(JournalFiles):
    """Journals on a disk without room for a line, until something is deleted."""

    full = False

    def append(self, root: str, lines: Sequence[JournalLine]) -> None:
        if self.full:
            raise RootFull(root, "its journal cannot be written: ENOSPC")
        super().append(root, lines)


class TestFullDisk:
    @pytest.fixture
    def journals(self) -> FullJournals:
        return FullJournals()

    @pytest.fixture
    def due(self, journals: FullJournals, store: Store, tmp_path: Path) -> Channel:
        channel = Channel(App(store, journals=journals), tmp_path / "root")
        channel.open(playlist_window=0)
        channel.generate(3)
        return channel

    @pytest.mark.rule("R10")
    @pytest.mark.invariant(13)
    def test_a_purge_makes_the_room_and_its_line_follows(
        self, due: Channel, journals: FullJournals, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """R10: there is no outcome before the line."""
        journals.full, delete_each = True, SegmentRoots.delete_each

        def making_room(files: SegmentRoots, *arguments: Any) -> list[Deletion]:
            journals.full = False
            return delete_each(files, *arguments)

        monkeypatch.setattr(SegmentRoots, "delete_each", making_room)
        due.app.project()
        assert told(due.root)[-1] == ("PurgeIssued", 0)
        assert due.kinds()[-1] == "SegmentsPurged"

    @pytest.mark.rule("R10")
    def test_where_it_made_none_there_is_no_outcome_yet(self, due: Channel, journals: FullJournals) -> None:
        """R10."""
        journals.full = True
        assert due.app.retention.run_once().paused
        assert due.kinds()[-1] == "PurgeIssued"
        journals.full = False
        due.app.project()
        assert due.kinds()[-1] == "SegmentsPurged"
        assert told(due.root)[-1] == ("PurgeIssued", 0)

    @pytest.mark.rule("R10", "R15")
    @pytest.mark.invariant(13)
    def test_the_line_follows_also_if_the_log_lost_the_event_meanwhile(
        self, due: Channel, store: Store, journals: FullJournals, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """R10, R15: the files are gone, and nobody else can tell of it."""
        journals.full, delete_each, head = True, SegmentRoots.delete_each, store.log.head()

        def making_room(files: SegmentRoots, *arguments: Any) -> list[Deletion]:
            journals.full = False
            go_back(store, head)
            return delete_each(files, *arguments)

        monkeypatch.setattr(SegmentRoots, "delete_each", making_room)
        due.app.project()
        assert told(due.root)[-1] == ("PurgeIssued", 0)
        assert len(due.segments()) == 4

    def test_a_batch_is_not_published_and_goes_on_when_there_is_room(
        self, due: Channel, journals: FullJournals
    ) -> None:
        journals.full = True
        due.start()
        with pytest.raises(RootUnavailable, match="ENOSPC"):
            due.complete()
        journals.full = False
        due.app.publisher.publish(due.id)
        assert told(due.root)[-1] == ("BatchCompleted", 3)


@pytest.mark.rule("R15", "R17")
class TestALogThatWasPutBack:
    """R15, R17: it is whole in itself; but the disks know better."""

    @pytest.fixture
    def head(self, store: Store, news: Channel) -> int:
        """Where the log was when the copy was made; since then a batch of `news` was made, and one purged."""
        head = store.log.head()
        news.generate(1)
        news.app.purger.issue(news.id, 0)
        news.app.purger.carry_out(news.id, 0)
        for path in news.directory.rglob("*.m3u8"):
            path.unlink()
        return head

    @pytest.mark.invariant(13)
    def test_nothing_is_purged_below_any_root_and_nothing_recorded(
        self, store: Store, film: Channel, news: Channel, head: int
    ) -> None:
        app, before = App(store.at(head)), film.segments()
        done = app.retention.run_once()
        assert done == Round(paused={str(film.root): done.paused[str(film.root)]})
        assert f"the journal of {news.root} knows of 2 events that the log does not have" in str(done.paused)
        assert "BatchCompleted of channel news, batch 2, at position" in str(done.paused)
        assert "`trailkeep db reconcile`" in str(done.paused)
        assert (film.segments(), app.log.head()) == (before, head)

    def test_plan_and_verify_say_it(self, store: Store, film: Channel, head: int) -> None:
        app = App(store.at(head))
        [row] = app.queries.plan([film.id])
        assert row.blocked_by is not None
        assert row.blocked_by.startswith("R15: the journal of")
        report = app.verifier.verify(Level.IDENTITY)
        assert not report.ok
        assert ["the log does not have" in one for one in report.journals] == [True]

    def test_a_log_that_has_it_all_is_told_nothing(self, store: Store, film: Channel, news: Channel, head: int) -> None:
        app = App(store)
        app.project()
        assert app.verifier.verify(Level.IDENTITY).journals == ()
        found = app.reconciler.find()
        assert (found.missing, found.playlists, found.unread) == ((), (), ())
        assert found.roots == (str(film.root), str(news.root))
        assert accepted(app) == []

    def test_reconciling_names_exactly_what_is_missing(self, store: Store, news: Channel, head: int) -> None:
        found = App(store.at(head)).reconciler.find()
        lost = [one for one in store.log.read(after=head) if isinstance(one.event, BatchCompleted | PurgeIssued)]
        assert [(one.position, one.event_id, one.recorded_at) for one in found.missing] == [
            (one.position, one.envelope.event_id, one.envelope.recorded_at) for one in lost
        ]
        assert {(one.root, one.channel, one.session_id) for one in found.missing} == {(str(news.root), "news", news.id)}
        assert [(one.type, one.batch) for one in found.missing] == [("BatchCompleted", 2), ("PurgeIssued", 0)]

    def test_what_was_appended_since_hides_nothing(self, store: Store, film: Channel, news: Channel, head: int) -> None:
        """The positions are taken again, by other events."""
        old = store.at(head)
        again = Channel(App(old), news.root)
        again.generate(4)
        assert old.log.head() > store.log.head()
        assert str(film.root) in App(old).retention.run_once().paused
        assert len(App(old).reconciler.find().missing) == 2

    def test_an_operators_word_ends_the_pause(self, store: Store, film: Channel, news: Channel, head: int) -> None:
        old = store.at(head)
        app = App(old)
        app.retention.run_once()
        [one] = accepted(App(old))
        assert isinstance(one.event, LossAccepted)
        assert one.event.reason == "no copy has them"
        assert one.event.root.path == str(news.root)
        assert one.event.root.device
        assert one.envelope.session_id == root_of(news).root_id
        assert one.envelope.actor == "tester"
        assert [(lost.type, lost.channel, lost.batch) for lost in one.event.events] == [
            ("BatchCompleted", "news", 2),
            ("PurgeIssued", "news", 0),
        ]
        assert app.retention.run_once().recorded, "the process that paused goes on"
        assert App(old).reconciler.find().missing == ()
        assert accepted(App(old)) == []
        assert App(old).verifier.verify(Level.PRESENCE).journals == ()

    def test_what_is_lost_later_is_lost_anew(self, store: Store, news: Channel, head: int) -> None:
        old = store.at(head)
        accepted(App(old))
        later = old.log.head()
        Channel(App(old), news.root).generate(1)
        assert [one.batch for one in App(old.at(later)).reconciler.find().missing] == [2]

    def test_a_copy_in_which_the_root_is_not_known_yet(self, store: Store, film: Channel, news: Channel) -> None:
        """Who opens the session anew, or names the root, is told."""
        opened = next(one.position for one in store.log.read() if one.envelope.session_id == news.id)
        app = App(store.at(opened - 1))
        assert app.reconciler.find().missing == ()
        found = app.reconciler.find([str(news.root)])
        assert [(one.type, one.batch) for one in found.missing] == [("BatchCompleted", 0), ("BatchCompleted", 1)]
        assert str(news.root) in found.roots
        again = Channel(app, news.root)
        again.open()
        app.read_model_projector.catch_up()
        assert app.retention.run_once().paused
        app.reconciler.accept("we begin anew", TESTER, [str(news.root)])
        assert app.retention.run_once().recorded

    def test_a_directory_that_is_no_root_of_ours_is_not_taken_for_one(self, app: App, tmp_path: Path) -> None:
        for marker in (None, '{"store_id":"another","root_id":"one"}\n'):
            if marker:
                (tmp_path / ".trailkeep-root").write_text(marker)
            with pytest.raises(NotFound, match="bears a marker of this store"):
                app.reconciler.find([str(tmp_path)])

    def test_lines_of_another_store_say_nothing(self, store: Store, film: Channel) -> None:
        line = msgspec.structs.replace(lines(film.root)[0], store_id="another", event_id="another", position=10**6)
        JournalFiles().append(str(film.root), [line])
        assert App(store).project()

    def test_a_root_that_is_not_there_has_no_say(self, store: Store, film: Channel, news: Channel, head: int) -> None:
        away = news.root.rename(news.root.with_name("away"))
        app = App(store.at(head))
        [unread] = app.reconciler.find().unread
        assert "is the disk mounted?" in unread
        assert accepted(app) == []
        assert app.retention.run_once().recorded
        away.rename(news.root)
        film.generate(1)
        assert app.reconciler.find().missing

    @pytest.mark.parametrize("harm", ["a directory", "nonsense", "a link"])
    def test_a_journal_that_cannot_be_read_cannot_be_ruled_out(
        self, store: Store, film: Channel, news: Channel, harm: str
    ) -> None:
        path = news.root / JOURNAL
        if harm == "nonsense":
            path.write_bytes(b"nonsense\n" + path.read_bytes())
        else:
            moved = path.rename(path.with_name("moved"))
            if harm == "a link":
                path.symlink_to(moved.name)
            else:
                path.mkdir()
        app = App(store)
        app.read_model_projector.catch_up()
        done = app.retention.run_once()
        assert not done.recorded
        assert "its journal .trailkeep-journal" in done.paused[str(film.root)]
        assert app.verifier.verify(Level.PRESENCE).journals
        assert app.reconciler.find().unread


@pytest.mark.rule("R15", "R17")
class TestALogThatGoesBack:
    """R15, R17: what a process has seen in it never goes back, whatever the journals tell."""

    @pytest.fixture
    def seen(self, store: Store, film: Channel, news: Channel) -> Callable[[], Round]:
        """A process that has purged once, and has seen a batch fail since; nothing of that is in a journal."""
        app = App(store)
        app.project()
        film.generate(1)
        mine = Channel(app, news.root)
        mine.start()
        mine.fail()
        return app.retention.run_once

    @pytest.mark.parametrize("lost", [1, 2])
    @pytest.mark.parametrize("grown", [0, 1, 10])
    def test_purging_pauses_and_the_next_process_knows_why(
        self, store: Store, film: Channel, news: Channel, seen: Callable[[], Round], lost: int, grown: int
    ) -> None:
        """Whether others have appended since, or not."""
        go_back(store, store.log.head() - lost)
        rival = Channel(App(store), film.root.with_name("rival"), "rival")
        if grown:
            rival.open()
            rival.generate(grown // 2)
        before, head = film.segments(), store.log.head()
        done = seen()
        assert "the log went back; this process knows of" in done.paused[str(film.root)]
        assert (film.segments(), store.log.head(), done.recorded) == (before, head, ())
        assert seen().paused.keys() == done.paused.keys(), "it stays so"
        again = App(store).retention.run_once()
        assert f"the journal of {film.root} knows of" in again.paused[str(film.root)]
        assert {one.type for one in App(store).reconciler.find().missing} <= {"BatchStarted", "BatchFailed"}
        assert accepted(App(store))
        assert seen().recorded
        assert len(film.segments()) == 4

    def test_a_process_that_can_tell_nobody_remembers_it(
        self, store: Store, film: Channel, news: Channel, seen: Callable[[], Round], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_: JournalFiles, root: str, __: Any) -> None:
            raise RootFull(root, "ENOSPC")

        go_back(store, store.log.head() - 1)
        with monkeypatch.context() as patched:
            patched.setattr(JournalFiles, "append", full)
            assert seen().paused
        assert App(store).reconciler.find().missing == ()
        assert seen().paused
        assert App(store).reconciler.find().missing

    def test_what_was_folded_from_the_lost_events_is_forgotten(
        self, store: Store, news: Channel, film: Channel, seen: Callable[[], Round]
    ) -> None:
        """The next batch of `news` starts on the version that the log has."""
        go_back(store, store.log.head() - 2)
        assert seen().paused
        accepted(App(store))
        seen()
        mine = Channel(App(store), news.root)
        mine.generate()
        assert mine.session.completed == 3

    @pytest.mark.invariant(13)
    def test_nothing_goes_by_an_authorisation_that_was_lost_since_it_was_given(
        self, store: Store, news: Channel
    ) -> None:
        """The journal could not tell of it; so not a file goes, and this process knows what was lost."""
        news.generate(1)
        head, before, told_before = store.log.head(), news.segments(), told(news.root)
        news.app.purger.issue(news.id, 0)
        assert news.session.batches[0].purge, "this process has seen it"
        go_back(store, head)
        with pytest.raises(EventsLost, match="which the root's journal is to tell of; `trailkeep db reconcile` names"):
            news.app.purger.carry_out(news.id, 0)
        assert (news.segments(), told(news.root), store.log.head()) == (before, told_before, head)
        assert "this process knows of" in news.app.retention.run_once().paused[str(news.root)]
        assert ("PurgeIssued", 0) in told(news.root), "that was the loss, which the next process shall know of"

    @pytest.mark.invariant(13)
    @pytest.mark.parametrize("window", [6, 0])
    def test_a_completion_that_was_lost_since_is_not_acknowledged(
        self, store: Store, news: Channel, window: int
    ) -> None:
        """Neither with playlists nor without."""
        channel = Channel(news.app, news.root, "first")
        channel.open(playlist_window=window)
        channel.start()
        head = store.log.head()

        class Late(SegmentRoots):
            @contextmanager
            def exclusive(self, root: str) -> Iterator[None]:
                with super().exclusive(root):
                    go_back(store, head)
                    yield

        late = Channel(App(store, Late()), news.root, channel.name)
        with pytest.raises(EventsLost):
            late.complete()

    @pytest.mark.invariant(13)
    @pytest.mark.parametrize("window", [6, 0])
    def test_nor_is_one_that_was_lost_at_once(
        self, store: Store, news: Channel, window: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before anybody has read it again."""
        channel = Channel(news.app, news.root, "first")
        channel.open(playlist_window=window)
        channel.start()
        with monkeypatch.context() as patched:
            patched.setattr(store.log, "append", losing(store))
            with pytest.raises(EventsLost):
                channel.complete()
        assert channel.session.completed == 0
        assert told(news.root) == [("BatchCompleted", 0), ("BatchCompleted", 1)]

    @pytest.mark.invariant(13)
    def test_nor_a_closing(self, store: Store, news: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(store.log, "append", losing(store))
            with pytest.raises(EventsLost):
                news.app.generation.close(news.id, "the end", Disposition.KEEP, TESTER)

    def test_a_producer_beside_it_goes_on_from_what_the_log_has(self, store: Store, news: Channel) -> None:
        """It decides on a version that the log does not have any more; then it looks again."""
        head = store.log.head()
        news.start()
        news.fail()
        assert news.session.failures == 1
        go_back(store, head)
        news.start()
        assert news.session.running is not None
        assert news.session.running.attempt == 1


class TestLength:
    @pytest.fixture(autouse=True)
    def _short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(journal, "LONGEST", 6)
        monkeypatch.setattr(journal, "KEEP", 2)

    def test_a_purge_keeps_the_newest_lines(self, channel: Channel) -> None:
        channel.open()
        channel.generate(3)
        channel.app.project()
        assert len(told(channel.root)) == 4
        channel.generate(2)
        channel.app.project()
        assert told(channel.root) == [("BatchCompleted", 4), ("PurgeIssued", 1), ("PurgeIssued", 2)]
        assert App(channel.app.store).verifier.verify(Level.IDENTITY).journals == ()

    @pytest.mark.rule("R15")
    def test_what_is_lost_is_not_forgotten_over_what_follows(self, store: Store, film: Channel, news: Channel) -> None:
        """R15: nobody drops a line that the log does not have."""
        head = store.log.head()
        news.generate(1)
        old = store.at(head)
        shutil.rmtree(news.directory)
        again = Channel(App(old), news.root)
        again.generate(10)
        assert App(old).retention.run_once().paused
        assert [one.batch for one in App(old).reconciler.find().missing] == [2]
        assert len(told(news.root)) == 13
        accepted(App(old))
        app = App(old)
        app.project()
        assert len(told(news.root)) <= 6


def test_roots_are_listed_anew_now_and_then(
    store: Store, film: Channel, news: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A root that a process writes to is known to it at once."""
    looks: list[None] = []

    class Counted(MemoryReadModels):
        def roots(self) -> list[tuple[str, str]]:
            looks.append(None)
            return super().roots()

    store.read_models = Counted()
    app = App(store)
    app.project()
    film.generate(1)
    looks.clear()
    app.journal.require_known()
    app.journal.require_known()
    assert looks == []
    monkeypatch.setattr(journal, "RELIST", 1)
    app.read_model_projector.catch_up()
    app.journal.require_known()
    assert len(looks) == 1
