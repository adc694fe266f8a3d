"""The whole application over the in-memory log and real files: what a test of more than one part plays on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from application.claims import Claims
from application.explanations import Explainer
from application.generation import Generation, Terms, expected_of, nominal
from application.handlers import Cause, Handler
from application.journal import IntentJournal
from application.log_check import LogCheck
from application.log_reader import Part, Readers
from application.losses import Losses
from application.orphans import OrphanRemover
from application.ports import BatchPlan, EncodedSegment, Journals, Leases, MediaFiles, Playlists, Share
from application.publisher import Publisher
from application.purger import Purger
from application.queries import Queries
from application.read_model_projector import ReadModelProjector
from application.reconcile import Reconciler
from application.recovery import OWN_PRODUCER, Recoverer
from application.retention_projector import RetentionProjector
from application.roots import Roots
from application.sealer import Sealer
from application.seen import Seen
from application.sessions import Sessions
from application.verify import Verifier
from application.witnesses import Witnesses
from domain.errors import EncoderFailed
from domain.events import Event, Recorded, Source
from domain.segments import DEFAULT_PATTERN
from domain.session import Session
from media.journal_file import JournalFiles
from media.playlist import PlaylistFiles
from media.segment_root import SegmentRoots
from persistence.memory import MemoryAgenda, MemoryEventLog, MemorySeals
from persistence.memory_leases import MemoryLeases
from persistence.memory_read_models import MemoryReadModels
from persistence.snapshots import MemorySnapshots
from tests.builders import OFF, STORE_ID, CountingIds, FakeClock

TESTER = Cause("tester")
OURS = Source(label="picture", producer=OWN_PRODUCER)


class TestLog(MemoryEventLog):
    """The in-memory log of a store whose id never changes."""

    __test__ = False

    def store_id(self) -> str:
        return STORE_ID


class Store:
    """What outlives a process: the log, what projectors keep, the time, and the ids that were given out."""

    def __init__(self) -> None:
        self.snapshots = MemorySnapshots()
        self.clock, self.ids = FakeClock(), CountingIds()
        self.leases = MemoryLeases(self.clock.now)
        self.log = TestLog(leases=self.leases)
        self.agenda, self.seals, self.read_models = MemoryAgenda(), MemorySeals(), MemoryReadModels()

    def at(self, head: int) -> "Store":
        """The store as it was when the log had so many events; the time and the unused ids are those of now."""
        old = Store()
        old.clock, old.ids = self.clock, self.ids
        for line in self.log.read_lines(limit=head):
            old.log._lines.append(line)
            old.log._sessions.setdefault(line.session_id, []).append(line)
            old.log._ids[line.event_id] = line
        App(old).read_model_projector.catch_up()
        return old


class InTurn:
    """Readers of the log that are no processes: each reads its share when it is asked what it made of it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def worth(self, _: int) -> int:
        return 1

    @contextmanager
    def begin(self, shares: Sequence[Share], end: int, checkpoint: int) -> Iterator["InTurn"]:
        self._asked = [(share, end, checkpoint) for share in shares]
        yield self

    def parts(self) -> Iterator[Part]:
        return (App(self._store).verifier.reader.read_share(*asked) for asked in self._asked)

    def storage_faults(self) -> Iterator[str]:
        return self._store.log.storage_faults()


class App:
    """One process, joined as `entrypoints.bootstrap` joins it."""

    def __init__(
        self,
        store: Store,
        files: MediaFiles | None = None,
        playlists: Playlists | None = None,
        worker: str = "here:1",
        leases: Leases | None = None,
        readers: Readers | None = None,
        journals: Journals | None = None,
    ) -> None:
        self.store, self.log, self.clock, self.ids = store, store.log, store.clock, store.ids
        self.agenda, self.seals, self.read_models = store.agenda, store.seals, store.read_models
        self.files, self.playlists = files or SegmentRoots(), playlists or PlaylistFiles()
        store_id = self.log.store_id()
        self.sessions = Sessions(self.log, self.ids, store.snapshots, every=5)
        self.claims = Claims(leases, self.clock, worker, worker.partition(":")[0])
        seen = Seen()
        self.handler = Handler(self.log, self.sessions, self.clock, self.ids, worker, self.claims, seen)
        self.roots = Roots(self.log, self.handler, self.files, store_id)
        self.journal = IntentJournal(
            self.log, self.sessions, self.roots, self.files, journals or JournalFiles(), self.read_models, store_id
        )
        self.publisher = Publisher(
            self.handler, self.sessions, self.files, self.playlists, self.journal, self.roots, self.clock
        )
        self.purger = Purger(
            self.handler,
            self.sessions,
            self.publisher,
            self.files,
            self.journal,
            self.roots,
            self.clock,
            self.ids,
        )
        self.witnesses = Witnesses(self.sessions, self.read_models, self.playlists, self.roots)
        self.log_check = LogCheck(
            self.log,
            self.seals,
            self.witnesses.require_newest,
            self.journal.require_known,
            self.journal.gone,
            self.journal.forget,
            seen,
        )
        self.retention = RetentionProjector(
            self.log,
            self.log_check,
            self.sessions,
            self.agenda,
            self.purger,
            self.clock,
            self.claims,
            self.roots,
            seen,
        )
        self.read_model_projector = ReadModelProjector(self.log, self.read_models)
        self.sealer = Sealer(self.log, self.seals)
        self.generation = Generation(
            self.handler,
            self.sessions,
            self.publisher,
            self.files,
            self.journal,
            self.roots,
            self.read_models,
            self.ids,
            store_id,
        )
        self.losses = Losses(self.log_check, self.handler, self.sessions, self.publisher, self.files, self.roots)
        self.orphans = OrphanRemover(
            self.log,
            self.log_check,
            self.handler,
            self.sessions,
            self.files,
            self.playlists,
            self.journal,
            self.roots,
            self.ids,
        )
        self.recoverer = Recoverer(
            self.sessions,
            self.generation,
            self.publisher,
            self.roots,
            self.retention,
            self.read_model_projector,
            self.read_models,
            self.sealer,
            self.files,
            self.orphans,
            self.claims,
        )
        self.queries = Queries(
            self.log, self.sessions, self.read_models, self.agenda, self.journal, self.roots, self.clock
        )
        self.reconciler = Reconciler(self.journal, self.witnesses, self.roots, self.files, store_id)
        self.explainer = Explainer(self.log, self.sessions, self.read_models, self.files, self.playlists)
        self.verifier = Verifier(
            self.log,
            self.seals,
            self.sessions,
            self.files,
            self.playlists,
            self.journal,
            self.roots,
            self.read_models,
            self.agenda,
            self.clock,
            lambda _: None,
            store.snapshots,
            readers or InTurn(store),
        )

    def project(self) -> tuple[Recorded, ...]:
        """What the projectors of `run` do in one round."""
        done = self.retention.run_once()
        self.read_model_projector.catch_up()
        self.sealer.catch_up()
        return done.recorded


class Channel:
    """A channel of an application, its newest session first: each verb takes only what matters."""

    def __init__(self, app: App, root: Path, name: str = "news") -> None:
        self.app, self.root, self.name = app, root, name
        self.written = 0

    @property
    def session(self) -> Session:
        return self.app.sessions.resolve(self.name)

    @property
    def id(self) -> str:
        return self.session.session_id

    @property
    def directory(self) -> Path:
        return self.root / self.name

    def open(self, **fields: Any) -> Session:
        defaults: dict[str, Any] = {
            "channel": self.name,
            "root": str(self.root),
            "batch_size": 2,
            "renditions": ("v",),
            "pattern": DEFAULT_PATTERN,
            "wrap": 0,
            "segment_ms": 2000,
            "playlist_window": 4,
            "policy": OFF,
        }
        self.app.generation.open(Terms(**{**defaults, **fields}), TESTER)
        return self.session

    def start(self, source: Source = OURS) -> Recorded:
        return self.app.generation.start(self.id, source, TESTER)

    def write(self, files: int | None = None, content: bytes | None = None) -> list[Path]:
        """Write the first so many of the running batch's files; of another size each time, as identity goes by that."""
        self.written += 1
        content = b"m" * self.written if content is None else content
        paths = [self.directory / one.file for one in expected_of(self.session)][:files]
        for path in paths:
            path.unlink(missing_ok=True)
            path.write_bytes(content)
        return paths

    def complete(self) -> Recorded:
        self.write()
        return self.app.generation.complete(self.id, nominal(self.session.terms.segment_ms, {}), "tester")

    def fail(self, reason: str = "the camera went away") -> Recorded:
        return self.app.generation.fail(self.id, reason, "tester")

    def generate(self, batches: int = 1) -> None:
        for _ in range(batches):
            self.start()
            self.complete()

    def paths(self, batch: int) -> list[Path]:
        """Where the files of a completed batch are, or were."""
        event = next(
            one.event
            for one in self.app.log.read_session(self.id)
            if type(one.event).__name__ == "BatchCompleted" and one.event.batch == batch  # type: ignore[union-attr]
        )
        return [self.directory / file.rendition / file.name for file in event.files]  # type: ignore[union-attr]

    def segments(self) -> set[str]:
        """The names of all segments that are on the disk now, in all renditions."""
        return {path.name for path in self.directory.glob("*/*.ts")}

    def playlist(self, rendition: str = "v") -> str:
        return (self.directory / rendition / f"{rendition}.m3u8").read_text(encoding="utf-8")

    def listed(self, rendition: str = "v") -> list[str]:
        return [line for line in self.playlist(rendition).splitlines() if not line.startswith("#")]

    def events(self) -> list[Event]:
        return [one.event for one in self.app.log.read_session(self.id)]

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events()]


class FileEncoder:
    """An encoder that writes small real files; ``outcomes`` says for each batch what becomes of it, the last for all.

    An outcome is how many files are written before it fails; None for all of them and success.
    """

    def __init__(self, *outcomes: int | None, seconds: float = 2.0) -> None:
        self.outcomes, self.plans, self.ms = list(outcomes) or [None], list[BatchPlan](), round(seconds * 1000)

    def describe(self, batch: int, segments_before: int, segment_ms: int) -> tuple[str, str]:
        return "picture", f"{segments_before * segment_ms} ms"

    def encode(
        self, plan: BatchPlan, stopped: Callable[[], bool], on_segment: Callable[[EncodedSegment], None]
    ) -> tuple[EncodedSegment, ...]:
        self.plans.append(plan)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        made = []
        for one in plan.files[:outcome]:
            if stopped():
                raise EncoderFailed("stopped", exit_code=255)
            path = Path(plan.directory, one.file)
            path.unlink(missing_ok=True)
            path.write_bytes(b"media of " + one.file.encode() + b"." * len(self.plans))
            made.append(EncodedSegment(one.rendition, one.number, self.ms))
            on_segment(made[-1])
        if outcome is not None:
            raise EncoderFailed("the camera went away", exit_code=1, stderr_tail="no signal")
        return tuple(made)
