"""kill -9 at every effect of a round that purges batches of several channels together (docs/reference/torture.md)."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from application.disk_check import Level
from application.generation import Terms, nominal
from application.handlers import Cause
from domain.events import Availability, Policy, PurgeIssued, SegmentsPurged, Source
from entrypoints.bootstrap import App, opened
from entrypoints.projectors import project
from media.journal_file import JournalFiles
from tests.torture.campaign import in_child
from tests.torture.conftest import Replay
from tests.torture.instrument import Watch, watching
from tests.torture.scenario import Place, make_database

CHANNELS = ("news", "radio", "sports")
CAUSE = Cause("tester")
LEAST = 30
"""A round has more effects than that: else they are not seen."""


def make(place: Place) -> None:
    """Three channels below one root, of three batches each: the first batch of each is due."""
    with opened(place.url) as app:
        for channel in CHANNELS:
            terms = Terms(
                channel=channel,
                root=str(place.root),
                batch_size=1,
                renditions=("v",),
                pattern="{rendition}_%03d.ts",
                wrap=0,
                segment_ms=2000,
                playlist_window=1,
                policy=Policy(availability=Availability.OFF),
            )
            session_id = app.generation.open(terms, CAUSE).envelope.session_id
            for batch in range(3):
                app.generation.start(session_id, Source(label="bytes", producer="tester"), CAUSE)
                segment(place, channel, batch).write_bytes(b"m" * (batch + 1))
                app.generation.complete(session_id, nominal(2000, {}), "tester")
        app.read_model_projector.catch_up()
        app.sealer.catch_up()


def segment(place: Place, channel: str, batch: int) -> Path:
    return place.root / channel / "v" / f"v_{batch:03d}.ts"


def put_back(kept: Path, place: Place) -> None:
    """What was made, once more; segments are linked, for they have to be the same files."""
    above = place.database.parent
    shutil.rmtree(above)
    above.mkdir()

    def put(source: str, target: str) -> None:
        if source.endswith(".ts"):
            os.link(source, target)
        else:
            shutil.copy2(source, target)

    shutil.copytree(kept, above, copy_function=put, dirs_exist_ok=True)


def killed_at(number: int) -> Callable[[str], None]:
    """A ``reach`` that kills the process at its effect of that number."""
    met = 0

    def reach(_: str) -> None:
        nonlocal met
        met += 1
        if met == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return reach


def purges(app: App) -> dict[type, list[str]]:
    """The channels whose first batch was authorised to go, and those of which it is told that it went."""
    names = {app.sessions.id_of(channel, 1): channel for channel in CHANNELS}
    found: dict[type, list[str]] = {PurgeIssued: [], SegmentsPurged: []}
    for one in app.log.read():
        if isinstance(one.event, PurgeIssued | SegmentsPurged):
            assert one.event.batch == 0
            found[type(one.event)].append(names[one.envelope.session_id])
    return found


@pytest.mark.rule("R6", "R10", "R14", "R15")
def test_a_round_that_is_killed_anywhere_purges_each_batch_once(tmp_path: Path, replay: Replay) -> None:
    """R6, R10, R14, R15: no file without its authorisation, no outcome before its file, and one of each in the end."""
    place, kept, number = Place.below(tmp_path / "place"), tmp_path / "kept", 0
    make_database(place)
    in_child(lambda: make(place))
    shutil.copytree(place.database.parent, kept)
    for link in kept.rglob("*.ts"):
        link.unlink()
        os.link(place.database.parent / link.relative_to(kept), link)
    while True:
        number += 1
        put_back(kept, place)

        def work(number: int = number) -> None:
            with opened(place.url) as app, watching(Watch(place.root, killed_at(number))):
                project(app)

        if not in_child(work).signal:
            break
        in_child(lambda: judge(place))
    assert number > LEAST
    replay.did(number)


def judge(place: Place) -> None:
    """At once after the kill, after recovery, and after another one."""
    with opened(place.url) as app:
        found = purges(app)
        gone = {channel for channel in CHANNELS if not segment(place, channel, 0).exists()}
        told = {line.channel for line in JournalFiles().read(str(place.root))[0] if line.type == "PurgeIssued"}
        assert gone <= set(found[PurgeIssued]) & told
        assert set(found[SegmentsPurged]) <= gone
        app.recoverer.recover()
        project(app)
        assert {kind: sorted(those) for kind, those in purges(app).items()} == {
            PurgeIssued: sorted(CHANNELS),
            SegmentsPurged: sorted(CHANNELS),
        }
        for channel in CHANNELS:
            assert [segment(place, channel, batch).exists() for batch in range(3)] == [False, True, True]
        assert app.verifier.verify(Level.IDENTITY).ok
        head = app.log.head()
        app.recoverer.recover()
        project(app)
        assert app.log.head() == head
