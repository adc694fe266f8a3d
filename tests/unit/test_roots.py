"""R17: what is held against a media root, what is recorded of it, and how it ends."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from application.handlers import Cause
from application.ports import Marker
from application.roots import PROVEN
from domain.errors import FlushFailed, LogDamaged, RootSuspect, StoreUnavailable
from domain.events import (
    Disposition,
    Envelope,
    Event,
    MediaRoot,
    Recorded,
    RootSuspected,
    RootTrusted,
    Suspicion,
)
from domain.root import Root, evolve_root, prove, suspect, trust
from media.segment_root import SegmentRoots
from tests.builders import STORE_ID, a_completed_batch, an_id, envelope
from tests.memory_app import TESTER, App, Channel, Store, TestLog
from tests.root_troubles import (
    EIO,
    MARKER,
    TROUBLES,
    Disks,
    Trouble,
    another_filesystem,
    another_root,
    another_store,
    each_trouble,
    nonsense,
    root_of,
    unmounted,
    unmounted_with_its_mount_point,
)

OPERATOR = Cause("cli: somebody")


class Outage(TestLog):
    """A log that cannot be written for a while, and which another process may append to first."""

    down = False

    def __init__(self) -> None:
        super().__init__()
        self.rivals: list[Callable[[], object]] = []

    def append(self, envelopes: Sequence[Envelope], **terms: Any) -> tuple[Recorded, ...]:
        if self.down:
            raise StoreUnavailable("sqlite:////log.db", "disk I/O error")
        if self.rivals:
            self.rivals.pop()()
        return super().append(envelopes, **terms)


@pytest.fixture
def store() -> Store:
    store = Store()
    store.log = Outage()
    return store


@pytest.fixture
def app(store: Store) -> App:
    return App(store, Disks())


@pytest.fixture
def opened(channel: Channel) -> Channel:
    """Three batches; the first is due."""
    channel.open()
    channel.generate(3)
    return channel


def told(channel: Channel) -> list[Event]:
    """What the log says of the root."""
    return [one.event for one in channel.app.log.read_session(root_of(channel).root_id)]


def kinds(channel: Channel) -> list[str]:
    return [type(event).__name__ for event in told(channel)]


def require(channel: Channel, app: App | None = None) -> None:
    (app or channel.app).roots.require(root_of(channel))


def suspected(channel: Channel, app: App | None = None) -> str:
    """Why the root is not taken for ours."""
    with pytest.raises(RootSuspect) as error:
        require(channel, app)
    assert error.value.root == str(channel.root)
    return error.value.reason


def a_failed_flush(channel: Channel, reason: str = EIO) -> None:
    with pytest.raises(FlushFailed), channel.app.roots.flushing(root_of(channel)):
        raise FlushFailed(str(channel.root), reason)


class TestLooking:
    @pytest.mark.rule("R17")
    def test_a_root_that_is_as_the_log_knows_it_is_not_worth_a_word(self, opened: Channel) -> None:
        """R17."""
        head = opened.app.log.head()
        require(opened)
        assert opened.app.roots.examine(root_of(opened)) is None
        assert opened.app.log.head() == head

    @pytest.mark.rule("R16", "R17")
    @each_trouble
    def test_what_is_wrong_with_it_is_recorded_in_its_own_stream(self, opened: Channel, trouble: Trouble) -> None:
        """R16, R17: what, where, and by whom."""
        suspicion, reason = TROUBLES[trouble]
        trouble(opened)
        assert suspected(opened).startswith(reason)
        recorded = opened.app.log.read(after=opened.app.log.head() - 1)[0]
        event, told = recorded.event, recorded.envelope
        assert isinstance(event, RootSuspected)
        assert (event.root, event.suspicion) == (root_of(opened), suspicion)
        assert event.reason.startswith(reason)
        assert (told.session_id, told.version) == (root_of(opened).root_id, 1)
        assert (told.actor, told.policy, told.causation_id) == ("guard", "", None)

    @pytest.mark.rule("R17")
    @each_trouble
    def test_it_is_recorded_once_and_not_at_each_look(self, opened: Channel, trouble: Trouble) -> None:
        """R17: by no process."""
        trouble(opened)
        other = App(opened.app.store, opened.app.files, worker="here:2")
        for app in (opened.app, opened.app, other, other):
            suspected(opened, app)
        assert kinds(opened) == ["RootSuspected"]

    @pytest.mark.rule("R17")
    @each_trouble
    def test_it_ends_by_itself_when_the_root_proves_itself_again(self, opened: Channel, trouble: Trouble) -> None:
        """R17: a disk that was not mounted is the same disk when it is."""
        mend = trouble(opened)
        suspected(opened)
        mend()
        require(opened)
        require(opened)
        assert kinds(opened) == ["RootSuspected", "RootTrusted"]
        recorded = opened.app.log.read(after=opened.app.log.head() - 1)[0]
        assert recorded.event == RootTrusted(root=root_of(opened), reason=PROVEN)
        assert (recorded.envelope.actor, recorded.envelope.version) == ("guard", 2)

    @pytest.mark.rule("R17")
    def test_each_time_is_recorded(self, opened: Channel) -> None:
        for _ in range(2):
            mend = unmounted(opened)
            suspected(opened)
            mend()
            require(opened)
        assert kinds(opened) == ["RootSuspected", "RootTrusted"] * 2

    @pytest.mark.rule("R17")
    def test_what_is_wrong_in_another_way_is_recorded_too(self, opened: Channel) -> None:
        """R17: first the disk is gone, then the wrong one is there."""
        mount = unmounted(opened)
        suspected(opened)
        mount()
        mend = another_store(opened)
        suspected(opened)
        mend()
        require(opened)
        assert [event.suspicion for event in told(opened) if isinstance(event, RootSuspected)] == [
            Suspicion.ABSENT,
            Suspicion.FOREIGN,
        ]
        assert kinds(opened)[-1] == "RootTrusted"

    @pytest.mark.rule("R17", "R18")
    @each_trouble
    def test_who_only_asks_records_nothing(self, opened: Channel, trouble: Trouble) -> None:
        """R18: `plan`, `verify` and `root list` change nothing, before and after it was recorded."""
        mend = trouble(opened)
        found = opened.app.roots.examine(root_of(opened))
        assert kinds(opened) == []
        assert found == suspected(opened) == opened.app.roots.examine(root_of(opened))
        mend()
        assert opened.app.roots.examine(root_of(opened)) is None
        assert kinds(opened) == ["RootSuspected"]

    @pytest.mark.rule("R17")
    def test_of_two_processes_that_see_it_at_once_one_records_it(self, opened: Channel, store: Store) -> None:
        """R17: the other decides again, and there is nothing left to say."""
        other = App(store, opened.app.files, worker="here:2")
        unmounted(opened)
        assert isinstance(store.log, Outage)
        store.log.rivals.append(lambda: suspected(opened, other))
        suspected(opened)
        assert kinds(opened) == ["RootSuspected"]

    def test_a_root_of_a_session_from_before_filesystems_were_recorded_is_not_asked_for_its(
        self, opened: Channel
    ) -> None:
        another_filesystem(opened)
        opened.app.roots.require(MediaRoot(path=str(opened.root), root_id=root_of(opened).root_id))
        assert kinds(opened) == []

    @pytest.mark.rule("R15")
    def test_an_event_in_its_stream_that_is_not_of_a_root_is_damage(self, opened: Channel) -> None:
        """R15."""
        stray = envelope(a_completed_batch(), session_id=root_of(opened).root_id, version=1)
        opened.app.log.append([stray], expected_version=0)
        with pytest.raises(LogDamaged, match="BatchCompleted is no event of a media root"):
            require(opened)


class TestFailedFlush:
    @pytest.mark.rule("R10", "R17")
    @pytest.mark.invariant(9)
    def test_it_is_recorded_and_holds_for_every_process(self, opened: Channel, store: Store) -> None:
        """R10, R17: a second flush that succeeds would prove nothing; so nothing ends it but an operator's word."""
        a_failed_flush(opened)
        (event,) = told(opened)
        assert event == RootSuspected(root=root_of(opened), suspicion=Suspicion.FLUSH, reason=EIO)
        advice = f"{EIO}; when the disk has been looked at: trailkeep root trust {opened.root} --reason ..."
        for app in (opened.app, App(store, Disks(), worker="here:2")):
            assert suspected(opened, app) == advice == app.roots.examine(root_of(opened))
        assert kinds(opened) == ["RootSuspected"]

    @pytest.mark.rule("R17")
    def test_another_one_adds_nothing(self, opened: Channel) -> None:
        a_failed_flush(opened)
        a_failed_flush(opened, "news/v cannot be flushed to disk: EIO")
        assert kinds(opened) == ["RootSuspected"]

    @pytest.mark.rule("R17")
    @pytest.mark.invariant(9)
    @each_trouble
    def test_it_is_not_forgotten_over_what_can_be_seen(self, opened: Channel, trouble: Trouble) -> None:
        """R17: a disk that was taken out and put back has lost what it lost."""
        a_failed_flush(opened)
        mend = trouble(opened)
        assert suspected(opened).startswith(TROUBLES[trouble][1])
        mend()
        assert suspected(opened).startswith(EIO)
        assert kinds(opened) == ["RootSuspected"]

    @pytest.mark.rule("R17")
    @each_trouble
    def test_it_counts_also_where_something_else_is_held_already(self, opened: Channel, trouble: Trouble) -> None:
        mend = trouble(opened)
        suspected(opened)
        a_failed_flush(opened)
        mend()
        assert suspected(opened).startswith(EIO)

    @pytest.mark.rule("R17")
    def test_other_trouble_in_the_same_place_is_not_taken_for_one(self, opened: Channel) -> None:
        with pytest.raises(RootSuspect), opened.app.roots.flushing(root_of(opened)):
            raise RootSuspect(str(opened.root), "its playlist cannot be read: EACCES")
        require(opened)
        assert kinds(opened) == []

    @pytest.mark.rule("R17")
    @pytest.mark.invariant(9)
    def test_a_process_that_sees_the_root_proven_does_not_end_what_another_records_meanwhile(
        self, opened: Channel, store: Store
    ) -> None:
        """R17: the decision is made again, on what is true by then."""
        mend = unmounted(opened)
        suspected(opened)
        mend()
        other = Channel(App(store, Disks(), worker="here:2"), opened.root)
        assert isinstance(store.log, Outage)
        store.log.rivals.append(lambda: a_failed_flush(other))
        assert suspected(opened).startswith(EIO)
        assert kinds(opened) == ["RootSuspected", "RootSuspected"]
        assert suspected(opened).startswith(EIO)

    @pytest.mark.rule("R17")
    @pytest.mark.invariant(9)
    def test_what_another_process_records_while_the_disk_is_looked_at_counts(
        self, opened: Channel, store: Store
    ) -> None:
        """R17: a disk that fails is slow to look at."""
        other = Channel(App(store, worker="here:2"), opened.root)

        class Slow(SegmentRoots):
            def read_marker(self, root: str) -> Marker | None:
                found = super().read_marker(root)
                a_failed_flush(other)
                return found

        mine = Channel(App(store, Slow()), opened.root)
        assert suspected(mine).startswith(EIO)
        assert kinds(opened) == ["RootSuspected"]

    @pytest.mark.rule("R10", "R17")
    @pytest.mark.invariant(9)
    def test_what_cannot_be_recorded_is_remembered_and_recorded_later(self, opened: Channel, store: Store) -> None:
        """R10, R17: the database may well be on the disk that fails."""
        assert isinstance(store.log, Outage)
        store.log.down = True
        with pytest.raises(StoreUnavailable), opened.app.roots.flushing(root_of(opened)):
            raise FlushFailed(str(opened.root), EIO)
        assert kinds(opened) == []
        assert (opened.app.roots.examine(root_of(opened)) or "").startswith(EIO)
        with pytest.raises(StoreUnavailable):
            require(opened)
        store.log.down = False
        assert suspected(opened).startswith(EIO)
        assert told(opened) == [RootSuspected(root=root_of(opened), suspicion=Suspicion.FLUSH, reason=EIO)]

    @pytest.mark.rule("R16", "R17")
    def test_trust_does_not_swallow_what_could_not_be_recorded(self, opened: Channel, store: Store) -> None:
        """R16: the log tells what was trusted over."""
        assert isinstance(store.log, Outage)
        store.log.down = True
        with pytest.raises(StoreUnavailable), opened.app.roots.flushing(root_of(opened)):
            raise FlushFailed(str(opened.root), EIO)
        with pytest.raises(StoreUnavailable):
            opened.app.roots.trust(root_of(opened), "looked", OPERATOR)
        store.log.down = False
        opened.app.roots.trust(root_of(opened), "looked", OPERATOR)
        assert kinds(opened) == ["RootSuspected", "RootTrusted"]
        require(opened)


class TestTrust:
    @pytest.mark.rule("R16", "R17")
    def test_an_operator_ends_a_failed_flush_with_a_reason(self, opened: Channel) -> None:
        """R16, R17: who, and what was looked at."""
        a_failed_flush(opened)
        (recorded,) = opened.app.roots.trust(root_of(opened), "the controller was replaced", OPERATOR)
        assert recorded.event == RootTrusted(root=root_of(opened), reason="the controller was replaced")
        assert (recorded.envelope.actor, recorded.envelope.version) == ("cli: somebody", 2)
        require(opened)

    @pytest.mark.rule("R17")
    @pytest.mark.parametrize(
        "trouble", [unmounted_with_its_mount_point, nonsense, another_store, another_root], ids=lambda one: one.__name__
    )
    def test_the_root_gets_its_marker_anew(self, opened: Channel, trouble: Trouble) -> None:
        """R17: what was wrong is recorded first, also if nobody had looked before."""
        ours = (opened.root / MARKER).read_bytes()
        trouble(opened)
        opened.app.roots.trust(root_of(opened), "it is the new disk", OPERATOR)
        assert (opened.root / MARKER).read_bytes() == ours
        assert [path.name for path in opened.root.iterdir() if path.name.startswith(MARKER)] == [MARKER]
        assert kinds(opened) == ["RootSuspected", "RootTrusted"]
        require(opened)

    @pytest.mark.rule("R17")
    def test_the_root_is_from_then_on_where_it_is(self, opened: Channel) -> None:
        """R17: and back on the old filesystem it is suspect."""
        go_back = another_filesystem(opened)
        (recorded,) = opened.app.roots.trust(root_of(opened), "copied with rsync -a", OPERATOR)
        assert isinstance(recorded.event, RootTrusted)
        assert recorded.event.root.device == "00000000000000ff"
        require(opened)
        go_back()
        assert "another filesystem than before" in suspected(opened)
        assert [event.suspicion for event in told(opened) if isinstance(event, RootSuspected)] == [
            Suspicion.DEVICE,
            Suspicion.DEVICE,
        ]

    @pytest.mark.rule("R17")
    def test_a_root_that_nothing_is_held_against_needs_no_trust(self, opened: Channel) -> None:
        """R17: nothing is recorded, and it stays as it is."""
        line = (opened.root / MARKER).read_bytes()
        assert opened.app.roots.trust(root_of(opened), "just to be sure", OPERATOR) == ()
        assert kinds(opened) == []
        assert (opened.root / MARKER).read_bytes() == line
        require(opened)

    @pytest.mark.rule("R17")
    def test_a_root_that_is_not_there_cannot_be_trusted(self, opened: Channel) -> None:
        """R17: no directory is made in its place, and what is held against it stays."""
        a_failed_flush(opened)
        mount = unmounted(opened)
        with pytest.raises(RootSuspect, match="it is missing"):
            opened.app.roots.trust(root_of(opened), "it must be there", OPERATOR)
        assert not opened.root.exists()
        mount()
        assert suspected(opened).startswith(EIO)
        assert kinds(opened) == ["RootSuspected"]

    @pytest.mark.rule("R10", "R17")
    def test_a_marker_that_cannot_be_flushed_is_a_failed_flush(self, opened: Channel, store: Store) -> None:
        class Broken(Disks):
            def mark(self, root: str, marker: Marker) -> None:
                raise FlushFailed(root, EIO)

        another_store(opened)
        app = App(store, Broken())
        with pytest.raises(FlushFailed):
            app.roots.trust(root_of(opened), "it is the new disk", OPERATOR)
        assert [event.suspicion for event in told(opened) if isinstance(event, RootSuspected)] == [
            Suspicion.FOREIGN,
            Suspicion.FLUSH,
        ]


class TestMovedRoot:
    """A disk with its marker at a new path: what is seen at the one place says nothing of the other."""

    @pytest.fixture
    def moved(self, opened: Channel) -> MediaRoot:
        """Where it was before; the channel goes on in a session of its own."""
        before = root_of(opened)
        opened.app.project()
        opened.app.generation.close(opened.id, "moved", Disposition.PURGE, TESTER)
        opened.root = opened.root.rename(opened.root.with_name("new place"))
        opened.open()
        assert root_of(opened).root_id == before.root_id
        return before

    @pytest.mark.rule("R17")
    def test_the_old_place_is_suspected_once_and_the_new_one_goes_on(self, opened: Channel, moved: MediaRoot) -> None:
        """R17: batches of the old session are due there, round after round."""
        for _ in range(4):
            opened.generate()
            assert opened.app.retention.run_once().paused.keys() == {moved.path}
        assert kinds(opened) == ["RootSuspected"]
        assert opened.session.purged == 2

    @pytest.mark.rule("R17")
    def test_each_place_has_its_filesystem(self, opened: Channel, moved: MediaRoot) -> None:
        """R17: trust in the new one does not move the old one."""
        a_failed_flush(opened)
        another_filesystem(opened)
        opened.app.roots.trust(root_of(opened), "a larger disk", OPERATOR)
        Path(moved.path).mkdir()
        opened.app.files.mark(moved.path, Marker(store_id=STORE_ID, root_id=moved.root_id))
        assert isinstance(opened.app.files, Disks)
        opened.app.files.moved = ""
        opened.app.roots.require(moved)

    @pytest.mark.rule("R17")
    def test_a_failed_flush_counts_at_both_and_ends_for_both(self, opened: Channel, moved: MediaRoot) -> None:
        """R17: it is one disk."""
        with pytest.raises(FlushFailed), opened.app.roots.flushing(moved):
            raise FlushFailed(moved.path, EIO)
        assert suspected(opened).startswith(EIO)
        opened.app.roots.trust(root_of(opened), "looked", OPERATOR)
        require(opened)
        with pytest.raises(RootSuspect, match="it is missing"):
            opened.app.roots.require(moved)


class TestDeciding:
    """The state and its decisions alone."""

    ROOT = MediaRoot(path="/srv/hls", root_id=an_id(0), device="a")

    def after(self, *events: Event) -> Root:
        root = Root(an_id(0))
        for version, event in enumerate(events, 1):
            root = evolve_root(root, Recorded(version, envelope(event, version=version)))
        return root

    def held(self, suspicion: Suspicion) -> RootSuspected:
        return RootSuspected(root=self.ROOT, suspicion=suspicion, reason="x")

    @pytest.mark.rule("R14", "R17")
    def test_the_state_follows_from_the_events(self) -> None:
        """R14."""
        trusted = RootTrusted(root=MediaRoot(path="/srv/hls", root_id=an_id(0), device="b"), reason="y")
        assert self.after().held_against("/srv/hls") is None
        assert self.after(self.held(Suspicion.ABSENT)).held_against("/srv/hls") == self.held(Suspicion.ABSENT)
        root = self.after(self.held(Suspicion.ABSENT), self.held(Suspicion.DEVICE), trusted)
        assert (root.version, root.held_against("/srv/hls"), root.devices) == (3, None, {"/srv/hls": "b"})
        with pytest.raises(LookupError, match="BatchCompleted"):
            self.after(a_completed_batch())

    @pytest.mark.rule("R17")
    @pytest.mark.parametrize("known", [None, *Suspicion])
    @pytest.mark.parametrize("seen", Suspicion)
    def test_what_is_known_is_not_told_again_and_a_failed_flush_is_not_replaced(
        self, known: Suspicion | None, seen: Suspicion
    ) -> None:
        root = self.after(*([self.held(known)] if known else []))
        expected = () if known in {seen, Suspicion.FLUSH} else (self.held(seen),)
        assert suspect(root, self.ROOT, seen, "x") == expected

    @pytest.mark.rule("R17")
    @pytest.mark.invariant(9)
    @pytest.mark.parametrize("known", [None, *Suspicion])
    def test_only_an_operator_ends_a_failed_flush(self, known: Suspicion | None) -> None:
        root = self.after(*([self.held(known)] if known else []))
        trusted = (RootTrusted(root=self.ROOT, reason="y"),)
        assert trust(root, self.ROOT, "y") == (trusted if known else ())
        assert prove(root, self.ROOT, "y") == (trusted if known not in {None, Suspicion.FLUSH} else ())
