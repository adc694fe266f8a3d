"""R13: until when RFC 8216 section 6.2.2 wants a segment to stay, by cases that were computed by hand.

Sessions have batches of two segments of 2 s; the playlist lists four segments, 8 s, unless a test says otherwise.
"""

from typing import Any

import pytest

from domain import retention
from domain.batch import Moment
from domain.commands import IssuePurge, RecordPlaylist, Successor
from domain.decisions import decide
from domain.errors import Refused
from domain.events import Availability, PlaylistPublished, Policy, SegmentsLost
from domain.session import Session
from tests.builders import (
    NOW,
    SECOND,
    a_session,
    an_id,
    closed,
    completed,
    files_of,
    generated,
    happened,
    identities_of,
    published,
    started,
    successor,
    with_one_changed,
)

RFC8216 = Policy(availability=Availability.RFC8216)


def a_listed_session(**fields: Any) -> Session:
    return a_session(policy=RFC8216, **fields)


def at(seconds: float) -> int:
    return NOW + round(seconds * SECOND)


def due(session: Session, batch: int, later: Successor | None = None) -> retention.Due:
    return next(one for one in retention.due(session, later) if one.batch == batch)


def issue_at(session: Session, seconds: float) -> None:
    decide(session, IssuePurge(batch=0, purge_id=an_id(1), now=at(seconds)))


def three_batches_listed() -> Session:
    """The playlist listed batches 0 and 1 at 50 s, and 1 and 2 at 100 s."""
    session = published(generated(a_listed_session(), 2), 0, 3, at=at(50))
    return published(generated(session, 1, at=at(99)), 2, 5, at=at(100))


def listed_one_by_one(batches: int) -> Session:
    """After each batch a playlist of the last two was recorded, twice; they grow from 100 ms by 1 ms each."""
    session = a_listed_session()
    for batch in range(batches):
        session = generated(session)
        for _ in range(2):
            session = published(session, max(0, 2 * batch - 2), 2 * batch + 1, duration_ms=100 + batch)
    return session


@pytest.mark.rule("R13")
def test_a_segment_stays_for_its_duration_and_that_of_the_longest_playlist_after_it_left() -> None:
    """R13: left at 100 s, 2 s of its own, 8 s of playlist."""
    session = three_batches_listed()
    assert retention.available_until(session.batches[0]) == at(110)
    assert due(session, 0).due_at == at(110)


@pytest.mark.rule("R13")
def test_the_purge_is_refused_until_that_moment_and_authorised_from_it_on() -> None:
    """R13: to the microsecond."""
    session = three_batches_listed()
    with pytest.raises(Refused) as error:
        issue_at(session, 109.999999)
    assert (error.value.rule, error.value.field, error.value.value) == ("R13", "batch", 0)
    issue_at(session, 110)


@pytest.mark.rule("R13")
def test_what_is_listed_is_not_due_at_any_time() -> None:
    """R13: here since the playlist of batch 2 is not written yet."""
    session = generated(published(generated(a_listed_session(), 2), 0, 3), 1)
    found = due(session, 0)
    assert (found.due_at, found.waits_for) == (None, retention.LISTED)
    with pytest.raises(Refused) as error:
        issue_at(session, 10**9)
    assert error.value.rule == "R13"
    assert retention.LISTED in error.value.reason


@pytest.mark.rule("R13")
def test_a_batch_whose_playlist_was_never_written_waits_for_one() -> None:
    """R13: nothing says yet that no player has seen it."""
    session = generated(a_listed_session(), 3)
    assert due(session, 0).due_at is None
    session = published(session, 2, 5, at=at(40))
    assert due(session, 0).due_at == at(40 + 2 + 8), "nobody can say that it was in none"


@pytest.mark.rule("R13")
def test_a_playlist_that_was_perhaps_written_and_not_recorded_counts_as_long_as_it_may_have_been() -> None:
    """R13: the one of batches 1 and 2: there was a crash, or a flush failed, after it was on the disk."""
    session = generated(three_batches_listed())
    batch = completed(started(session), with_one_changed(files_of(started(session)), duration_ms=3500))
    session = published(batch, 6, 9, duration_ms=9500, at=at(300))
    for number in (1, 2):
        assert retention.available_until(session.batches[number]) == at(300 + 2 + 4 * 3.5)
    assert retention.available_until(session.batches[0]) == at(110), "it had left before"


@pytest.mark.rule("R13")
def test_with_every_playlist_recorded_nothing_is_presumed() -> None:
    """R13: each batch in turn, the first playlist, and the same one again."""
    session = listed_one_by_one(4)
    assert [session.batches[number].longest_ms for number in range(4)] == [101, 102, 103, 103]


@pytest.mark.rule("R13")
def test_a_batch_is_listed_as_long_as_one_of_its_segments_is() -> None:
    """R13: a window of five lists the second segment of batch 0 beside batches 1 and 2."""
    session = published(generated(a_listed_session(playlist_window=5), 3), 1, 5, at=at(60))
    assert session.batches[0].listed
    assert retention.available_until(session.batches[0]) is None
    session = published(generated(session, 1), 3, 7, at=at(70))
    assert not session.batches[0].listed
    assert session.batches[1].listed
    assert retention.available_until(session.batches[0]) == at(70 + 2 + 10)


@pytest.mark.rule("R13")
def test_the_longest_playlist_counts_not_the_last() -> None:
    """R13: it was in playlists of 4 s, 9.5 s and 6 s."""
    session = published(generated(a_listed_session(), 1), 0, 1, duration_ms=4000)
    session = published(generated(session, 1), 0, 3, duration_ms=9500)
    session = published(session, 1, 3, duration_ms=6000)
    session = published(generated(session, 1), 2, 5, at=at(200))
    assert retention.available_until(session.batches[0]) == at(200 + 2 + 9.5)


@pytest.mark.rule("R13")
def test_the_longest_segment_of_the_batch_counts() -> None:
    """R13: a batch goes as a whole, so its longest segment decides."""
    session = started(a_listed_session())
    session = completed(session, with_one_changed(files_of(session), duration_ms=3700))
    session = published(generated(published(session, 0, 1, 5700)), 0, 3, 5700)
    session = published(generated(session), 2, 5, at=at(300))
    assert retention.available_until(session.batches[0]) == at(300 + 3.7 + 5.7)


@pytest.mark.rule("R13")
def test_a_batch_whose_files_were_all_noted_as_lost_waits_for_its_playlist_alone() -> None:
    """R13: there is no segment left that could be asked for."""
    session = three_batches_listed()
    session = happened(session, SegmentsLost(batch=0, files=identities_of(session.batches[0].files)))
    assert retention.available_until(session.batches[0]) == at(108)


@pytest.mark.rule("R13")
def test_it_left_when_it_left_first_and_later_playlists_change_nothing() -> None:
    """R13."""
    session = published(generated(three_batches_listed(), 1), 4, 7, duration_ms=60_000, at=at(105))
    assert retention.available_until(session.batches[0]) == at(110)


@pytest.mark.rule("R13")
def test_a_batch_that_comes_back_into_a_playlist_waits_anew() -> None:
    """R13: a playlist written again after a restart may list more than the one before it."""
    session = published(three_batches_listed(), 0, 5, duration_ms=12_000, at=at(103))
    assert retention.available_until(session.batches[0]) is None
    session = published(session, 2, 5, at=at(104))
    assert retention.available_until(session.batches[0]) == at(104 + 2 + 12)


@pytest.mark.rule("R13")
def test_a_playlist_written_again_after_a_restart_changes_nothing() -> None:
    """R13: it lists what it listed before, and no event is recorded."""
    session = three_batches_listed()
    assert decide(session, RecordPlaylist(first_segment=2, last_segment=5, duration_ms=8000)) == ()
    assert decide(session, RecordPlaylist(first_segment=2, last_segment=7, duration_ms=12_000)) == (
        PlaylistPublished(first_segment=2, last_segment=7, duration_ms=12_000),
    )


@pytest.mark.rule("R13")
def test_a_playlist_that_was_late_does_not_make_a_newer_batch_leave() -> None:
    """R13: batch 2 completed while the playlist of batches 0 and 1 was being written."""
    session = published(generated(a_listed_session(), 3), 0, 3)
    assert session.batches[2].left is None


@pytest.mark.rule("R13")
def test_a_late_playlist_makes_a_batch_due_late() -> None:
    """R13: a batch is due when both the rule of N-2 and the playlist let it go; here the playlist was first."""
    session = published(generated(a_listed_session(playlist_window=2), 1), 0, 1, at=at(10))
    session = published(generated(session, 1, at=at(20)), 2, 3, at=at(20))
    session = generated(session, 1, at=at(90))
    assert retention.available_until(session.batches[0]) == at(20 + 2 + 4)
    assert due(session, 0).due_at == at(90)


@pytest.mark.rule("R13")
@pytest.mark.parametrize(
    "session",
    [a_session(), a_session(policy=RFC8216, playlist_window=0)],
    ids=["availability off", "no playlist"],
)
def test_without_a_playlist_to_wait_for_a_batch_is_due_at_once(session: Session) -> None:
    """R13."""
    session = generated(session, 3)
    completion = session.batches[2].completed
    assert completion is not None
    assert due(session, 0).due_at == completion.at


@pytest.mark.rule("R13")
def test_with_availability_off_a_playlist_is_recorded_only_where_a_session_before_may_wait_for_it() -> None:
    """R13: the first one of a later session."""
    command = RecordPlaylist(first_segment=0, last_segment=3, duration_ms=8000)
    assert decide(generated(a_session(), 2), command) == ()
    later = generated(a_session(ordinal=2), 2)
    assert decide(later, command) == (PlaylistPublished(first_segment=0, last_segment=3, duration_ms=8000),)
    assert decide(published(later, 0, 1), command) == ()


@pytest.mark.rule("R13")
def test_a_playlist_says_nothing_of_a_batch_that_is_being_generated() -> None:
    """R13."""
    session = published(started(generated(a_listed_session(), 2)), 0, 3)
    assert [batch.listed for batch in session.batches.values()] == [True, True, False]
    assert session.batches[2].left is None


class TestClosedSessions:
    """What the last playlist of a session lists leaves it when the next session's playlist takes its place."""

    def closed_session(self) -> Session:
        return closed(three_batches_listed(), at=at(120))

    @pytest.mark.rule("R13")
    def test_the_last_batches_stay_listed_until_a_later_session_publishes(self) -> None:
        """R13."""
        later = successor(2, at=at(500))
        assert due(self.closed_session(), 0, later).due_at == at(110)
        for batch in (1, 2):
            assert due(self.closed_session(), batch, later).waits_for == retention.LISTED

    @pytest.mark.rule("R13", "R19")
    @pytest.mark.parametrize(
        ("published_at", "completed_at", "due_at"), [(400, 500, 500), (495, 500, 505), (600, 500, 610)]
    )
    def test_they_wait_from_the_first_playlist_of_a_later_session_on(
        self, published_at: int, completed_at: int, due_at: int
    ) -> None:
        """R13, R19: 2 s and 8 s after it, and until the channel has two newer batches."""
        later = successor(2, batch=1, position=50, at=at(completed_at), published=Moment(at(published_at)))
        found = due(self.closed_session(), 2, later)
        assert found.due_at == at(due_at)
        assert found.because is not None
        assert (found.because.rule, found.because.completed_batch) == ("R19", 1)
        assert (found.because.session_id, found.because.completed_position) == (an_id(2), 50)

    @pytest.mark.rule("R13")
    def test_a_last_playlist_that_was_perhaps_written_and_not_recorded_counts_too(self) -> None:
        """R13: batch 3 completed, and the end came before its playlist was recorded."""
        session = closed(generated(three_batches_listed()), at=at(120))
        later = successor(4, at=at(400), published=Moment(at(400)))
        for batch in (1, 2, 3):
            assert due(session, batch, later).due_at == at(400 + 2 + 8)
        assert due(closed(listed_one_by_one(3)), 2, later).due_at == at(400 + 2 + 0.102), "here it was recorded"

    @pytest.mark.rule("R13")
    def test_what_left_before_the_end_does_not_wait_again(self) -> None:
        """R13: batch 0 left its own session's playlist long before."""
        later = successor(2, at=at(400), published=Moment(at(400)))
        assert due(self.closed_session(), 0, later).due_at == at(110)
