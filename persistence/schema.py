"""Which schema a database has, and how it gets the one that this code works with."""

from importlib.resources import files

from sqlalchemy import Connection, Engine, inspect

from domain.errors import SchemaMismatch
from persistence.engine import writing

HEAD = "v0004"
"""The revision that this code works with: the newest step in migrations/versions."""

REVISIONS = ("v0001", "v0002", "v0003", HEAD)
"""Every revision that this code knows, oldest first."""


def current(engine: Engine) -> str | None:
    """The database's revision; None for an empty database.

    Raises:
        SchemaMismatch: the database is another program's.
        StoreUnavailable: it cannot be read.

    """
    with engine.connect() as connection:
        return _revision(connection)


def require_head(engine: Engine) -> None:
    """Raise `SchemaMismatch` unless the database has the schema of this code."""
    found = current(engine)
    _refuse_unknown(found)
    if found != HEAD:
        raise SchemaMismatch(found, HEAD, "run `trailkeep db upgrade`")


def upgrade(engine: Engine) -> str | None:
    """Bring the database to `HEAD`, in one transaction, and return the revision it had before (None: it was empty).

    Processes that start together wait for one another: the first upgrades, the others find nothing to do.

    Raises:
        SchemaMismatch: the database was made by a newer Trailkeep or by another program.
        StoreUnavailable: it cannot be written; its schema is what it was.

    """
    with writing(engine).begin() as connection:
        before = _revision(connection)
        _refuse_unknown(before)
        if before != HEAD:
            _run_steps(connection)
    return before


def _revision(connection: Connection) -> str | None:
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    if not {"alembic_version", "store"} <= set(tables):
        raise SchemaMismatch(None, HEAD, f"it holds tables of another program ({', '.join(tables[:3])})")
    revision: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return revision


def _refuse_unknown(found: str | None) -> None:
    if found is not None and found not in REVISIONS:
        raise SchemaMismatch(found, HEAD, "this database was made by a newer Trailkeep; upgrade Trailkeep")


def _run_steps(connection: Connection) -> None:
    # Imported here because it takes half a second, and only the first start of a database needs it.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(files("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
