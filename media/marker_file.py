"""The marker file of a media root: one line of JSON that says whose root it is (R17)."""

import os
from functools import lru_cache
from pathlib import Path

import msgspec

from application.ports import Marker
from domain.errors import RootSuspect
from domain.root import check_path
from media import locks
from media.directories import opened_root
from media.durable import flush, read_regular, suspecting, write_new

MARKER_FILE = ".trailkeep-root"
_TEMPORARY = f"{MARKER_FILE}.new"
_LONGEST = 4096


def read(root: str) -> Marker | None:
    """The root's marker; None if the root has none.

    Raises:
        RootSuspect: the root is missing, or its marker cannot be read or understood.

    """
    with opened_root(root) as directory:
        return _read(root, directory)


def make_root(root: str) -> None:
    """Make the root's directory, and those above it, durably where they are missing.

    Raises:
        Invalid: the path is not absolute.
        RootUnavailable: it cannot be made.

    """
    check_path(root)
    missing, path = [], Path(root)
    with suspecting(root, "its directory cannot be made"):
        while not path.exists() and not path.is_symlink():
            missing.append(path)
            path = path.parent
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            with opened_root(str(path.parent)) as parent:
                flush(parent, root, str(path.parent))


def adopt(root: str, marker: Marker) -> Marker:
    """Make the root's directory and give it this marker, durably, where there is none; return the marker it has.

    Of those who try at once, the root's lock lets one after the other.

    Raises:
        RootUnavailable: the root or its marker cannot be made.
        RootSuspect: there is a marker that cannot be read or understood.

    """
    make_root(root)
    with locks.exclusive(root), opened_root(root) as directory:
        found = _read(root, directory)
        if found is None:
            with suspecting(root, f"its marker {MARKER_FILE} cannot be made"):
                _create(directory, msgspec.json.encode(marker) + b"\n")
            found = marker
        flush(directory, root, "its directory")
        return found


def replace(root: str, marker: Marker) -> None:
    """Give a root that is there this marker in the place of any other, atomically and durably.

    Raises:
        RootSuspect: the root is missing, or the marker cannot be written.

    """
    with locks.exclusive(root), opened_root(root) as directory:
        with suspecting(root, f"its marker {MARKER_FILE} cannot be written"):
            _create(directory, msgspec.json.encode(marker) + b"\n")
        flush(directory, root, "its directory")


def device(root: str) -> str:
    """The id of the filesystem that the root is on (statvfs(3) f_fsid), 16 hexadecimal digits.

    Unlike a device number it outlives a reboot where the filesystem has an id of its own, as ext4 and btrfs have.

    Raises:
        RootSuspect: the root is missing, or does not say.

    """
    with opened_root(root) as directory, suspecting(root, "its filesystem is not known"):
        return f"{os.statvfs(directory).f_fsid:016x}"


def _create(directory: int, line: bytes) -> None:
    """Give the root its marker whole or not at all. Who holds the root may drop what one who died left behind."""
    try:
        write_new(directory, _TEMPORARY, line)
    except FileExistsError:
        os.unlink(_TEMPORARY, dir_fd=directory)
        write_new(directory, _TEMPORARY, line)
    os.rename(_TEMPORARY, MARKER_FILE, src_dir_fd=directory, dst_dir_fd=directory)


def _read(root: str, directory: int) -> Marker | None:
    with suspecting(root, f"its marker {MARKER_FILE} cannot be read"):
        line = read_regular(directory, MARKER_FILE, _LONGEST)
    return None if line is None else _understood(root, line)


def _understood(root: str, line: bytes) -> Marker:
    marker = _marker(line)
    if marker is None:
        raise RootSuspect(root, f"its marker {MARKER_FILE} is not one line of JSON with a store_id and a root_id")
    return marker


@lru_cache(maxsize=64)
def _marker(line: bytes) -> Marker | None:
    try:
        said = msgspec.json.decode(line, type=dict[str, str]) if len(line) <= _LONGEST else {}
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = {}
    return Marker(**said) if said.keys() == {"store_id", "root_id"} and all(said.values()) else None
