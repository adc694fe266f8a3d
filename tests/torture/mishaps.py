"""What befalls a media root from outside, each once in a life; and how it is mended."""

import os
from collections.abc import Sequence
from pathlib import Path

from tests.torture.instrument import unwatched

MARKER, JOURNAL = ".trailkeep-root", ".trailkeep-journal"


class Mishaps:
    """What happens to one root. It lasts: a process that dies leaves the next one what befell it."""

    def __init__(self, disk: Path, root: Path) -> None:
        self._root, self._aside, self._gone = root, disk / "marker aside", disk / "gone"

    def hide_marker(self) -> None:
        """The root's marker goes astray, as if its disk were not mounted."""
        with unwatched():
            (self._root / MARKER).rename(self._aside)

    def mend(self) -> None:
        """Put back what went astray."""
        with unwatched():
            if self._aside.exists():
                self._aside.rename(self._root / MARKER)

    def tear_journal(self) -> None:
        """A power cut tore the last line of the root's journal, once."""
        with unwatched():
            torn = self._aside.with_name("torn")
            if not torn.exists():
                torn.touch()
                _flush(torn.parent)
                with (self._root / JOURNAL).open("ab") as journal:
                    journal.write(b'{"position":7,"leaf')
                _flush(self._root / JOURNAL)

    def lose(self, files: Sequence[Path]) -> None:
        """These files, relative to the root, are gone for good; nobody of ours did it."""
        with unwatched():
            if not self._gone.exists():
                self._gone.write_text("".join(f"{file}\n" for file in files))
                _flush(self._gone)
                _flush(self._gone.parent)
                for file in files:
                    (self._root / file).unlink()
                for directory in {(self._root / file).parent for file in files}:
                    _flush(directory)

    def gone(self) -> set[str]:
        """The absolute paths of the files that got lost."""
        return (
            {str(self._root / line) for line in self._gone.read_text().splitlines()} if self._gone.exists() else set()
        )


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
