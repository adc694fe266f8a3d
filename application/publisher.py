"""The publisher: the playlists on disk follow the log.

It lists only segments of completed batches whose purge is not authorised, and never one that is not there.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from application.handlers import Cause, Handler
from application.journal import IntentJournal
from application.ports import Clock, MediaFiles, MediaPlaylist, Playlists, PlaylistSegment
from application.roots import Roots
from application.sessions import Sessions
from application.together import Together
from domain.batch import Batch
from domain.commands import RecordPlaylist
from domain.errors import EventsLost, LogDamaged, RootFull, RootSuspect, RootUnavailable
from domain.events import MediaRoot, Recorded, SegmentFile
from domain.lifecycle import BatchState
from domain.segments import media_sequence, relative_file
from domain.session import Session

ACTOR = "publisher"
ONES_OWN = (RootFull, EventsLost, LogDamaged)
"""What may be wrong with one of several lines, or because they are several."""


class Publisher:
    """Writes playlists, and records what they list when a purge will have to wait for it (R13)."""

    def __init__(
        self,
        handler: Handler,
        sessions: Sessions,
        files: MediaFiles,
        playlists: Playlists,
        journal: IntentJournal,
        roots: Roots,
        clock: Clock,
    ) -> None:
        self._handler, self._sessions, self._files = handler, sessions, files
        self._playlists, self._journal, self._roots, self._clock = playlists, journal, roots, clock
        self._journaling: dict[MediaRoot, Together[str, None]] = {}

    def publish(self, session_id: str, completed: str | None = None) -> tuple[Recorded, ...]:
        """Write the playlists of the session's channel as they should be now. Doing it again changes nothing.

        Before that the newest batch is written to the root's journal; who has just recorded its completion says which
        event that is.

        They are those of the newest session on the same root that has something to show; so no playlist is left behind
        that lists what a session before it may lose.

        Raises:
            EventsLost: the log does not have that event any more.
            RootSuspect: the media root does not prove to be ours, or could not be flushed to disk.
            RootUnavailable: its disk takes no playlist now.

        """
        session = self._sessions.known(session_id) if completed else self._sessions.load(session_id)
        root, newest = session.terms.media_root, completed or _newest(session)
        if newest and not has_shown(session) and self._showing(session) is None:
            # There is nothing but the line to write, so threads whose batches complete side by side share the flush.
            queue = self._journaling.setdefault(root, Together(partial(self._write_lines, root), apart=ONES_OWN))
            queue.ask([newest])
            return ()
        with self._files.exclusive(root.path):
            self._roots.require(root)  # what is missing below it is made
            return self._publish(session_id, completed)

    def publish_held(self, session_id: str) -> tuple[Recorded, ...]:
        """`publish` for a purge of the session, which holds the root already.

        Where the disk takes no playlist now, those that are there may stay if they list nothing that the session's
        authorised purges take (R8): the purge may be what makes room.
        """
        try:
            return self._publish(session_id)
        except RootSuspect:
            raise
        except RootUnavailable:
            session = self._sessions.load(session_id)
            with self._roots.flushing(session.terms.media_root):
                if self._lists_what_goes(session):
                    raise
            return ()

    def _write_lines(self, root: MediaRoot, event_ids: Sequence[str]) -> Sequence[None]:
        with self._files.exclusive(root.path):
            self._roots.require(root)
            self._journal.write(root, *event_ids)
        return [None] * len(event_ids)

    def _lists_what_goes(self, session: Session) -> bool:
        terms = session.terms
        going = {file.file for batch in session.batches.values() if batch.purge for file in batch.purge.files}
        return any(
            relative_file(rendition, name) in going
            for rendition in terms.renditions
            for name in self._playlists.listed(terms.media_root.path, terms.channel, rendition) or ()
        )

    def _publish(self, session_id: str, completed: str | None = None) -> tuple[Recorded, ...]:
        """The root's journal tells of the newest batch before a playlist does."""
        asked = self._sessions.load(session_id)
        if newest := completed or _newest(asked):
            self._journal.write(asked.terms.media_root, newest)
        session = self._showing(asked)
        if session is None:
            return ()
        terms = session.terms
        playlists = [media_playlist(session, rendition) for rendition in terms.renditions]
        with self._roots.flushing(terms.media_root):
            self._playlists.publish(terms.media_root.path, terms.channel, playlists, self._retired(session))
        publication = publication_of(session)
        if publication is None:
            return ()
        last = session.last_completed
        publication = replace(publication, uptime=self._clock.uptime())
        cause = Cause(ACTOR, last.correlation_id, last.event_id) if last else Cause(ACTOR)
        return self._handler.execute(session.session_id, publication, cause)

    def _showing(self, session: Session) -> Session | None:
        """The newest session with playlists, of this one and the channel's later ones on the same root."""
        root = session.terms.media_root
        found = [
            one
            for one in (session, *self._sessions.later(session))
            if same_root(one.terms.media_root, root) and has_shown(one)
        ]
        return found[-1] if found else None

    def _retired(self, session: Session) -> list[MediaPlaylist]:
        """Empty playlists for the renditions that sessions before this one had and it has not."""
        terms, retired = session.terms, dict[str, MediaPlaylist]()
        for earlier in self._sessions.earlier(session):
            if same_root(earlier.terms.media_root, terms.media_root) and has_shown(earlier):
                for rendition in earlier.terms.renditions:
                    if rendition not in {*terms.renditions, *retired}:
                        retired[rendition] = replace(
                            _playlist(earlier, rendition, ()),
                            media_sequence=media_sequence(terms.naming, 0),
                            discontinuity_sequence=terms.discontinuities,
                        )
        return list(retired.values())


def _newest(session: Session) -> str | None:
    return session.last_completed.event_id if session.last_completed else None


def same_root(one: MediaRoot, other: MediaRoot) -> bool:
    """Whether two sessions write to one place; their root may have moved to another filesystem in between."""
    return (one.path, one.root_id) == (other.path, other.root_id)


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
    return _playlist(session, rendition, _listed(session, rendition))


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
