"""Sessions as the log tells them: replayed, found by channel, and seen from one another."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest

from application.folding import fold
from application.sessions import Sessions
from domain.batch import Moment
from domain.commands import Successor
from domain.errors import LogDamaged, NotFound
from domain.events import Disposition, MediaRoot, Naming, Recorded, SegmentsPurged
from domain.session import Session, replay
from tests.builders import OFF, a_completed_batch, a_session, an_id, envelope, happened, recorded, terms
from tests.memory_app import TESTER, App, Channel, Store


def sessions_of(channel: Channel, count: int, batches: int = 0) -> list[str]:
    """Open, fill and close so many sessions; the last stays open."""
    ids = []
    for number in range(count):
        if number:
            channel.app.generation.close(channel.id, "next", Disposition.PURGE, TESTER)
        channel.open()
        channel.generate(batches)
        ids.append(channel.id)
    return ids


def test_what_a_session_was_opened_with_is_read_once(channel: Channel, store: Store) -> None:
    channel.open()
    before, session = store.log.head(), channel.session
    sessions = Sessions(channel.app.log, channel.app.ids)
    assert sessions.opened(an_id(77)) is None
    assert sessions.opened(session.session_id) == session.opened
    empty = store.at(before - 1).log
    store.log._lines, store.log._sessions, store.log._ids = empty._lines, empty._sessions, empty._ids
    assert sessions.opened(session.session_id) == session.opened, "the log was not asked"
    sessions.forget()
    assert sessions.opened(session.session_id) is None


@pytest.mark.rule("R14")
def test_what_is_kept_and_what_is_replayed_are_the_same(channel: Channel) -> None:
    """R14: also when events came in between."""
    channel.open()
    for _ in range(5):
        channel.generate()
        channel.app.project()
        kept = channel.app.sessions.load(channel.id)
        assert kept == Sessions(channel.app.log, channel.app.ids).load(channel.id)
        assert kept == replay(channel.id, channel.app.log.read_session(channel.id))


class TestWhatIsKnown:
    """What a process has just read or recorded it need not ask for again, where the append tells if it is too old."""

    @pytest.fixture
    def sessions(self, channel: Channel) -> Sessions:
        """They know of the session's opening, and not of the two batches that follow."""
        channel.open()
        sessions = Sessions(channel.app.log, channel.app.ids)
        sessions.load(channel.id)
        channel.generate(2)
        return sessions

    @pytest.fixture
    def later(self, channel: Channel, sessions: Sessions) -> list[Recorded]:
        """The events that they do not know of."""
        version = sessions.known(channel.id).version
        return list(channel.app.log.read_session(channel.id, after_version=version))

    def test_the_log_is_not_asked(self, channel: Channel, sessions: Sessions) -> None:
        assert sessions.known(channel.id).version == 1

    def test_a_state_that_is_too_old_is_loaded(self, channel: Channel, sessions: Sessions) -> None:
        assert sessions.known(channel.id, 2) == sessions.known(channel.id) == channel.session

    def test_a_session_that_is_not_known_is_loaded(self, channel: Channel, sessions: Sessions) -> None:
        sessions.forget()
        assert sessions.known(channel.id) == channel.session

    def test_what_follows_is_folded(self, channel: Channel, sessions: Sessions, later: list[Recorded]) -> None:
        sessions.heard(later[:3])
        assert sessions.known(channel.id) == list(channel.app.sessions.steps(channel.id))[3][1]
        sessions.heard(later[1:])
        assert sessions.known(channel.id) == channel.session

    def test_what_does_not_follow_or_is_known_changes_nothing(
        self, channel: Channel, sessions: Sessions, later: list[Recorded]
    ) -> None:
        sessions.heard(later[1:])
        sessions.heard(())
        assert sessions.known(channel.id).version == 1
        sessions.load(channel.id)
        sessions.heard(later)
        assert sessions.known(channel.id) == channel.session

    def test_of_a_session_that_is_not_known_nothing_is_kept(
        self, channel: Channel, sessions: Sessions, later: list[Recorded]
    ) -> None:
        sessions.forget()
        sessions.heard(later)
        assert sessions.load(channel.id) == channel.session

    def test_who_was_behind_does_not_bring_an_older_state_back(
        self, channel: Channel, sessions: Sessions, later: list[Recorded]
    ) -> None:
        """A thread that folded a page, while another one recorded more of the same session."""
        session_id = channel.id

        def overtaken() -> Iterator[Recorded]:
            yield later[0]
            sessions.load(session_id)

        with patch.object(channel.app.log, "read_session", side_effect=[overtaken(), iter(later)]):
            assert sessions.load(session_id).version == 2
        assert sessions.known(session_id) == channel.session

    def test_what_was_forgotten_meanwhile_is_not_remembered(
        self, channel: Channel, sessions: Sessions, later: list[Recorded]
    ) -> None:
        """What a thread was folding may be of a log that went back."""

        session_id = channel.id

        def forgotten() -> Iterator[Recorded]:
            yield from later
            sessions.forget()

        with patch.object(channel.app.log, "read_session", side_effect=[forgotten(), iter(())]):
            sessions.load(session_id)
            assert sessions.known(session_id).opened is None, "the log is asked"

    @pytest.mark.rule("R14")
    def test_what_was_recorded_is_folded_as_it_is_read(self, channel: Channel, store: Store) -> None:
        """R14: the state that a process has of its own events is that of one who replays them."""
        channel.open()
        for _ in range(5):
            channel.generate()
            channel.app.project()
            known = channel.app.sessions.known(channel.id)
            assert known == Sessions(store.log, channel.app.ids).load(channel.id)


def test_a_session_that_nobody_opened_is_empty_and_not_remembered(app: App) -> None:
    assert app.sessions.load(an_id(1)) == Session(an_id(1))


def test_the_terms_of_a_session_that_was_never_opened_are_not_known() -> None:
    with pytest.raises(LookupError, match="never opened"):
        _ = Session(an_id(1)).terms


def test_the_steps_of_a_session_lead_to_its_state(channel: Channel) -> None:
    channel.open()
    channel.generate(2)
    steps = list(channel.app.sessions.steps(channel.id))
    assert [state.version for _, state in steps] == [1, 2, 3, 4, 5]
    assert steps[-1][1] == channel.session
    rest = list(channel.app.sessions.steps(channel.id, start=steps[2][1]))
    assert rest == steps[3:]


@pytest.mark.parametrize("count", [*range(1, 10), 16, 17, 33])
def test_the_newest_session_of_a_channel_is_found_however_many_it_had(channel: Channel, count: int) -> None:
    ids = sessions_of(channel, count)
    fresh = App(channel.app.store).sessions
    newest = fresh.newest_of("news")
    assert newest is not None
    assert (newest.session_id, newest.terms.ordinal) == (ids[-1], count)
    assert len(set(ids)) == count


def test_a_channel_that_never_had_a_session_has_no_newest(channel: Channel) -> None:
    sessions_of(channel, 2)
    assert channel.app.sessions.newest_of("other") is None


def test_session_ids_follow_from_store_channel_and_ordinal(app: App) -> None:
    found = {app.sessions.id_of(name, ordinal) for name in ("news", "sport") for ordinal in (1, 2)}
    assert len(found) == 4
    assert app.sessions.id_of("news", 1) == App(Store()).sessions.id_of("news", 1)


def test_a_name_is_a_session_id_or_a_channel(channel: Channel) -> None:
    ids = sessions_of(channel, 2)
    assert channel.app.sessions.resolve("news").session_id == ids[1]
    assert channel.app.sessions.resolve(ids[0]).session_id == ids[0]


@pytest.mark.rule("R20")
@pytest.mark.parametrize("name", ["sport", an_id(99), "", "news "])
def test_a_name_that_nothing_speaks_of_is_not_found(channel: Channel, name: str) -> None:
    """R20."""
    sessions_of(channel, 1)
    with pytest.raises(NotFound) as error:
        channel.app.sessions.resolve(name)
    assert (error.value.field, error.value.value) == ("session", name)
    assert repr(name) in str(error.value)


def test_what_is_kept_in_memory_has_a_bound(channel: Channel) -> None:
    """However many sessions the log tells of; those that are asked for again and again are not read anew."""
    ids = sessions_of(channel, 12)
    sessions = Sessions(channel.app.log, channel.app.ids, known=3)
    reads: list[str] = []
    read_session = channel.app.log.read_session

    def reading(session_id: str, *, after_version: int = 0) -> Iterator[Recorded]:
        if not after_version:
            reads.append(session_id)
        return read_session(session_id, after_version=after_version)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(channel.app.log, "read_session", reading)
        for session_id in ids:
            assert sessions.load(session_id) == channel.app.sessions.load(session_id)
            assert sessions.load(ids[0]).session_id == ids[0]
    assert reads == ids, "each once, and the first, which is asked for all the time, not again"
    assert len(sessions._memory) <= 6


def test_an_ended_session_is_kept_for_the_next_process(channel: Channel) -> None:
    """So that a channel's past costs a load and not a replay, however long it is."""
    ids = sessions_of(channel, 4)
    snapshots = channel.app.store.snapshots
    list(channel.app.sessions.earlier(channel.app.sessions.load(ids[3])))
    versions = {session_id: channel.app.log.version_of(session_id) for session_id in ids[:3]}
    assert snapshots.versions() == versions


class TestNeighbours:
    """What the sessions of a channel know of one another (R13, R19)."""

    def test_the_later_sessions_come_oldest_first(self, channel: Channel) -> None:
        ids = sessions_of(channel, 4)
        sessions = channel.app.sessions
        assert [one.session_id for one in sessions.later(sessions.load(ids[1]))] == ids[2:]
        assert list(sessions.later(sessions.load(ids[3]))) == []

    def test_there_are_none_after_one_that_is_open(self, channel: Channel) -> None:
        """The next one is opened when it is closed: so who purges need not ask for every batch."""
        sessions_of(channel, 1)
        session = channel.session
        with patch.object(channel.app.log, "version_of", side_effect=AssertionError):
            assert list(channel.app.sessions.later(session)) == []

    def test_the_earlier_sessions_with_batches_come_newest_first(self, channel: Channel) -> None:
        ids = sessions_of(channel, 3, batches=1)
        sessions = channel.app.sessions
        assert [one.session_id for one in sessions.earlier(sessions.load(ids[2]))] == [ids[1], ids[0]]
        channel.app.project()
        assert [one.session_id for one in sessions.earlier(sessions.load(ids[2]))] == [ids[1]]
        assert [one.session_id for one in sessions.earlier(sessions.load(ids[2]))] == [ids[1]], "and remembered"

    @pytest.mark.rule("R19")
    def test_all_later_sessions_count_and_the_newest_batch_is_named(self, channel: Channel) -> None:
        """R19."""
        ids = sessions_of(channel, 3, batches=2)
        sessions = channel.app.sessions
        last = channel.session.last_completed
        assert last is not None
        successor = sessions.successor(sessions.load(ids[0]))
        assert (successor.completed, successor.session_id, successor.newest) == (4, ids[2], last)
        assert sessions.successor(sessions.load(ids[2])) == Successor()

    @pytest.mark.rule("R19")
    def test_a_later_session_without_batches_does_not_hide_the_one_before(self, channel: Channel) -> None:
        """R19."""
        ids = sessions_of(channel, 2, batches=1)
        channel.app.generation.close(channel.id, "next", Disposition.PURGE, TESTER)
        channel.open()
        sessions = channel.app.sessions
        successor = sessions.successor(sessions.load(ids[0]))
        assert (successor.completed, successor.session_id) == (1, ids[1])
        assert successor.newest == sessions.load(ids[1]).last_completed is not None

    @pytest.mark.rule("R13")
    def test_the_first_playlist_of_the_first_later_session_is_what_counts(self, channel: Channel) -> None:
        """R13: that is when the last playlist of the session before went."""
        channel.open(policy=OFF)
        channel.generate(2)
        first = channel.id
        published = []
        for _ in range(2):
            channel.app.generation.close(channel.id, "next", Disposition.PURGE, TESTER)
            channel.app.clock.advance(10)
            channel.open(policy=OFF)
            published.append(Moment(channel.app.clock.time, channel.app.clock.uptime()))
            channel.generate(2)
        sessions = channel.app.sessions
        assert sessions.successor(sessions.load(first)).published == published[0]


class TestFolding:
    """Events that come from a disk may not follow from one another."""

    @pytest.mark.rule("R15")
    def test_an_event_that_does_not_follow_is_damage_and_says_where(self) -> None:
        """R15: a missing event is seen by what comes after it."""
        session = Session(an_id(1))
        with pytest.raises(LogDamaged) as error:
            fold(session, recorded(session, a_completed_batch(), position=9))
        assert error.value.position == 9
        assert "BatchCompleted does not follow" in str(error.value)

    @pytest.mark.rule("R15", "R20")
    @pytest.mark.parametrize(
        ("field", "value", "fields"),
        [
            ("rendition", "a\0b", {"renditions": ("v", "a\0b")}),
            ("rendition", "..", {"renditions": ("..",)}),
            ("channel", "../news", {"channel": "../news"}),
            ("media_root", "/srv\0", {"media_root": MediaRoot(path="/srv\0", root_id=an_id(0))}),
            ("naming.pattern", "{rendition}%d\0", {"naming": Naming(pattern="{rendition}%d\0", wrap=0)}),
        ],
        ids=repr,
    )
    def test_names_that_nobody_could_have_opened_a_session_with_are_damage(
        self, channel: Channel, field: str, value: str, fields: dict[str, Any]
    ) -> None:
        """R15, R20: before anything is made of them: each leads somewhere else, or ends a system call with a fault."""
        log, sessions = channel.app.log, channel.app.sessions
        log.append([envelope(terms(**fields), session_id=an_id(7))], expected_version=0)
        for read in (sessions.load, lambda session_id: list(sessions.steps(session_id))):
            with pytest.raises(LogDamaged) as error:
                read(an_id(7))
            assert error.value.position == log.head()
            assert error.value.reason.startswith(f"SessionOpened: {field}: {value!r} is not allowed: ")
        with pytest.raises(LogDamaged):
            channel.app.project()
        assert log.head() == 1

    def test_a_purge_without_a_batch_is_damage(self) -> None:
        session = a_session()
        event = SegmentsPurged(purge_id=an_id(1), batch=3, deleted=0, bytes_freed=0)
        with pytest.raises(LogDamaged):
            fold(session, recorded(session, event))

    def test_an_event_that_follows_is_folded(self) -> None:
        session = Session(an_id(1))
        assert fold(session, recorded(session, terms())) == happened(session, terms())


@pytest.mark.rule("R20")
@pytest.mark.parametrize("ordinal", [0, -3, 2, 10**9])
def test_a_session_that_comes_after_more_sessions_than_there_are_events_is_damage(ordinal: int) -> None:
    """R20: who looks for those before it would look for ever."""
    with pytest.raises(LogDamaged, match=f"the channel's session {ordinal}, and comes after fewer events"):
        fold(Session(an_id(1)), recorded(Session(an_id(1)), terms(ordinal=ordinal)))
    assert fold(Session(an_id(1)), recorded(Session(an_id(1)), terms(ordinal=2), position=2)).opened
