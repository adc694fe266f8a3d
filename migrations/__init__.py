"""The schema of the database, as Alembic steps; each is frozen once it was released."""
