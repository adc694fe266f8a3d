"""What is Postgres's own: the driver, what makes a connection durable, and which errors are about the server."""

import select
from pathlib import Path
from typing import Any

import psycopg
from psycopg import errors, pq
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import InvalidatePoolError

from domain.errors import Invalid
from persistence.urls import shown, unavailable

ERRORS: tuple[type[Exception], ...] = (psycopg.Error,)
"""What the driver raises."""

PARAMETER = "%s"

DURABLE = ("on", "remote_apply")
"""Settings of ``synchronous_commit`` with which an acknowledged commit is on the disks, standbys' included."""

_WRITE_LOCK = 0x7472_6169_6C6B  # "trailk": an advisory lock's number, which others must not take by chance

_TIMES = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "30000",
}
"""After how long a server that does not answer is taken to be away; what the URL says goes before."""

_PREPARE = """
    SELECT set_config('default_transaction_isolation', 'read committed', false),
        set_config('lock_timeout', '30s', false),
        set_config('synchronous_commit', CASE WHEN said = ANY (%s) THEN said ELSE 'on' END, false),
        current_setting('server_encoding')
    FROM current_setting('synchronous_commit') AS said"""

_OUTAGES = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.InternalError,  # damaged pages, and a server that only takes reads
    errors.InsufficientPrivilege,
    errors.UndefinedTable,
    errors.UndefinedFunction,
)

_SECRETS = {"password", "sslpassword"}


def make_engine(url: URL) -> Engine:
    """An engine for a database of a server."""
    defaults = {name: value for name, value in _TIMES.items() if name not in url.query}
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args={"application_name": "trailkeep", "client_encoding": "utf8", **defaults},
        max_overflow=-1,
        use_native_hstore=False,
    )

    def checkout(connection: Any, *_: Any) -> None:
        if is_lost(connection):
            raise InvalidatePoolError

    event.listen(engine, "checkout", checkout)
    return engine


def check(url: URL, rule: str) -> None:
    """Raise `Invalid` if the URL is not one of a database."""
    if secret := _SECRETS & url.query.keys():
        name = secret.pop()
        raise Invalid(
            "database", shown(url.set(query={name: "***"})), f"{name}: it belongs before the @, or to PGPASSWORD"
        )
    if not url.database:
        raise Invalid("database", shown(url), rule)
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    if unknown := url.query.keys() - known:
        raise Invalid("database", shown(url), f"{min(unknown)}: there is no such connection parameter")


def prepare(engine: Engine, connection: Any) -> None:
    """Make a new connection durable.

    Raises:
        StoreUnavailable: it cannot be.

    """
    connection.autocommit = True  # the driver begins nothing by itself; `begin` does
    _, _, durability, encoding = connection.execute(_PREPARE, (list(DURABLE),)).fetchone()
    if durability not in DURABLE:
        raise unavailable(engine, f"synchronous_commit is {durability!r} and cannot be made 'on' there")
    if encoding != "UTF8":
        raise unavailable(engine, f"the encoding of the database is {encoding}, and must be UTF8")


def begin(connection: Connection, *, writing: bool) -> None:
    """Begin a transaction; with the write lock, which ends with it, if it is going to write."""
    connection.exec_driver_sql("BEGIN")
    if writing:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITE_LOCK})")


def is_outage(error: BaseException) -> bool:
    """Whether this is about the server, its disk or what it lets us do; constraints have classes of their own."""
    return isinstance(error, _OUTAGES)


def is_lost(connection: Any) -> bool:
    """Whether the server has ended an idle connection: then there is something to read on it, its end."""
    if connection.closed:
        return True
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


def file_of(_: URL) -> Path | None:
    """None: where a server keeps its database is its own affair."""
    return None
