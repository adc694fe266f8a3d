"""Where things are, as the environment, the command line and the configuration say it: paths."""

import os
from collections.abc import Mapping
from pathlib import Path

from application.claims import LEASE_S
from domain.errors import Invalid

DATABASE_FILE = "trailkeep.db"
LONGEST_LEASE_S = 3600


def home(environment: Mapping[str, str] = os.environ) -> Path:
    """Trailkeep's data directory: TRAILKEEP_HOME, or the user's data directory (XDG Base Directory)."""
    if given := environment.get("TRAILKEEP_HOME"):
        return expanded("TRAILKEEP_HOME", unicode("TRAILKEEP_HOME", given)).absolute()
    base = environment.get("XDG_DATA_HOME") or "~/.local/share"
    return expanded("TRAILKEEP_HOME", unicode("XDG_DATA_HOME", base)).absolute() / "trailkeep"


def lease_seconds(environment: Mapping[str, str] = os.environ) -> float:
    """How long a lease lasts unless it is renewed: TRAILKEEP_LEASE_SECONDS, or 15 s.

    Raises:
        Invalid: it is no number of seconds, or one that clocks and networks cannot keep.

    """
    given = environment.get("TRAILKEEP_LEASE_SECONDS", "")
    try:
        seconds = float(given or LEASE_S)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= LONGEST_LEASE_S:
        raise Invalid("TRAILKEEP_LEASE_SECONDS", given, f"a number of seconds from 1 to {LONGEST_LEASE_S}")
    return seconds


def media_root(given: str, directory: Path) -> str:
    """The real path of a media root; a relative one is relative to ``directory``.

    Raises:
        Invalid: it is empty, which would silently mean ``directory`` itself, or a line of the log cannot tell it.

    """
    if not given:
        raise Invalid("root", given, "the path of a directory")
    path = unicode("root", os.path.realpath(directory / expanded("root", given)))
    if not path.isprintable():
        raise Invalid("root", path, "a path of printable characters")
    return path


def expanded(field: str, given: str) -> Path:
    """A path as it was typed, with a ``~`` at its beginning replaced.

    Raises:
        Invalid: nobody's home directory is meant, or it cannot be a path.

    """
    if "\0" in given:
        raise Invalid(field, given, "a path, without a zero byte")
    try:
        return Path(given).expanduser()
    except RuntimeError:
        raise Invalid(field, given, "a path; the home directory that ~ stands for is not known") from None


def unicode(field: str, given: str) -> str:
    """Text from the command line or the environment, which may hold any bytes.

    Raises:
        Invalid: it is not UTF-8.

    """
    try:
        given.encode()
    except UnicodeEncodeError:
        raise Invalid(field, given, "text in UTF-8") from None
    return given
