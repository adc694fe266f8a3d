"""The publisher: the playlists on disk follow the log.

It lists only segments of completed batches whose purge is not authorised, and never one that is not there.
"""

from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace

from application.handlers import Cause, Handler
from application.journal import IntentJournal
from application.playlist_content import has_shown, media_playlist, playlist_of, publication_of
from application.ports import Clock, MediaFiles, MediaPlaylist, Playlists
from application.roots import Roots
from application.sessions import Sessions
from application.together import Together
from domain.errors import EventsLost, LogDamaged, RootFull, RootSuspect, RootUnavailable
from domain.events import MediaRoot, Recorded
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

    def publish(self, session_id: str, completed: Recorded | None = None) -> tuple[Recorded, ...]:
        """Write the playlists of the session's channel as they should be now. Doing it again changes nothing.

        Before that the newest batch is written to the root's journal; who has just recorded its completion says so.

        They are those of the newest session on the same root that has something to show; so no playlist is left behind
        that lists what a session before it may lose.

        Raises:
            EventsLost: the log does not have that event any more.
            RootSuspect: the media root does not prove to be ours, or could not be flushed to disk.
            RootUnavailable: its disk takes no playlist now.

        """
        event_id = completed.envelope.event_id if completed else None
        session = (
            self._sessions.known(session_id, completed.envelope.version)
            if completed
            else self._sessions.load(session_id)
        )
        root, newest = session.terms.media_root, event_id or _newest(session)
        if newest and not has_shown(session) and self._showing(session) is None:
            # There is nothing but the line to write, so threads whose batches complete side by side share the flush.
            queue = self._journaling.setdefault(root, Together(partial(self._write_lines, root), apart=ONES_OWN))
            queue.ask([newest])
            return ()
        with self._files.exclusive(root.path):
            self._roots.require(root)  # what is missing below it is made
            return self._publish(self._sessions.load(session_id), event_id)

    def publish_held(self, root: MediaRoot, sessions: Sequence[Session]) -> tuple[Recorded, ...]:
        """`publish` for purges of these sessions, by who holds the root already and has just loaded them.

        Where the disk takes no playlist now, those that are there may stay if they list nothing that the session's
        authorised purges take (R8): the purge may be what makes room.
        """
        journaled, recorded = self._write_newest(root, sessions), list[Recorded]()
        for session in sessions:
            try:
                recorded += self._publish(session, journaled=journaled)
            except RootSuspect:
                raise
            except RootUnavailable:
                with self._roots.flushing(session.terms.media_root):
                    if self._lists_what_goes(session):
                        raise
        return tuple(recorded)

    def _write_newest(self, root: MediaRoot, sessions: Sequence[Session]) -> bool:
        """Write the lines of the sessions' newest batches; whether they are all there."""
        try:
            self._journal.write(root, *filter(None, map(_newest, sessions)))
        except RootSuspect:
            raise
        except RootUnavailable:
            return False
        return True

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

    def _publish(
        self, asked: Session, completed: str | None = None, *, journaled: bool = False
    ) -> tuple[Recorded, ...]:
        """The root's journal tells of the newest batch before a playlist does."""
        newest = completed or _newest(asked)
        if newest and not journaled:
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
                            playlist_of(earlier, rendition, ()),
                            media_sequence=media_sequence(terms.naming, 0),
                            discontinuity_sequence=terms.discontinuities,
                        )
        return list(retired.values())


def _newest(session: Session) -> str | None:
    return session.last_completed.event_id if session.last_completed else None


def same_root(one: MediaRoot, other: MediaRoot) -> bool:
    """Whether two sessions write to one place; their root may have moved to another filesystem in between."""
    return (one.path, one.root_id) == (other.path, other.root_id)
