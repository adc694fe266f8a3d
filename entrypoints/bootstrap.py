"""The one place that joins adapters: from a database URL to everything that a command needs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from application.explanations import Explainer
from application.generation import Generation
from application.handlers import Handler
from application.publisher import Publisher
from application.purger import Purger
from application.queries import Queries
from application.read_model_projector import ReadModelProjector
from application.recovery import Recoverer
from application.retention_projector import RetentionProjector
from application.sealer import Sealer
from application.sessions import Sessions
from application.verify import Verifier
from domain.errors import StoreUnavailable
from entrypoints.settings import DATABASE_FILE, home
from entrypoints.world import SystemClock, Uuids, worker_name
from media.playlist import PlaylistFiles
from media.segment_root import SegmentRoots
from persistence import schema
from persistence.checkpoints import SqlAgenda, SqlSeals
from persistence.engine import open_engine
from persistence.event_log import SqlEventLog
from persistence.read_models import SqlReadModels
from persistence.signals import ProcessSignal


class App:
    """Everything that commands call, joined over one database."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = open_engine(url)
        schema.require_head(self.engine)
        self.signal = ProcessSignal()
        self.clock, self.ids = SystemClock(), Uuids()
        self.log = SqlEventLog(self.engine, on_append=self.signal.notify)
        store_id = self.log.store_id()
        self.files, self.playlists = SegmentRoots(), PlaylistFiles()
        self.agenda, self.seals = SqlAgenda(self.engine), SqlSeals(self.engine)
        self.read_models = SqlReadModels(self.engine)
        self.sessions = Sessions(self.log, self.ids)
        self.handler = Handler(self.log, self.sessions, self.clock, self.ids, worker_name())
        self.publisher = Publisher(self.handler, self.sessions, self.files, self.playlists)
        self.purger = Purger(self.handler, self.sessions, self.publisher, self.files, self.clock, self.ids, store_id)
        self.retention = RetentionProjector(self.log, self.sessions, self.agenda, self.purger, self.clock)
        self.read_model_projector = ReadModelProjector(self.log, self.read_models)
        self.sealer = Sealer(self.log, self.seals)
        self.generation = Generation(
            self.handler, self.sessions, self.publisher, self.files, self.read_models, self.ids, store_id
        )
        self.recoverer = Recoverer(
            self.sessions,
            self.generation,
            self.publisher,
            self.retention,
            self.read_model_projector,
            self.read_models,
            self.sealer,
            self.files,
        )
        self.queries = Queries(self.log, self.sessions, self.read_models, self.files, store_id)
        self.explainer = Explainer(self.log, self.sessions, self.read_models, self.files)
        self.verifier = Verifier(self.log, self.seals, self.files, store_id)

    def close(self) -> None:
        """Give the database back."""
        self.engine.dispose()


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
    embedded = url is None or url.startswith("sqlite:")
    url = url or default_url()
    if embedded:
        prepare_embedded(url, say)
    app = App(url)
    try:
        yield app
    finally:
        app.close()


def prepare_embedded(url: str, say: Callable[[str], None]) -> None:
    """Make the directory of an embedded database and bring its schema to the head, saying what was done."""
    path = Path(url.partition(":///")[2])
    engine = open_engine(url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        before = schema.current(engine)
        if before != schema.HEAD:
            schema.upgrade(engine)
            say(f"database {path}: " + (f"upgraded from {before}" if before else "made") + f", schema {schema.HEAD}")
    except OSError as error:
        raise StoreUnavailable(url, str(error)) from None
    finally:
        engine.dispose()
