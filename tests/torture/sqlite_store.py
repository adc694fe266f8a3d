"""The store of `tests.memory_app` over SQLite: the same application, clock and ids, and a log that is on the disk."""

from sqlalchemy import Engine

from persistence.checkpoints import SqlAgenda, SqlSeals
from persistence.event_log import SqlEventLog
from persistence.read_models import SqlReadModels
from persistence.snapshots import SqlSnapshots
from tests.builders import CountingIds, FakeClock


class SqliteStore:
    """As `Store`; the database has the schema of the code."""

    def __init__(self, engine: Engine) -> None:
        self.log = SqlEventLog(engine)
        self.agenda, self.seals, self.read_models = SqlAgenda(engine), SqlSeals(engine), SqlReadModels(engine)
        self.snapshots = SqlSnapshots(engine)
        self.clock, self.ids = FakeClock(), CountingIds()
