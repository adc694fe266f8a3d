"""One application over the in-memory log and a media root of its own, for the units of the application."""

from pathlib import Path

import pytest

from tests.memory_app import App, Channel, Store


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def app(store: Store) -> App:
    return App(store)


@pytest.fixture
def channel(app: App, tmp_path: Path) -> Channel:
    """A channel that is not open yet."""
    return Channel(app, tmp_path / "root")
