from collections.abc import Iterator
from pathlib import Path

import pytest

from application.ports import EventLog
from tests.contract.stores import Store, a_store, closing, memory_store, sqlite_store


@pytest.fixture
def told() -> list[str]:
    """Grows with every call of the log's ``on_append``."""
    return []


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path, told: list[str]) -> Iterator[Store]:
    """Every kind of store in turn: one suite holds them all to the ports."""

    def on_append() -> None:
        told.append("the log grew")

    match request.param:
        case "memory":
            yield from memory_store(tmp_path, on_append)
        case "sqlite":
            yield from sqlite_store(tmp_path, on_append)
        case "postgres":
            with closing(request.getfixturevalue("postgres_url")) as engine:
                yield a_store(engine, on_append)


@pytest.fixture
def log(store: Store) -> EventLog:
    return store.log
