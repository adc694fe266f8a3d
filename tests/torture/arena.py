"""Where cases happen: one life after the other in the same directories, each from the same empty database."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from domain.events import Recorded
from persistence.engine import open_engine
from tests.torture.campaign import in_child
from tests.torture.mishaps import JOURNAL
from tests.torture.scenario import Place, Process, acknowledgement, make_database, nothing


class Arena:
    """A database, a media root, and the file that is told of each acknowledged event.

    Whoever opens the database closes it before the next fork: no connection may cross one.
    """

    def __init__(self, directory: Path, place: Place | None = None) -> None:
        self.place, self.told = place or Place.below(directory / "life"), directory / "told"
        self._empty, self._kept = directory / "empty.db", directory / "kept"
        in_child(lambda: make_database(self.place))  # which imports more than a life needs
        shutil.copyfile(self.place.database, self._empty)
        # What SQLAlchemy compiles for an engine is compiled once, and not again in each child.
        self._engine = open_engine(self.place.url)
        with Process(self.place, seed=0, acknowledge=nothing, engine=self._engine) as process:
            process.live()

    def begin(self) -> None:
        """Forget the life before."""
        self._drop()
        shutil.copyfile(self._empty, self.place.database)
        self.told.write_bytes(b"")

    def keep(self) -> None:
        """Keep what stands now. Segments are linked, not copied: they have to be the same files later."""
        shutil.rmtree(self._kept, ignore_errors=True)
        self._kept.mkdir()
        for path in (*self._database(), self.told):
            shutil.copyfile(path, self._kept / path.name)
        shutil.copytree(self.place.disk, self._kept / "disk", copy_function=_link)

    def put_back(self) -> None:
        """Let stand again what stood when `keep` was called."""
        self._drop()
        for path in self._kept.glob("log.db*"):
            shutil.copyfile(path, self.place.database.parent / path.name)
        shutil.copyfile(self._kept / self.told.name, self.told)
        shutil.copytree(self._kept / "disk", self.place.disk, copy_function=_link, dirs_exist_ok=True)

    def process(self, seed: int, reach: Callable[[str], None], boot: int = 1) -> Process:
        """A process of the life, whose acknowledgements are told to the file ``told``."""
        return Process(self.place, seed=seed, reach=reach, acknowledge=self._tell, engine=self._engine, boot=boot)

    def _tell(self, recorded: Sequence[Recorded]) -> None:
        with self.told.open("ab", buffering=0) as told:
            told.write(acknowledgement(recorded))

    def _database(self) -> list[Path]:
        return list(self.place.database.parent.glob("log.db*"))

    def _drop(self) -> None:
        for path in (*self._database(), *self.place.disk.glob("[!l]*")):  # lost+found is the filesystem's
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _link(source: str, target: str) -> None:
    if Path(source).name == JOURNAL:  # it is appended to
        shutil.copyfile(source, target)
    else:
        Path(target).hardlink_to(source)
