"""The same events in every kind of log: the same lines, hashes and root, the same state, the same rows."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from application.read_model_projector import ReadModelProjector
from application.sealer import Sealer
from domain import merkle
from domain.session import replay
from tests.contract.log_events import (
    a_failure,
    a_whole_life,
    an_event,
    session,
    some_events,
    the_doubts_about_a_root,
    the_life_of,
)
from tests.contract.stores import Store, a_store, closing, memory_store, sqlite_store


@pytest.fixture
def stores(tmp_path: Path, postgres_url: str) -> Iterator[list[Store]]:
    """One of each kind, with the same events: every kind of them, and text of every kind."""
    with ExitStack() as ending:
        stores = [
            ending.enter_context(contextmanager(memory_store)(tmp_path)),
            ending.enter_context(contextmanager(sqlite_store)(tmp_path)),
            a_store(ending.enter_context(closing(postgres_url))),
        ]
        for store in stores:
            store.log.append(the_life_of(1, a_whole_life()), expected_version=0)
            store.log.append(the_life_of(2, the_doubts_about_a_root()), expected_version=0)
            ReadModelProjector(store.log, store.read_models).catch_up()
            for version, text in enumerate(["", "\x00", "straße 新闻 \U0001f3ac", "e\u0301", "caf\udce9", "\u2028"]):
                event = an_event(a_failure(text, stderr_tail=text * 100), of=3, version=version + 1)
                store.log.append([event], expected_version=version)
            store.log.append(some_events(300, of=4), expected_version=0)
            Sealer(store.log, store.seals).catch_up()
        yield stores


@pytest.mark.rule("R14")
def test_r14_the_lines_and_their_hashes_are_the_same_to_the_byte(stores: list[Store]) -> None:
    memory, sqlite, postgres = ([*store.log.read_lines()] for store in stores)
    assert len(memory) == 306 + len(a_whole_life()) + len(the_doubts_about_a_root())
    assert memory == sqlite == postgres


@pytest.mark.rule("R14")
def test_r14_the_root_of_the_whole_history_is_the_same(stores: list[Store]) -> None:
    memory, sqlite, postgres = (store.seals.load() for store in stores)
    assert memory.size == stores[0].log.head()
    assert memory == sqlite == postgres
    leaves = [line.leaf_hash for line in stores[2].log.read_lines()]
    assert merkle.root(postgres.frontier) == merkle.root(merkle.extend(0, (), leaves)[1])


@pytest.mark.rule("R14")
def test_r14_a_replay_gives_the_same_state_to_the_byte(stores: list[Store]) -> None:
    memory, sqlite, postgres = (
        msgspec.msgpack.encode(replay(session(1), store.log.read_session(session(1)))) for store in stores
    )
    assert memory == sqlite == postgres


@pytest.mark.rule("R14")
def test_r14_the_read_models_have_the_same_rows(stores: list[Store]) -> None:
    memory, sqlite, postgres = (
        (store.read_models.sessions(), store.read_models.batches(session(1)), store.read_models.checkpoint())
        for store in stores
    )
    assert len(memory[1]) == 3
    assert memory == sqlite == postgres
