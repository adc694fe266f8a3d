"""A database and media roots as they were, put back after every harm: the same files, down to their inodes."""

import os
import shutil
from pathlib import Path
from typing import NamedTuple


class _File(NamedTuple):
    """What a file was; ``kept`` is another name of it, which no harm knows."""

    kept: Path
    content: bytes
    mtime_ns: int


class Snapshot:
    """Takes what is below ``directory``, which holds nothing but regular files and directories, to put it back.

    Identity goes by inode (R11), so that a copy would not do: files get their own names back, and their own content.
    """

    def __init__(self, directory: Path, aside: Path) -> None:
        self._directory = directory
        self._folders = [path.relative_to(directory) for path in sorted(directory.rglob("*")) if path.is_dir()]
        self._files: dict[Path, _File] = {}
        aside.mkdir()
        for number, path in enumerate(sorted(path for path in directory.rglob("*") if path.is_file())):
            kept = aside / str(number)
            os.link(path, kept)
            self._files[path.relative_to(directory)] = _File(kept, path.read_bytes(), path.stat().st_mtime_ns)

    def restore(self) -> None:
        """Make everything as it was."""
        shutil.rmtree(self._directory)
        self._directory.mkdir()
        for folder in self._folders:
            (self._directory / folder).mkdir()
        for path, file in self._files.items():
            if file.kept.read_bytes() != file.content:
                file.kept.write_bytes(file.content)
            if file.kept.stat().st_mtime_ns != file.mtime_ns:
                os.utime(file.kept, ns=(file.mtime_ns, file.mtime_ns))
            os.link(file.kept, self._directory / path)

    def files(self) -> set[Path]:
        """The files that there were, relative to the directory."""
        return set(self._files)
