"""R17: what the playlists on the disks show, the log must know; else nothing is purged, below whatever root."""

from contextlib import suppress
from pathlib import Path

import pytest

from application.retention_projector import Round
from domain.errors import RootSuspect
from domain.events import Disposition
from persistence.memory import MemoryAgenda, MemorySeals
from persistence.memory_read_models import MemoryReadModels
from tests.memory_app import TESTER, App, Channel, Store

pytestmark = pytest.mark.rule("R17")


@pytest.fixture
def film(app: App, tmp_path: Path) -> Channel:
    """A channel on a disk of its own, without a playlist; its first batch is due."""
    made = Channel(app, tmp_path / "archive", "film")
    made.open(playlist_window=0)
    made.generate(3)
    return made


@pytest.fixture
def news(app: App, film: Channel, tmp_path: Path) -> Channel:
    """A channel with playlists, on another disk."""
    made = Channel(app, tmp_path / "media", "news")
    made.open(renditions=("v", "a"))
    made.generate(2)
    return made


def put_back(store: Store, head: int) -> App:
    """Another process, over the log as it was at that position, and over disks of a time before there were journals."""
    old = store.at(head)
    for summary in old.read_models.sessions():
        with suppress(OSError):
            Path(summary.root, ".trailkeep-journal").unlink()
    return App(old)


def test_a_log_that_knows_what_is_shown_purges(store: Store, film: Channel, news: Channel) -> None:
    assert {type(one.event).__name__ for one in put_back(store, store.log.head()).project()} >= {"SegmentsPurged"}


def test_a_log_that_was_put_back_purges_nothing_on_any_disk(store: Store, film: Channel, news: Channel) -> None:
    """R17: since then `film` was closed to be kept, which nothing on its own disk tells."""
    head = store.log.head()
    news.app.generation.close(film.id, "it is shown again", Disposition.KEEP, TESTER)
    news.generate(1)
    before = film.segments()
    app = put_back(store, head)
    done = app.retention.run_once()
    assert done == Round(paused={str(film.root): done.paused[str(film.root)]})
    assert (
        "news/a lists segments up to media sequence number 5, the log knows them up to 3"
        in (done.paused[str(film.root)])
    )
    assert film.segments() == before
    assert app.log.head() == head


def test_it_purges_again_when_it_has_passed_what_was_shown(store: Store, film: Channel, news: Channel) -> None:
    head = store.log.head()
    news.generate(1)
    app = put_back(store, head)
    assert app.retention.run_once().paused
    again = Channel(app, news.root, "news")
    again.start()
    again.write()
    with pytest.raises(RootSuspect, match="was the database put back"):
        app.retention._log_check.require_intact()
    again.complete()
    done = app.retention.run_once()
    assert not done.paused
    assert len(done.recorded) >= 2


def test_or_when_the_playlist_was_removed(store: Store, film: Channel, news: Channel) -> None:
    head = store.log.head()
    news.generate(1)
    app = put_back(store, head)
    assert app.retention.run_once().paused
    for path in news.directory.rglob("*.m3u8"):
        path.unlink()
    assert app.retention.run_once().recorded


def test_the_playlist_of_a_rendition_that_the_log_does_not_know_counts(
    store: Store, film: Channel, news: Channel
) -> None:
    head = store.log.head()
    news.app.generation.close(news.id, "another encoder", Disposition.KEEP, TESTER)
    news.open(renditions=("hd",))
    news.generate(1)
    assert "news/hd" in put_back(store, head).retention.run_once().paused[str(film.root)]


def test_read_models_that_are_behind_or_lost_are_no_reason_to_pause(store: Store, film: Channel, news: Channel) -> None:
    """The log itself is asked before a playlist is said to be ahead of it."""
    store.read_models = MemoryReadModels()
    app = App(store)
    app.read_model_projector.catch_up()
    news.generate(1)
    assert app.retention.run_once().recorded


@pytest.mark.parametrize("harm", ["gone", "a file", "a playlist that is none"])
def test_a_disk_that_cannot_be_looked_at_has_no_say(store: Store, film: Channel, news: Channel, harm: str) -> None:
    if harm == "a playlist that is none":
        for path in news.directory.glob("*/*.m3u8"):
            path.unlink()
            path.mkdir()
    else:
        news.root.rename(news.root.with_name("away"))
        if harm == "a file":
            news.root.touch()
    done = put_back(store, store.log.head()).retention.run_once()
    assert [one for one in done.recorded if one.envelope.session_id == film.id]


def test_the_stores_of_projectors_are_no_part_of_what_is_asked(store: Store, film: Channel, news: Channel) -> None:
    store.agenda, store.seals, store.read_models = MemoryAgenda(), MemorySeals(), MemoryReadModels()
    assert App(store).retention.run_once().recorded
