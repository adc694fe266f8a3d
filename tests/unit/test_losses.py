"""The repair of losses: that kept files are gone is taken note of; playlists go on, and purges do not wait."""

from pathlib import Path

import pytest

from application.losses import LostFiles
from application.verify import Level
from domain.errors import LogDamaged, NotFound, RootSuspect
from domain.events import Availability, Disposition, PlaylistPublished, Policy, SegmentsLost
from media.playlist_text import parse_media
from tests.memory_app import TESTER, App, Channel

WHY = "a bad disk"


@pytest.fixture
def made(channel: Channel) -> Channel:
    """Four batches of two in two renditions, of which the newest two are listed and kept."""
    channel.open(renditions=("v", "a"))
    channel.generate(4)
    channel.app.project()
    return channel


def found(channel: Channel) -> list[LostFiles]:
    head = channel.app.log.head()
    lost = channel.app.losses.find(channel.name)
    assert channel.app.log.head() == head, "a look records nothing"
    return lost


def noted(channel: Channel) -> list[str]:
    return [type(one.event).__name__ for one in channel.app.losses.note(channel.name, WHY, TESTER)]


def shown(channel: Channel, rendition: str = "v") -> tuple[int, list[str]]:
    return parse_media(channel.playlist(rendition)).media_sequence, channel.listed(rendition)


def sound(channel: Channel) -> bool:
    return App(channel.app.store).verifier.verify(Level.IDENTITY).ok


@pytest.mark.rule("R16")
def test_what_is_gone_is_recorded_once_for_each_batch(made: Channel) -> None:
    """R16: with who, why and what it was."""
    gone = [made.paths(2)[0], made.paths(2)[2], made.paths(3)[1]]
    for path in gone:
        path.unlink()
    assert [(one.batch, one.files) for one in found(made)] == [
        (2, (str(gone[0]), str(gone[1]))),
        (3, (str(gone[2]),)),
    ]
    assert noted(made) == ["SegmentsLost", "SegmentsLost"]
    first = made.events()[-2]
    assert isinstance(first, SegmentsLost)
    assert (first.batch, first.reason, [one.file for one in first.files]) == (
        2,
        WHY,
        ["v/v_segment_004.ts", "a/a_segment_004.ts"],
    )
    assert found(made) == []
    assert noted(made) == []
    assert sound(made)


def test_where_nothing_is_lost_nothing_is_noted(made: Channel) -> None:
    assert found(made) == []
    assert noted(made) == []


def test_a_file_that_was_replaced_is_not_lost(made: Channel) -> None:
    made.paths(3)[0].write_bytes(b"something else")
    assert found(made) == []


class TestPlaylists:
    """R8: a playlist has no holes, and its media sequence number never goes back (RFC 8216 6.2.2)."""

    @pytest.mark.parametrize(
        ("batch", "index", "expected"),
        [
            (2, 0, (5, [5, 6, 7])),
            (2, 1, (6, [6, 7])),
            (3, 0, (7, [7])),
            (3, 1, (4, [4, 5, 6])),
        ],
    )
    @pytest.mark.rule("R8")
    def test_they_begin_behind_the_newest_hole(
        self, made: Channel, batch: int, index: int, expected: tuple[int, list[int]]
    ) -> None:
        """R8: or end before it, if nothing comes behind it yet."""
        made.paths(batch)[index].unlink()
        noted(made)
        sequence, numbers = expected
        assert shown(made) == (sequence, [f"v_segment_{number:03d}.ts" for number in numbers])
        assert shown(made, "a") == (4, [f"a_segment_{number:03d}.ts" for number in (4, 5, 6, 7)])
        assert sound(made)
        made.generate(1)
        assert shown(made)[0] in {6, 7, 8}
        assert shown(made)[0] >= sequence
        assert shown(made)[1][-1] == "v_segment_009.ts"
        assert sound(made)

    def test_the_numbers_that_are_listed_have_the_times_that_they_had(self, made: Channel) -> None:
        before = made.playlist().split("#EXT-X-PROGRAM-DATE-TIME:")[-1]
        made.paths(3)[0].unlink()
        noted(made)
        assert made.playlist().split("#EXT-X-PROGRAM-DATE-TIME:")[-1] == before

    def test_where_everything_is_lost_nothing_is_listed_until_the_next_batch(self, made: Channel) -> None:
        for path in [*made.paths(2), *made.paths(3)]:
            path.unlink()
        noted(made)
        assert shown(made) == (8, [])
        assert sound(made)
        made.generate(1)
        assert shown(made) == (8, ["v_segment_008.ts", "v_segment_009.ts"])
        assert sound(made)

    @pytest.mark.rule("R8")
    def test_those_of_a_session_before_are_written_while_the_newest_has_none(self, made: Channel) -> None:
        """R8: what they list is there."""
        made.app.generation.close(made.id, "next", Disposition.KEEP, TESTER)
        lost = made.paths(2)[0]
        made.open(renditions=("v", "a"))
        lost.unlink()
        noted(made)
        assert shown(made) == (5, [f"v_segment_{number:03d}.ts" for number in (5, 6, 7)])
        assert sound(made)

    @pytest.mark.rule("R13")
    def test_what_is_recorded_of_them_holds_for_the_rendition_that_lists_most(self, channel: Channel) -> None:
        """R13: a batch that any of them lists has not left."""
        channel.open(renditions=("v", "a"), policy=Policy(availability=Availability.RFC8216))
        channel.generate(2)
        channel.paths(0)[0].unlink()
        assert noted(channel) == ["SegmentsLost"], "the other rendition lists what it listed"
        channel.paths(0)[2].unlink()
        assert noted(channel) == ["SegmentsLost", "PlaylistPublished"]
        published = channel.events()[-1]
        assert isinstance(published, PlaylistPublished)
        assert (published.first_segment, published.last_segment, published.duration_ms) == (1, 3, 6000)
        assert sound(channel)


@pytest.mark.rule("R3", "R7")
def test_a_purge_does_not_wait_for_what_is_lost(made: Channel) -> None:
    """R3, R7: a batch of which most is gone would wait for somebody to confirm it."""
    for path in made.paths(2)[:3]:
        path.unlink()
    made.generate(1)
    made.app.project()
    assert made.kinds()[-1] == "PurgeRefused"
    noted(made)
    made.app.project()
    assert made.kinds()[-2:] == ["PurgeIssued", "SegmentsPurged"]
    assert sound(made)


@pytest.mark.rule("R10")
def test_what_is_being_purged_is_not_lost(made: Channel) -> None:
    """R10: that it is gone has an authorisation."""
    made.generate(1)
    made.app.purger.issue(made.id, 2)
    for path in made.paths(2):
        path.unlink()
    assert found(made) == []
    assert noted(made) == []


def test_batches_of_a_closed_session_count_too(made: Channel) -> None:
    made.paths(3)[0].unlink()
    made.app.generation.close(made.id, "the end", Disposition.KEEP, TESTER)
    made.open()
    assert [one.batch for one in found(made)] == [3]
    assert noted(made) == ["SegmentsLost"]


@pytest.mark.rule("R17")
def test_a_disk_that_is_not_mounted_has_lost_nothing(made: Channel, tmp_path: Path) -> None:
    """R17: absent is not deleted."""
    made.root.rename(tmp_path / "away")
    made.root.mkdir()
    for order in (made.app.losses.find, lambda name: made.app.losses.note(name, WHY, TESTER)):
        with pytest.raises(RootSuspect):
            order(made.name)
    assert "SegmentsLost" not in made.kinds()


def test_an_unknown_channel_is_said_to_be_unknown(made: Channel) -> None:
    with pytest.raises(NotFound, match="channel: 'sport'"):
        made.app.losses.find("sport")


@pytest.mark.rule("R15")
def test_nothing_is_noted_on_the_word_of_a_damaged_log(made: Channel) -> None:
    """R15."""
    made.paths(3)[0].unlink()
    lines = made.app.store.log._lines
    lines[1] = lines[2]
    with pytest.raises(LogDamaged):
        App(made.app.store).losses.note(made.name, WHY, TESTER)
