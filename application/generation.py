"""Generation: the verbs of a producer, whether it is Trailkeep's own or somebody else's script.

A batch is started durably before its first byte is written, and completed only on proof (R9). Then comes the playlist.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec

from application.handlers import Cause, Handler
from application.journal import IntentJournal
from application.ports import IdSource, Marker, MediaFiles, ReadModels
from application.publisher import Publisher
from application.roots import Roots
from application.sessions import Sessions
from domain.batch import Batch
from domain.commands import CloseSession, CompleteBatch, FailBatch, OpenSession, StartBatch
from domain.decisions import decide
from domain.errors import Refused, RootSuspect, RootUnavailable
from domain.events import Disposition, FileIdentity, MediaRoot, Naming, Policy, Recorded, SegmentFile, Source
from domain.lifecycle import SessionState
from domain.retention import kept_files
from domain.segments import ExpectedFile, batch_numbers, expected_files
from domain.session import Session

Durations = Callable[[ExpectedFile, str], int]
"""How long a segment lasts, in milliseconds: asked with what was expected and its absolute path."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a session is to be opened with, as an operator says it."""

    channel: str
    root: str
    batch_size: int
    renditions: tuple[str, ...]
    pattern: str
    wrap: int
    segment_ms: int
    playlist_window: int
    policy: Policy


class Generation:
    """Opens and closes sessions; starts, completes and fails batches."""

    def __init__(
        self,
        handler: Handler,
        sessions: Sessions,
        publisher: Publisher,
        files: MediaFiles,
        journal: IntentJournal,
        roots: Roots,
        read_models: ReadModels,
        ids: IdSource,
        store_id: str,
    ) -> None:
        self._handler, self._sessions, self._publisher = handler, sessions, publisher
        self._files, self._journal, self._roots, self._read_models, self._ids = files, journal, roots, read_models, ids
        self._store_id = store_id

    def open(self, terms: Terms, cause: Cause) -> Recorded:
        """Open the channel's next session; adopt the media root if it is new.

        Raises:
            Invalid: a term can never hold; the disk was not touched.
            Refused: the channel's newest session is still open (R20).
            RootSuspect: the root's marker is missing though the log knows the root, or is not ours (R17).

        """
        before = self._sessions.newest_of(terms.channel)
        if before and before.state is not SessionState.CLOSED:
            raise Refused(
                "R20", "channel", terms.channel, f"its session {before.session_id} is {before.state}, not closed"
            )
        ordinal = before.terms.ordinal + 1 if before else 1
        session_id = self._sessions.id_of(terms.channel, ordinal)
        command = self._order(terms, before, ordinal)
        decide(Session(session_id), command)
        command = msgspec.structs.replace(command, media_root=self._adopt(terms.root, before))
        self._files.prepare(terms.root, terms.channel, terms.renditions)
        return self._handler.execute(session_id, command, cause)[0]

    def require_root(self, session: Session) -> None:
        """Return if the session's media root proves to be ours. Errors as `Roots.require`."""
        self._roots.require(session.terms.media_root)

    @contextmanager
    def producing(self, session: Session) -> Iterator[None]:
        """Hold the session's channel as its one producer; errors as `MediaFiles.producing`."""
        terms = session.terms
        with self._files.producing(terms.media_root.path, terms.channel):
            yield

    def start(self, session_id: str, source: Source, cause: Cause) -> Recorded:
        """Start the next batch, or the failed one again.

        Raises:
            Refused: a name is still in use (R5), or the session is not at rest.
            RootSuspect: the root does not prove to be ours: the files would go to the wrong disk.

        """
        session = self._sessions.load(session_id)
        terms, root = session.terms, session.terms.media_root
        with self._roots.proven(root):
            self._files.prepare(root.path, terms.channel, terms.renditions)
            present = self._files.find(root.path, terms.channel, [one.file for one in expected_of(session)])
        earlier = [one for one in self._sessions.earlier(session) if one.terms.media_root.root_id == root.root_id]
        return self._handler.execute(
            session_id,
            StartBatch(
                source=source,
                present=tuple(found.identity for found in present.values()),
                occupied=kept_files(earlier),
            ),
            cause,
        )[0]

    def complete(self, session_id: str, durations: Durations, actor: str) -> Recorded:
        """Verify and flush the running batch's files, record them, and publish the playlist.

        Raises:
            Refused: a file is missing, empty, not regular or was there before (R9); no batch is running.
            RootSuspect: the root is not ours, or the files could not be flushed.
            EventsLost: it was recorded, and the log went back since.

        """
        session = self._sessions.load(session_id)
        batch, root = _running(session), session.terms.media_root
        with self._roots.proven(root), self._roots.flushing(root):
            files = self._verified(session, expected_of(session), durations)
        cause = Cause(actor, batch.correlation_id, batch.started_by)
        recorded = self._handler.execute(session_id, CompleteBatch(batch=batch.number, files=files), cause)[0]
        self._publisher.publish(session_id, recorded)
        return recorded

    def fail(
        self, session_id: str, reason: str, actor: str, *, exit_code: int | None = None, stderr_tail: str = ""
    ) -> Recorded:
        """Record the running batch as failed, with the files it left behind.

        Raises:
            Refused: no batch is running.

        """
        session = self._sessions.load(session_id)
        batch = _running(session)
        return self._handler.execute(
            session_id,
            FailBatch(
                batch=batch.number,
                reason=reason,
                exit_code=exit_code,
                stderr_tail=stderr_tail,
                files_left=self._left_by(session, batch.present),
            ),
            Cause(actor, batch.correlation_id, batch.started_by),
        )[0]

    def close(self, session_id: str, reason: str, disposition: Disposition, cause: Cause) -> Recorded:
        """Close the session, or settle anew what becomes of a closed one's batches; whether its disk is there or not.

        Raises:
            Refused: a batch is running, or nothing would change.

        """
        closed = self._handler.execute(session_id, CloseSession(reason=reason, disposition=disposition), cause)[0]
        self._journal.note(self._sessions.load(session_id).terms.media_root, closed.envelope.event_id)
        return closed

    def _order(self, terms: Terms, before: Session | None, ordinal: int) -> OpenSession:
        offset = before.terms.naming.offset + before.next_batch * before.terms.batch_size if before else 0
        return OpenSession(
            channel=terms.channel,
            ordinal=ordinal,
            media_root=MediaRoot(path=terms.root, root_id=""),
            batch_size=terms.batch_size,
            renditions=terms.renditions,
            naming=Naming(pattern=terms.pattern, wrap=terms.wrap, offset=offset),
            segment_ms=terms.segment_ms,
            playlist_window=terms.playlist_window,
            policy=terms.policy,
            discontinuities=before.discontinuities if before else 0,
        )

    def _adopt(self, path: str, before: Session | None) -> MediaRoot:
        """The root as the log shall know it. A new one gets a marker; a known one has to prove itself (R17)."""
        on_it = before and before.terms.media_root.path == path
        known = before.session_id if before and on_it else self._read_models.newest_on(path)
        if known:
            root = self._sessions.load(known).terms.media_root
        else:
            marker = self._files.adopt(path, Marker(store_id=self._store_id, root_id=self._ids.new()))
            if marker.store_id != self._store_id:
                raise RootSuspect(path, f"its marker is of another store, {marker.store_id}")
            root = MediaRoot(path=path, root_id=marker.root_id)
        self._roots.require(root)
        return msgspec.structs.replace(root, device=self._files.device(path))

    def _verified(
        self, session: Session, expected: Sequence[ExpectedFile], durations: Durations
    ) -> tuple[SegmentFile, ...]:
        root, channel = session.terms.media_root.path, session.terms.channel
        found = self._files.sync(root, channel, [one.file for one in expected])
        if odd := next((one.file for one in expected if one.file in found and not found[one.file].regular), None):
            raise Refused("R9", "file", odd, "it is not a regular file")
        return tuple(
            SegmentFile(
                rendition=one.rendition,
                number=one.number,
                name=one.name,
                size=found[one.file].identity.size,
                mtime_ns=found[one.file].identity.mtime_ns,
                inode=found[one.file].identity.inode,
                duration_ms=durations(one, self._files.path(root, channel, one.file)),
            )
            for one in expected
            if one.file in found
        )

    def _left_by(self, session: Session, present: Sequence[FileIdentity]) -> tuple[str, ...]:
        terms = session.terms
        try:
            found = self._files.find(terms.media_root.path, terms.channel, [one.file for one in expected_of(session)])
        except RootUnavailable:
            return ()
        return tuple(file for file, one in found.items() if one.identity not in present)


def _running(session: Session) -> Batch:
    if session.running is None:
        reason = f"the session is {session.state}; no batch is being generated"
        raise Refused("R20", "batch", session.next_batch, reason)
    return session.running


def expected_of(session: Session) -> tuple[ExpectedFile, ...]:
    """The files of the batch that is being generated, or that would be next."""
    terms = session.terms
    return expected_files(terms.naming, terms.renditions, batch_numbers(session.next_batch, terms.batch_size))


def nominal(segment_ms: int, known: Mapping[tuple[str, int], int]) -> Durations:
    """Durations that an encoder told, by rendition and number; ``segment_ms`` for the others."""
    return lambda expected, _path: known.get((expected.rendition, expected.number), segment_ms)
