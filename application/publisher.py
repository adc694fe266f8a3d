"""The publisher: the playlists on disk follow the log.

It lists only segments of completed batches whose purge is not authorised, and never one that is not there.
"""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from application.handlers import Cause, Handler
from application.ports import MediaFiles, MediaPlaylist, Playlists, PlaylistSegment
from application.sessions import Sessions
from domain.batch import Batch
from domain.commands import RecordPlaylist
from domain.events import Recorded, SegmentFile
from domain.lifecycle import BatchState
from domain.segments import media_sequence
from domain.session import Session

ACTOR = "publisher"


class Publisher:
    """Writes playlists, and records what they list when a purge will have to wait for it (R13)."""

    def __init__(self, handler: Handler, sessions: Sessions, files: MediaFiles, playlists: Playlists) -> None:
        self._handler, self._sessions, self._files, self._playlists = handler, sessions, files, playlists

    def publish(self, session_id: str) -> tuple[Recorded, ...]:
        """Write the playlists of the session's channel as they should be now. Doing it again changes nothing.

        They are those of the newest session on the same root that has something to show; so no playlist is left behind
        that lists what a session before it may lose.

        Raises:
            RootSuspect: the media root is missing, or could not be flushed to disk.

        """
        with self._files.exclusive(self._sessions.load(session_id).terms.media_root.path):
            return self.publish_held(session_id)

    def publish_held(self, session_id: str) -> tuple[Recorded, ...]:
        """`publish` for one who holds the root already."""
        session = self._showing(self._sessions.load(session_id))
        if session is None:
            return ()
        terms = session.terms
        playlists = [media_playlist(session, rendition) for rendition in terms.renditions]
        self._playlists.publish(terms.media_root.path, terms.channel, playlists, self._retired(session))
        listed = _listed(session, terms.renditions[0])
        if not listed:
            return ()
        last = session.last_completed
        return self._handler.execute(
            session.session_id,
            RecordPlaylist(
                first_segment=listed[0].file.number,
                last_segment=listed[-1].file.number,
                duration_ms=max(sum(segment.duration_ms for segment in p.segments) for p in playlists),
            ),
            Cause(ACTOR, last.correlation_id, last.event_id) if last else Cause(ACTOR),
        )

    def _showing(self, session: Session) -> Session | None:
        """The newest session with playlists, of this one and the channel's later ones on the same root."""
        root = session.terms.media_root
        found = [
            one for one in (session, *self._sessions.later(session)) if one.terms.media_root == root and _has_shown(one)
        ]
        return found[-1] if found else None

    def _retired(self, session: Session) -> list[MediaPlaylist]:
        """Empty playlists for the renditions that sessions before this one had and it has not."""
        terms, retired = session.terms, dict[str, MediaPlaylist]()
        for earlier in self._sessions.earlier(session):
            if earlier.terms.media_root == terms.media_root and _has_shown(earlier):
                for rendition in earlier.terms.renditions:
                    if rendition not in {*terms.renditions, *retired}:
                        retired[rendition] = replace(
                            _playlist(earlier, rendition, ()),
                            media_sequence=media_sequence(terms.naming, 0),
                            discontinuity_sequence=terms.discontinuities,
                        )
        return list(retired.values())


def _has_shown(session: Session) -> bool:
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
        offset_ms = 0
        for file in batch.files:
            if file.rendition == rendition:
                found.append(_Listed(batch, file, offset_ms))
                offset_ms += file.duration_ms
    return found[-session.terms.playlist_window :]


def media_playlist(session: Session, rendition: str) -> MediaPlaylist:
    """The media playlist of a rendition as the session's state wants it (RFC 8216 sections 4.3.3 and 6.2.2)."""
    return _playlist(session, rendition, _listed(session, rendition))


def _playlist(session: Session, rendition: str, listed: Sequence[_Listed]) -> MediaPlaylist:
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
