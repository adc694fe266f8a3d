"""What the playlists of a session list, and what is to be recorded of that.

They list only segments of completed batches whose purge is not authorised.
"""

from collections.abc import Sequence
from typing import NamedTuple

from application.ports import MediaPlaylist, PlaylistSegment
from domain.batch import Batch
from domain.commands import RecordPlaylist
from domain.events import SegmentFile
from domain.lifecycle import BatchState
from domain.segments import media_sequence
from domain.session import Session


def has_shown(session: Session) -> bool:
    """Whether the session has playlists."""
    return bool(session.terms.playlist_window and session.completed)


class _Listed(NamedTuple):
    """A segment that a playlist shows, and how far into its batch it begins."""

    batch: Batch
    file: SegmentFile
    offset_ms: int


def _listed(session: Session, rendition: str) -> list[_Listed]:
    """The rendition's segments that a playlist shows: the newest ones without a gap, `playlist_window` at most."""
    batches: list[Batch] = []
    while (batch := session.batches.get(session.next_batch - 1 - len(batches))) and (
        batch.state is BatchState.COMPLETED
    ):
        batches.append(batch)
    found: list[_Listed] = []
    for batch in reversed(batches):
        offset_ms, number = 0, batch.number * session.terms.batch_size
        for file in batch.files:
            if file.rendition != rendition:
                continue
            offset_ms += (file.number - number) * session.terms.segment_ms  # the length of what was lost, about
            if found and found[-1].file.number != file.number - 1:
                found = []  # a playlist has no holes: it begins behind the newest one
            found.append(_Listed(batch, file, offset_ms))
            offset_ms, number = offset_ms + file.duration_ms, file.number + 1
    earliest = session.next_batch * session.terms.batch_size - session.terms.playlist_window
    return [one for one in found if one.file.number >= earliest]


def media_playlist(session: Session, rendition: str) -> MediaPlaylist:
    """The media playlist of a rendition as the session's state wants it (RFC 8216 sections 4.3.3 and 6.2.2)."""
    return playlist_of(session, rendition, _listed(session, rendition))


def publication_of(session: Session) -> RecordPlaylist | None:
    """What is to be recorded of the session's playlists once they are written; None if they list nothing.

    Their bounds are those of all renditions together: where files were lost, one may list more than another.
    """
    listed = [found for rendition in session.terms.renditions if (found := _listed(session, rendition))]
    if not listed:
        return None
    return RecordPlaylist(
        first_segment=min(one[0].file.number for one in listed),
        last_segment=max(one[-1].file.number for one in listed),
        duration_ms=max(sum(segment.file.duration_ms for segment in one) for one in listed),
    )


def playlist_of(session: Session, rendition: str, listed: Sequence[_Listed]) -> MediaPlaylist:
    """A media playlist of the session that shows these segments."""
    terms = session.terms
    first = listed[0].file.number if listed else session.next_batch * terms.batch_size
    return MediaPlaylist(
        rendition=rendition,
        target_duration_ms=max([terms.segment_ms, *(one.file.duration_ms for one in listed)]),
        media_sequence=media_sequence(terms.naming, first),
        discontinuity_sequence=_discontinuity_sequence(session, listed),
        segments=tuple(
            PlaylistSegment(
                name=file.name,
                duration_ms=file.duration_ms,
                program_at=batch.program_at + offset_ms * 1000,
                discontinuity=batch.discontinuity and offset_ms == 0,
            )
            for batch, file, offset_ms in listed
        ),
        bandwidth=_bandwidth([one.file for one in listed]),
        next_sequence=media_sequence(terms.naming, session.next_batch * terms.batch_size),
    )


def _discontinuity_sequence(session: Session, listed: Sequence[_Listed]) -> int:
    """How many discontinuities have left the playlist (RFC 8216 section 4.3.3.3)."""
    if not listed:
        return session.discontinuities
    first = listed[0]
    return first.batch.discontinuities + (first.batch.discontinuity and first.offset_ms > 0)


def _bandwidth(files: Sequence[SegmentFile]) -> int:
    """Peak segment bit rate, bits per second (RFC 8216 section 4.3.4.2)."""
    return max((-(-file.size * 8000 // file.duration_ms) for file in files), default=1)
