"""Runs the steps, on the connection that `persistence.schema` hands over or, from Alembic's own command line, on one
to the database that TRAILKEEP_DATABASE_URL names.
"""

import os

from alembic import context
from sqlalchemy import Connection

from persistence.engine import open_engine, writing
from persistence.tables import metadata


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()


handed_over = context.config.attributes.get("connection")
if handed_over is not None:
    run(handed_over)
else:
    engine = writing(open_engine(os.environ.get("TRAILKEEP_DATABASE_URL", "")))
    with engine.begin() as own:
        run(own)
    engine.dispose()
