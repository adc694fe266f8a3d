"""The text of playlists (RFC 8216 section 4), and what may stand in them. Pure: texts and values alone.

The version is 3, the lowest that allows durations with a fraction (section 7); nothing here needs a higher one.
"""

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote, unquote

from msgspec.structs import replace

from application.ports import MediaPlaylist, PlaylistSegment
from domain.segments import PLAYLIST_SUFFIX

MASTER_PLAYLIST = "master.m3u8"
_HEADER = ("#EXTM3U", "#EXT-X-VERSION:3")
_MEDIA_SEQUENCE = re.compile(r"^#EXT-X-MEDIA-SEQUENCE:([0-9]{1,20})\s*$", re.MULTILINE)
_DISCONTINUITY_SEQUENCE = re.compile(r"^#EXT-X-DISCONTINUITY-SEQUENCE:([0-9]{1,20})\s*$", re.MULTILINE)


class Listing(NamedTuple):
    """What a media playlist lists: names, and both sequence numbers of the first (sections 4.3.3.2 and 4.3.3.3)."""

    media_sequence: int
    names: tuple[str, ...]
    discontinuity_sequence: int = 0

    @property
    def end(self) -> int:
        """The media sequence number of the segment that would be appended next."""
        return self.media_sequence + len(self.names)


def media_playlist_name(rendition: str) -> str:
    """The file name of a rendition's media playlist."""
    return rendition + PLAYLIST_SUFFIX


def render_media(playlist: MediaPlaylist) -> str:
    """The text of a media playlist.

    The target duration is rounded as section 4.3.3.1 rounds the durations that it bounds, so that it is the same while
    they keep to `target_duration_ms`; a segment that does not raises it, for a wrong bound is the greater evil.
    """
    longest_ms = max([playlist.target_duration_ms, *(segment.duration_ms for segment in playlist.segments)])
    lines = [
        *_HEADER,
        f"#EXT-X-TARGETDURATION:{max(1, (longest_ms + 500) // 1000)}",
        f"#EXT-X-MEDIA-SEQUENCE:{playlist.media_sequence}",
        f"#EXT-X-DISCONTINUITY-SEQUENCE:{playlist.discontinuity_sequence}",
    ]
    for segment in playlist.segments:
        lines += _segment_lines(segment)
    return "\n".join(lines) + "\n"


def render_master(playlists: Sequence[MediaPlaylist]) -> str:
    """The text of the master playlist: the renditions in the order given."""
    lines = [*_HEADER]
    for playlist in playlists:
        lines += [
            f"#EXT-X-STREAM-INF:BANDWIDTH={playlist.bandwidth}",
            f"{playlist.rendition}/{media_playlist_name(playlist.rendition)}",
        ]
    return "\n".join(lines) + "\n"


def parse_media(text: str) -> Listing:
    """What a media playlist lists; nothing, if the text is not a playlist."""
    if not text.startswith("#EXTM3U"):
        return Listing(0, ())
    sequence = _MEDIA_SEQUENCE.search(text)
    names = tuple(unquote(line.strip()) for line in text.splitlines() if line.strip() and not line.startswith("#"))
    discontinuities = _DISCONTINUITY_SEQUENCE.search(text)
    return Listing(int(sequence[1]) if sequence else 0, names, int(discontinuities[1]) if discontinuities else 0)


def playable(playlist: MediaPlaylist, present: Collection[str], shown: Listing) -> MediaPlaylist:
    """The playlist with those of its segments alone that can be listed.

    That is the newest run of segments whose files are ``present``: what is before a hole would make the player ask for
    the hole. Nothing before the media sequence number that was ``shown`` comes back, for it has been removed before
    (section 6.2.2). What is left out at the head counts as removed, in both sequence numbers; they never decrease, also
    where nothing is left to list.
    """
    segments = playlist.segments
    lowest = min(max(0, shown.media_sequence - playlist.media_sequence), len(segments))
    end = len(segments)
    while end > lowest and segments[end - 1].name not in present:
        end -= 1
    first = end
    while first > lowest and segments[first - 1].name in present:
        first -= 1
    return replace(
        playlist,
        media_sequence=max(playlist.media_sequence + first, shown.media_sequence),
        discontinuity_sequence=max(
            playlist.discontinuity_sequence + sum(gone.discontinuity for gone in segments[:first]),
            shown.discontinuity_sequence,
        ),
        segments=segments[first:end],
    )


def _segment_lines(segment: PlaylistSegment) -> list[str]:
    seconds, ms = divmod(segment.duration_ms, 1000)
    return [
        *(["#EXT-X-DISCONTINUITY"] if segment.discontinuity else []),
        f"#EXT-X-PROGRAM-DATE-TIME:{_date_time(segment.program_at)}",
        f"#EXTINF:{seconds}.{ms:03d},",
        quote(segment.name),
    ]


def _date_time(at: int) -> str:
    """ISO 8601 with milliseconds (section 4.3.2.6), of microseconds since the epoch."""
    seconds, us = divmod(at, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{us // 1000:03d}Z"
