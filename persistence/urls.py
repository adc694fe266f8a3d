"""A database's URL: what it may be, and how it is shown, which is without its password."""

import re
from pathlib import Path

from sqlalchemy import Engine, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from domain.errors import Invalid, StoreUnavailable

RULE = "it must be a URL of the form sqlite:////path/to/file or postgresql://user@host/database"

POSTGRES = {"postgresql", "postgresql+psycopg"}


def parse(url: str) -> URL:
    """The parts of a URL.

    Raises:
        Invalid: it names no database that the log can be kept in.

    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise Invalid("database", _without_password(url), RULE) from None
    if not f"{url}{parsed.database}".isprintable():
        raise Invalid("database", _without_password(url), f"{RULE}, of printable characters")
    if parsed.drivername not in {"sqlite", *POSTGRES}:
        raise Invalid("database", shown(parsed), RULE)
    return parsed


def shown(url: URL) -> str:
    """The URL as errors and answers tell it."""
    return url.set(drivername=url.get_backend_name()).render_as_string()


def unavailable(engine: Engine, reason: object) -> StoreUnavailable:
    """The error for a database that cannot be worked with now, and why."""
    return StoreUnavailable(shown(engine.url), str(reason).strip())


def beside(url: str, directory: Path) -> str:
    """The URL; a relative file in it is relative to ``directory``."""
    scheme, _, file = url.partition(":///")
    return f"{scheme}:///{directory / file}" if scheme == "sqlite" and file and file != ":memory:" else url


def _without_password(url: str) -> str:
    """Text that may not even be a URL, with what may be a password in it starred out."""
    return re.sub(r"(//[^/:]*):.*@", r"\1:***@", url)
