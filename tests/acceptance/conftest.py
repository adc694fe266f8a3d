from pathlib import Path

import pytest

from tests.acceptance.command_line import Store


@pytest.fixture(params=["sqlite", "postgres"])
def empty_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Nothing but a database, of each kind in turn."""
    if request.param == "sqlite":
        return Store(tmp_path)
    return Store(tmp_path, request.getfixturevalue("postgres_url"))
