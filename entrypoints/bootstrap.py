"""The one place that joins adapters: from a database URL to everything that a command needs."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial

from sqlalchemy import Engine

from application.claims import Claims
from application.explanations import Explainer
from application.generation import Generation
from application.handlers import Handler
from application.journal import IntentJournal
from application.log_check import LogCheck
from application.log_reader import Part
from application.losses import Losses
from application.orphans import OrphanRemover
from application.ports import Share
from application.publisher import Publisher
from application.purger import Purger
from application.queries import Queries
from application.read_model_projector import ReadModelProjector
from application.reconcile import Reconciler
from application.recovery import Recoverer
from application.retention_projector import RetentionProjector
from application.roots import Roots
from application.sealer import Sealer
from application.seen import Seen
from application.sessions import Sessions
from application.verify import Verifier
from application.witnesses import Witnesses
from domain.errors import StoreUnavailable
from entrypoints.heartbeat import beating
from entrypoints.places import DATABASE_FILE, home, lease_seconds
from entrypoints.readers import Processes
from entrypoints.world import Lives, SystemClock, Uuids, host_name, worker_name
from media.journal_file import JournalFiles
from media.playlist import PlaylistFiles
from media.segment_root import SegmentRoots
from persistence import schema
from persistence.checkpoints import SqlAgenda, SqlSeals
from persistence.engine import file_of, open_engine
from persistence.event_log import SqlEventLog
from persistence.leases import leases_of
from persistence.read_models import SqlReadModels
from persistence.signals import DatabaseSignal
from persistence.snapshots import SqlSnapshots
from persistence.urls import shown


class App:
    """Everything that commands call, joined over one database."""

    def __init__(self, url: str) -> None:
        seconds = lease_seconds()
        self.engine = _engine_at_head(url)
        self.url = shown(self.engine.url)
        self.signal = DatabaseSignal(self.engine)
        self.clock, self.ids = SystemClock(), Uuids()
        self.log = SqlEventLog(self.engine, on_append=self.signal.notify)
        store_id = self.log.store_id()
        self.files, self.playlists = SegmentRoots(), PlaylistFiles()
        self.agenda, self.seals = SqlAgenda(self.engine), SqlSeals(self.engine)
        self.read_models = SqlReadModels(self.engine)
        self.snapshots = SqlSnapshots(self.engine)
        self.sessions = Sessions(self.log, self.ids, self.snapshots)
        self.leases = leases_of(self.engine)
        lives = Lives()
        owner = lives.name(self.ids.new()[-12:])
        self.claims = Claims(self.leases, self.clock, owner, host_name(), seconds, lives.gone)
        seen = Seen()
        self.handler = Handler(self.log, self.sessions, self.clock, self.ids, worker_name(), self.claims, seen)
        self.roots = Roots(self.log, self.handler, self.files, store_id)
        self.journal = IntentJournal(
            self.log, self.sessions, self.roots, self.files, JournalFiles(), self.read_models, store_id
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
            time.sleep,
            self.snapshots,
            Processes(partial(_read_share, url), self.log.storage_faults),
        )

    def close(self) -> None:
        """Give the database back."""
        self.signal.close()
        self.engine.dispose()


def _read_share(url: str, share: Share, end: int, checkpoint: int) -> Part:
    with closing(App(url)) as app:  # which makes no database, should this one be gone by now
        return app.verifier.reader.read_share(share, end, checkpoint)


def default_url() -> str:
    """The embedded database in the data directory."""
    return f"sqlite:///{home() / DATABASE_FILE}"


@contextmanager
def opened(url: str | None, say: Callable[[str], None] = lambda _: None) -> Iterator[App]:
    """The application over a database; the embedded one is made, and upgraded, when it has to be, and says so.

    Raises:
        SchemaMismatch: the schema is newer, or older and not ours to upgrade by the way.
        StoreUnavailable: the database cannot be opened.

    """
    url = default_url() if url is None else url
    prepare_embedded(url, say)
    app = App(url)
    try:
        with beating(app.claims):
            yield app
    finally:
        app.close()


def _engine_at_head(url: str) -> Engine:
    engine = open_engine(url)
    try:
        schema.require_head(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def prepare_embedded(url: str, say: Callable[[str], None]) -> None:
    """Bring the schema of an embedded database to the head, saying what was done; a server's is left as it is."""
    with database(url) as engine:
        if file_of(engine) is None:
            return
        before = schema.current(engine)
        if before != schema.HEAD:
            schema.upgrade(engine)
            done = f"upgraded from {before}" if before else "made"
            say(f"database {engine.url.database}: {done}, schema {schema.HEAD}")


@contextmanager
def database(url: str) -> Iterator[Engine]:
    """The engine of a database; the directory of an embedded one is made.

    Raises:
        StoreUnavailable: it cannot be made.

    """
    engine = open_engine(url)
    try:
        if file := file_of(engine):
            file.parent.mkdir(parents=True, exist_ok=True)
        yield engine
    except OSError as error:
        raise StoreUnavailable(url, str(error)) from None
    finally:
        engine.dispose()
