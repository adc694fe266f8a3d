"""The text of playlists, and which segments may stand in them."""

import m3u8
import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.ports import MediaPlaylist, PlaylistSegment
from media.playlist_text import Listing, parse_media, playable, render_master, render_media


def a_segment(
    number: int, *, duration_ms: int = 2000, discontinuity: bool = False, program_at: int = 0, name: str = ""
) -> PlaylistSegment:
    return PlaylistSegment(name or f"v1_segment_{number % 1000:03d}.ts", duration_ms, program_at, discontinuity)


def a_playlist(
    *segments: PlaylistSegment,
    media_sequence: int = 0,
    discontinuity_sequence: int = 0,
    target_duration_ms: int = 2000,
    rendition: str = "v1",
    bandwidth: int = 800_000,
) -> MediaPlaylist:
    return MediaPlaylist(
        rendition=rendition,
        target_duration_ms=target_duration_ms,
        media_sequence=media_sequence,
        discontinuity_sequence=discontinuity_sequence,
        segments=segments,
        bandwidth=bandwidth,
    )


def test_a_media_playlist_reads_like_this() -> None:
    first = a_segment(999, program_at=1_790_000_000_123_999)
    second = a_segment(1000, duration_ms=1_970, discontinuity=True, program_at=1_790_000_002_123_999)
    assert render_media(a_playlist(first, second, media_sequence=999, discontinuity_sequence=3)) == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:3\n"
        "#EXT-X-TARGETDURATION:2\n"
        "#EXT-X-MEDIA-SEQUENCE:999\n"
        "#EXT-X-DISCONTINUITY-SEQUENCE:3\n"
        "#EXT-X-PROGRAM-DATE-TIME:2026-09-21T14:13:20.123Z\n"
        "#EXTINF:2.000,\n"
        "v1_segment_999.ts\n"
        "#EXT-X-DISCONTINUITY\n"
        "#EXT-X-PROGRAM-DATE-TIME:2026-09-21T14:13:22.123Z\n"
        "#EXTINF:1.970,\n"
        "v1_segment_000.ts\n"
    )


def test_a_master_playlist_reads_like_this() -> None:
    assert render_master([a_playlist(rendition="720p", bandwidth=2_500_000), a_playlist(rendition="360p")]) == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:3\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=2500000\n"
        "720p/720p.m3u8\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=800000\n"
        "360p/360p.m3u8\n"
    )


@pytest.mark.parametrize(
    ("target_ms", "durations_ms", "expected"),
    [
        (2000, [2000, 1970], 2),
        (2000, [2002, 2499], 2),
        (2000, [], 2),
        (2000, [2500], 3),
        (2000, [7999], 8),
        (2500, [2500], 3),
        (6006, [6006], 6),
        (40, [40], 1),
    ],
)
def test_the_target_duration_bounds_every_rounded_duration(
    target_ms: int, durations_ms: list[int], expected: int
) -> None:
    segments = [a_segment(number, duration_ms=duration_ms) for number, duration_ms in enumerate(durations_ms)]
    read = m3u8.loads(render_media(a_playlist(*segments, target_duration_ms=target_ms)))
    assert read.target_duration == expected


def test_a_name_with_signs_that_mean_something_in_a_uri_is_quoted_and_read_back() -> None:
    odd = "v1:é?#&+,;=@[~]\"'.ts"
    text = render_media(a_playlist(a_segment(0, name=odd)))
    assert m3u8.loads(text).segments[0].uri == "v1%3A%C3%A9%3F%23%26%2B%2C%3B%3D%40%5B~%5D%22%27.ts"
    assert parse_media(text).names == (odd,)


@pytest.mark.parametrize("text", ["", "garbage\nv1_segment_000.ts\n", "#EXT-X-MEDIA-SEQUENCE:5\nv1_segment_000.ts\n"])
def test_what_is_not_a_playlist_lists_nothing(text: str) -> None:
    assert parse_media(text) == Listing(0, ())


def test_a_playlist_of_another_writer_is_understood() -> None:
    text = "#EXTM3U\r\n#EXT-X-TARGETDURATION:2\r\n\r\n#EXTINF:2,\r\na.ts\r\n# a comment\r\n#EXTINF:2,\r\nb.ts"
    assert parse_media(text) == Listing(0, ("a.ts", "b.ts"))
    assert parse_media(text.replace("#EXTINF", "#EXT-X-MEDIA-SEQUENCE:7\r\n#EXTINF", 1)).end == 9


segments = st.lists(
    st.builds(
        PlaylistSegment,
        name=st.integers(0, 10**6).map(lambda number: f"v1_segment_{number}.ts"),
        duration_ms=st.integers(1, 3_600_000),
        program_at=st.integers(0, 4 * 10**15),
        discontinuity=st.booleans(),
    ),
    max_size=12,
    unique_by=lambda segment: segment.name,
)
playlists = st.builds(
    lambda found, first, before: a_playlist(*found, media_sequence=first, discontinuity_sequence=before),
    segments,
    st.integers(0, 10**9),
    st.integers(0, 10**6),
)


@given(playlists)
def test_an_independent_reader_reads_what_was_written(playlist: MediaPlaylist) -> None:
    text = render_media(playlist)
    read = m3u8.loads(text)
    assert (read.version, read.is_endlist, read.is_variant) == (3, False, False)
    assert read.media_sequence == playlist.media_sequence
    assert read.discontinuity_sequence == playlist.discontinuity_sequence
    assert [one.uri for one in read.segments] == [one.name for one in playlist.segments]
    assert [round(one.duration * 1000) for one in read.segments] == [one.duration_ms for one in playlist.segments]
    assert [one.discontinuity for one in read.segments] == [one.discontinuity for one in playlist.segments]
    assert [
        round(one.program_date_time.timestamp() * 1000) for one in read.segments if one.program_date_time is not None
    ] == [one.program_at // 1000 for one in playlist.segments]
    assert all(one.duration < read.target_duration + 0.5 for one in read.segments)
    names = tuple(one.name for one in playlist.segments)
    assert parse_media(text) == Listing(playlist.media_sequence, names, playlist.discontinuity_sequence)


def listed(present: str, earliest: int = 0, media_sequence: int = 10) -> tuple[int, str]:
    """What is left of a playlist of which each segment is there (its letter) or missing (a dot)."""
    playlist = a_playlist(*(a_segment(0, name=letter) for letter in "abcdef"), media_sequence=media_sequence)
    left = playable(playlist, set(present) - {"."}, Listing(earliest, ()))
    return left.media_sequence, "".join(segment.name for segment in left.segments)


@pytest.mark.rule("R8")
def test_only_the_newest_run_of_segments_that_are_there_is_listed() -> None:
    assert listed("abcdef") == (10, "abcdef")
    assert listed(".bcdef") == (11, "bcdef")
    assert listed("ab.def") == (13, "def")
    assert listed("abcde.") == (10, "abcde")
    assert listed("a.c.e.") == (14, "e")
    assert listed("......") == (10, "")


def test_what_was_removed_from_the_playlist_does_not_come_back() -> None:
    assert listed("abcdef", earliest=12) == (12, "cdef")
    assert listed("abcd.f", earliest=12) == (15, "f")
    assert listed("ab....", earliest=12) == (12, "")
    assert listed("abcdef", earliest=16) == (16, "")
    assert listed("abcdef", earliest=9) == (10, "abcdef")


@pytest.mark.rule("R8")
def test_where_nothing_is_left_to_list_no_sequence_number_decreases() -> None:
    """R8: the newest of what was shown may be lost, and what is there be older (RFC 8216 section 6.2.2)."""
    assert listed("abcdef", earliest=20) == (20, "")
    assert playable(a_playlist(a_segment(0, name="a")), {"a"}, Listing(9, (), 3)).discontinuity_sequence == 3


def test_a_discontinuity_that_is_left_out_is_counted_as_removed() -> None:
    names = "abcd"
    playlist = a_playlist(*(a_segment(0, name=name, discontinuity=name in "bd") for name in names))
    assert playable(playlist, {"b", "c", "d"}, Listing(0, ())).discontinuity_sequence == 0
    assert playable(playlist, {"c", "d"}, Listing(0, ())).discontinuity_sequence == 1
    assert playable(playlist, set(), Listing(4, ())).discontinuity_sequence == 2


@given(playlists, st.data())
def test_whatever_is_missing_the_rest_keeps_its_numbers(playlist: MediaPlaylist, data: st.DataObject) -> None:
    names = [segment.name for segment in playlist.segments]
    present = set(data.draw(st.lists(st.sampled_from(names)))) if names else set()
    earliest = playlist.media_sequence + data.draw(st.integers(-3, len(names)))
    left = playable(playlist, present, Listing(earliest, ()))
    first = left.media_sequence - playlist.media_sequence
    assert {segment.name for segment in left.segments} <= present
    assert left.media_sequence >= earliest
    assert left.segments == playlist.segments[first : first + len(left.segments)]
    assert left.discontinuity_sequence - playlist.discontinuity_sequence == sum(
        segment.discontinuity for segment in playlist.segments[:first]
    )
    newest = max((number for number, name in enumerate(names) if name in present), default=-1)
    if playlist.media_sequence + newest >= earliest and newest >= 0:
        assert left.segments[-1].name == names[newest]
    else:
        assert left.segments == ()
