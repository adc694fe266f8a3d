"""For all tests: logs are for operators, examples are the same for everybody, and there is a Postgres for who asks."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import settings

from tests.postgres_databases import Databases, databases


def _drop(*_: Any) -> Any:
    raise structlog.DropEvent


structlog.configure(processors=[_drop], wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))

settings.register_profile("everywhere", derandomize=True, deadline=None, database=None)
settings.load_profile("everywhere")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Databases]:
    """The Postgres of this process of the tests, started when the first test asks for it."""
    with databases() as made:
        yield made


@pytest.fixture
def postgres_url(postgres: Databases) -> Iterator[str]:
    """The URL of a database of one's own, with the schema of the code and nothing in it."""
    with postgres.database() as url:
        yield url
