from collections.abc import Iterator
from pathlib import Path

import pytest

from application.ports import EventLog
from tests.contract.stores import STORES, Store


@pytest.fixture
def told() -> list[str]:
    """Grows with every call of the log's ``on_append``."""
    return []


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path, told: list[str]) -> Iterator[Store]:
    """Every kind of store in turn."""
    yield from STORES[request.param](tmp_path, lambda: told.append("the log grew"))


@pytest.fixture
def log(store: Store) -> EventLog:
    return store.log
