"""One root hash stands for the whole history."""

from itertools import pairwise

import pytest

from application import sealer
from application.ports import Seal
from domain import merkle
from persistence.memory import MemorySeals
from tests.memory_app import App, Channel, Store


class KeptSeals(MemorySeals):
    """Seals that remember every one."""

    def __init__(self) -> None:
        super().__init__()
        self.saved: list[tuple[int, bytes]] = []

    def save(self, seal: Seal, root: bytes) -> None:
        super().save(seal, root)
        self.saved.append((seal.size, root))


def root_of(channel: Channel) -> bytes:
    lines = channel.app.log.read_lines(limit=10**6)
    return merkle.root(merkle.extend(0, (), [merkle.leaf_hash(line.line) for line in lines])[1])


@pytest.mark.rule("R14", "R15")
def test_the_seal_is_over_every_event(channel: Channel) -> None:
    """R14, R15: over the bytes of the lines, in the order of their positions."""
    channel.open()
    channel.generate(3)
    seal = channel.app.sealer.catch_up()
    assert seal.size == channel.app.log.head()
    assert merkle.root(seal.frontier) == root_of(channel)
    assert channel.app.seals.load() == seal


@pytest.mark.parametrize("page", [1, 2, 3])
def test_it_grows_with_the_log_page_by_page(
    store: Store, channel: Channel, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealer, "PAGE", page)
    store.seals = seals = KeptSeals()
    app = App(store)
    channel.open()
    for _ in range(3):
        channel.generate()
        app.sealer.catch_up()
        assert seals.saved[-1] == (channel.app.log.head(), root_of(channel))
    sizes = [size for size, _ in seals.saved]
    assert sizes == sorted(set(sizes))
    assert all(later - earlier <= page for earlier, later in pairwise(sizes))


def test_an_empty_log_has_an_empty_seal_and_nothing_is_written_without_news(store: Store, channel: Channel) -> None:
    store.seals = seals = KeptSeals()
    app = App(store)
    assert app.sealer.catch_up() == Seal()
    channel.open()
    assert app.sealer.catch_up() == app.sealer.catch_up()
    assert len(seals.saved) == 1
