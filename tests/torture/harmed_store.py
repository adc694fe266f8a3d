"""A store that has something to purge, to be harmed and put back again."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from domain.events import Availability, Disposition, Policy
from entrypoints.bootstrap import App, prepare_embedded
from tests.memory_app import TESTER, Channel
from tests.snapshots import Snapshot

PAGE = 4096
CHANNELS = ("news", "sport", "film", "loop")
GUARDS = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'events'"
LOG = ("events", "log_head", "store", "alembic_version")
"""The tables that nothing can make again. The seal is compared with them, the rest is made from them."""


class Ground:
    """The store, as it was and as it is.

    ``stale`` are whole copies of the database from earlier; ``write_ahead`` is the database with a write-ahead log that
    holds what was recorded last, as a power cut leaves them. Whatever is recorded last is a batch with a playlist.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "store"
        self.database = self.directory / "log.db"
        self.wal = self.directory / "log.db-wal"
        self.root, self.archive = self.directory / "media", self.directory / "archive"
        self.url = f"sqlite:///{self.database}"
        self.stale: list[bytes] = []
        self.directory.mkdir()
        self.write_ahead = self._build()
        self.log = self.told()
        self._snapshot = Snapshot(self.directory, directory / "aside")
        self.segments = self.segments_now()

    def restore(self) -> None:
        """Nothing was harmed."""
        for path in self.directory.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
        self._snapshot.restore()

    def segments_now(self) -> set[Path]:
        """The segments that are there."""
        return set(self.directory.glob("*/*/*/*.ts"))

    def told(self) -> dict[str, list[Any]]:
        """What the database says, to the byte; apart from what is made from the log."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            return {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in LOG}

    def sql(self, statement: str, *parameters: Any, guarded: bool = False) -> list[Any]:
        """As somebody would who has the file: past the triggers, which are gone for good."""
        with closing(sqlite3.connect(self.database, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN")
            for (name,) in connection.execute(GUARDS).fetchall() if not guarded else ():
                connection.execute(f"DROP TRIGGER {name}")
            rows = connection.execute(statement, parameters).fetchall()
            connection.execute("COMMIT")
            return rows

    def events(self) -> list[tuple[int, bytes]]:
        return self.sql("SELECT position, line FROM events ORDER BY position", guarded=True)

    def _build(self) -> tuple[bytes, bytes]:
        prepare_embedded(self.url, lambda _: None)
        self._life(self._begin)
        self._life(lambda app: app.retention.run_once())
        self._life(lambda app: [self._channel(app, name).generate(1) for name in ("film", "loop", "news")])
        return self._life(self._end)

    def _life(self, live: Callable[[App], object]) -> tuple[bytes, bytes]:
        """A process that does something and ends in order; the files as they were before it closed the database."""
        app = App(self.url)
        try:
            live(app)
            app.read_model_projector.catch_up()
            app.sealer.catch_up()
            left = self.database.read_bytes(), self.wal.read_bytes()
        finally:
            app.close()
        self.stale.append(self.database.read_bytes())
        return left

    def _channel(self, app: App, name: str) -> Channel:
        """`film` is on a disk of its own."""
        return Channel(app, self.archive if name == "film" else self.root, name)  # type: ignore[arg-type]

    def _begin(self, app: App) -> None:
        """The players of `sport` make every batch of it wait; the others have one that is due in the end."""
        at_once: dict[str, Any] = {"policy": Policy(keep_previous=3, availability=Availability.OFF)}
        self._channel(app, "news").open(wrap=20, renditions=("v", "a"))
        self._channel(app, "sport").open(policy=Policy(availability=Availability.RFC8216), segment_ms=3_600_000)
        self._channel(app, "film").open(playlist_window=0, **at_once)
        self._channel(app, "loop").open()
        for name in CHANNELS:
            self._channel(app, name).generate(4)

    def _end(self, app: App) -> None:
        """`film` is closed with its batches kept, also the one that was due; `loop` has a purge without an outcome."""
        app.generation.close(self._channel(app, "film").id, "it is shown again", Disposition.KEEP, TESTER)
        app.purger.issue(self._channel(app, "loop").id, 2)
        app.retention.catch_up()
        self._channel(app, "sport").generate(1)
        news = self._channel(app, "news")
        news.start()
        news.fail()
        news.generate(1)
