"""Recovery: what a crash left open is ended, by the log and the disk alone. Running it twice adds nothing (R14)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from application.claims import Claims, of_session
from application.generation import Generation
from application.orphans import OrphanRemover
from application.ports import MediaFiles, ReadModels
from application.publisher import Publisher
from application.read_model_projector import ReadModelProjector
from application.retention_projector import RetentionProjector
from application.roots import Roots
from application.sealer import Sealer
from application.sessions import Sessions
from domain.errors import HeldElsewhere, Invalid, LogDamaged, Refused, RootUnavailable
from domain.events import Recorded
from domain.lifecycle import SessionState
from domain.session import Session

ACTOR = "recovery"
OWN_PRODUCER = "trailkeep"
CRASH = "crash: its producer ended without saying how"


class Recovery(msgspec.Struct, frozen=True):
    """What recovery recorded, and what it left to somebody else, each with the reason."""

    recorded: tuple[Recorded, ...]
    left: tuple[str, ...]


class Recoverer:
    """Ends what a crash left open."""

    def __init__(
        self,
        sessions: Sessions,
        generation: Generation,
        publisher: Publisher,
        roots: Roots,
        retention: RetentionProjector,
        read_model_projector: ReadModelProjector,
        read_models: ReadModels,
        sealer: Sealer,
        files: MediaFiles,
        orphans: OrphanRemover,
        claims: Claims,
    ) -> None:
        self._sessions, self._generation, self._publisher = sessions, generation, publisher
        self._roots, self._retention = roots, retention
        self._read_model_projector, self._read_models = read_model_projector, read_models
        self._sealer, self._files, self._orphans, self._claims = sealer, files, orphans, claims

    def recover(self, progress: Callable[[str, int, int], None] = lambda *_: None) -> Recovery:
        """End orphaned batches, write playlists again, finish purges, and bring every projector to the head.

        ``progress`` hears what it is at: the number of a channel's session or of a batch, and of how many.

        Raises:
            LogDamaged: the events of a session are; the other channels' batches are ended, and nothing is deleted.

        """
        recorded: list[Recorded] = []
        left: list[str] = []
        damage: LogDamaged | None = None
        self._read_model_projector.catch_up()
        summaries = self._read_models.sessions()
        for number, summary in enumerate(summaries, 1):
            progress("sessions", number, len(summaries))
            if summary.state == SessionState.CLOSED:
                continue
            try:
                session = self._sessions.load(summary.session_id)
                with self._claimed(session):
                    self._roots.require(session.terms.media_root)
                    recorded += self._end_orphan(session, left)
                    recorded += self._publisher.publish(session.session_id)
            except (RootUnavailable, HeldElsewhere) as reason:
                left.append(f"channel {summary.channel}: {reason}")
            except LogDamaged as damaged:
                damage = damage or damaged
        if damage:
            raise damage
        recorded += self._finish_removals(left)
        done = self._retention.run_once(progress)
        left += [f"media root {root}: {reason}" for root, reason in done.paused.items()]
        self._read_model_projector.catch_up()
        self._sealer.catch_up()
        return Recovery((*recorded, *done.recorded), tuple(left))

    @contextmanager
    def _claimed(self, session: Session) -> Iterator[None]:
        """Hold the session against the producers of other hosts; theirs is what can only be seen from there.

        Raises:
            HeldElsewhere: another worker has it.
            RootUnavailable: its media root is that of another host.

        """
        root, resource = session.terms.media_root, of_session(session.session_id)
        if self._claims.is_elsewhere(root, self._roots.here):
            raise RootUnavailable(root.path, "it is not mounted on this host, and another host has had it")
        with self._claims.holding(resource):
            yield

    def _finish_removals(self, left: list[str]) -> list[Recorded]:
        """Carry out the removals of orphans that are authorised and have no outcome."""
        recorded: list[Recorded] = []
        newest = {summary.channel: summary.session_id for summary in self._read_models.sessions()}
        for channel, session_id in newest.items():
            session = self._sessions.load(session_id)
            for one in (session, *self._sessions.earlier(session)):
                try:
                    recorded += self._orphans.finish(one.session_id)
                except (RootUnavailable, Invalid) as reason:  # a name that another Python took, say
                    left.append(f"channel {channel}: {reason}")
        return recorded

    def _end_orphan(self, session: Session, left: list[str]) -> list[Recorded]:
        """A batch of ours whose producer is gone has failed; one of a producer of your own is not ours to end."""
        batch, terms = session.running, session.terms
        if batch is None:
            return []
        if batch.source.producer != OWN_PRODUCER:
            left.append(
                f"channel {terms.channel}: batch {batch.number} belongs to {batch.source.producer}; "
                "end it with `trailkeep batch complete` or `trailkeep batch fail`"
            )
            return []
        try:
            with self._files.producing(terms.media_root.path, terms.channel):
                return [self._generation.fail(session.session_id, CRASH, ACTOR)]
        except Refused:
            left.append(f"channel {terms.channel}: batch {batch.number} is being generated by another process")
            return []
