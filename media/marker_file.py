"""The marker file of a media root: one line of JSON that says whose root it is (R17)."""

import os
import secrets
from contextlib import suppress

import msgspec

from application.ports import Marker
from domain.errors import RootSuspect
from media.directories import make_root, opened_root
from media.durable import flush, read_regular, suspecting, write_new

MARKER_FILE = ".trailkeep-root"
_LONGEST = 4096


def read(root: str) -> Marker | None:
    """The root's marker; None if the root has none.

    Raises:
        RootSuspect: the root is missing, or its marker cannot be read or understood.

    """
    with opened_root(root) as directory:
        return _read(root, directory)


def adopt(root: str, marker: Marker) -> Marker:
    """Make the root's directory and give it this marker, durably, where there is none; return the marker it has.

    Raises:
        RootSuspect: the root or its marker cannot be made, or there is a marker that cannot be read or understood.

    """
    make_root(root)
    with opened_root(root) as directory:
        while (found := _read(root, directory)) is None:
            with suspecting(root, f"its marker {MARKER_FILE} cannot be made"):
                _create(directory, msgspec.json.encode(marker) + b"\n")
        flush(directory, root, "its directory")
        return found


def _create(directory: int, line: bytes) -> None:
    """Give the root its marker whole or not at all; of two who try at once, one succeeds and the other's is dropped."""
    temporary = f"{MARKER_FILE}.{secrets.token_hex(8)}"
    write_new(directory, temporary, line)
    try:
        with suppress(FileExistsError):
            os.link(temporary, MARKER_FILE, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    finally:
        os.unlink(temporary, dir_fd=directory)


def _read(root: str, directory: int) -> Marker | None:
    with suspecting(root, f"its marker {MARKER_FILE} cannot be read"):
        line = read_regular(directory, MARKER_FILE, _LONGEST)
    return None if line is None else _understood(root, line)


def _understood(root: str, line: bytes) -> Marker:
    try:
        said = msgspec.json.decode(line, type=dict[str, str]) if len(line) <= _LONGEST else {}
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = {}
    if said.keys() != {"store_id", "root_id"} or not all(said.values()):
        raise RootSuspect(root, f"its marker {MARKER_FILE} is not one line of JSON with a store_id and a root_id")
    return Marker(**said)
