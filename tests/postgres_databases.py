"""A fresh database for every test: copied from one that was upgraded once, and dropped at the end."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import make_url

from persistence import schema
from persistence.engine import open_engine
from tests.postgres_server import NOT_DURABLE, PostgresServer

_OWN_STORE_ID = "UPDATE store SET store_id = gen_random_uuid()::text"


class Databases:
    """Makes databases on a server, over a connection of its superuser."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._template = f"trailkeep_test_{uuid.uuid4().hex[:12]}"
        self._count = 0

    def _execute(self, statement: str) -> None:
        """Over a connection of its own: a test may stop the server."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)

    def url_of(self, database: str) -> str:
        return make_url(self.url).set(database=database).render_as_string(hide_password=False)

    @contextmanager
    def empty(self, how: str = "") -> Iterator[str]:
        """The URL of a database without any table; ``how`` is what CREATE DATABASE takes."""
        with self._made(how) as url:
            yield url

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a database with the schema of the code and a store id of its own."""
        with self._made(f"TEMPLATE {self._template} STRATEGY file_copy") as url:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(_OWN_STORE_ID)
            yield url

    def close(self) -> None:
        self._execute(f"DROP DATABASE IF EXISTS {self._template} WITH (FORCE)")

    def make_template(self) -> None:
        self._execute(f"CREATE DATABASE {self._template}")
        engine = open_engine(self.url_of(self._template))
        schema.upgrade(engine)
        engine.dispose()

    @contextmanager
    def _made(self, how: str) -> Iterator[str]:
        self._count += 1
        name = f"{self._template}_{self._count}"
        self._execute(f"CREATE DATABASE {name} {how}")
        try:
            yield self.url_of(name)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def databases() -> Iterator[Databases]:
    """On the server that TRAILKEEP_TEST_POSTGRES names, or on one that is started for it."""
    server = None
    url = os.environ.get("TRAILKEEP_TEST_POSTGRES")
    if not url:
        server = PostgresServer(*NOT_DURABLE)
        url = server.url()
    try:
        made = Databases(url)
        try:
            made.make_template()
            yield made
        finally:
            made.close()
    finally:
        if server:
            server.close()
