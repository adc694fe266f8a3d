"""Why a file is there, or when and why it went."""

from pathlib import Path

import pytest

from application.explanations import Explanation
from application.verify import Level
from domain.events import Availability, Disposition, Policy
from tests.builders import STORE_ID
from tests.memory_app import TESTER, App, Channel, Store
from tests.property.faults import FailingRoots, Killed, Points

RFC8216 = Policy(availability=Availability.RFC8216)


def explain(channel: Channel, path: Path) -> Explanation:
    channel.app.read_model_projector.catch_up()
    return channel.app.explainer.explain(str(path))


def test_a_kept_file_stays_by_the_rule_of_the_newest_batches(channel: Channel) -> None:
    channel.open()
    channel.generate(2)
    found = explain(channel, channel.paths(1)[1])
    assert (found.status, found.segment, found.batch, found.events) == ("kept", 3, 1, (4, 5))
    assert found.because == "R2: batch 1 is one of the newest 2 completed batches"
    assert found.session_id == channel.id


def test_a_file_of_a_batch_that_is_due_waits_for_its_purge(channel: Channel) -> None:
    channel.open()
    channel.generate(3)
    assert explain(channel, channel.paths(0)[0]).because == "batch 0 is due and waits for its purge"


@pytest.mark.rule("R13")
def test_a_file_that_is_listed_says_so(channel: Channel) -> None:
    """R13."""
    channel.open(policy=RFC8216, playlist_window=6)
    channel.generate(3)
    assert explain(channel, channel.paths(0)[0]).because == "availability: still listed in a playlist"


@pytest.mark.rule("R19")
def test_a_file_of_a_closed_session_says_what_becomes_of_it(channel: Channel) -> None:
    """R19."""
    channel.open()
    channel.generate(2)
    path = channel.paths(0)[0]
    channel.app.generation.close(channel.id, "the end", Disposition.KEEP, TESTER)
    assert explain(channel, path).because == "the session was closed with its batches to be kept"
    channel.app.generation.close(channel.id, "no room", Disposition.PURGE, TESTER)
    assert "newest two completed batches stay" in explain(channel, path).because
    channel.open()
    channel.generate(2)
    assert explain(channel, path).because == "batch 0 is due and waits for its purge"
    channel.app.project()
    found = explain(channel, path)
    assert found.status == "purged"
    assert f"R19: batch 1 of session {channel.id} completed" in found.because


def test_a_file_of_a_running_or_failed_batch_is_being_generated(channel: Channel) -> None:
    channel.open()
    channel.start()
    path = channel.write(1)[0]
    found = explain(channel, path)
    assert (found.status, found.batch) == ("generating", 0)
    assert "attempt 1 of batch 0 is being generated" in found.because
    channel.fail("no signal")
    found = explain(channel, path)
    assert (found.status, found.because) == ("generating", "attempt 1 of batch 0 failed: no signal")


@pytest.mark.parametrize("closed", [False, True])
def test_a_failed_attempt_explains_what_it_left_and_nothing_else(channel: Channel, closed: bool) -> None:
    """No more and no less than `verify` does, whether the batch is tried again or not."""
    channel.open()
    channel.start()
    left, later = channel.write(2)
    later.unlink()
    channel.fail("no signal")
    if closed:
        channel.app.generation.close(channel.id, "the end", Disposition.KEEP, TESTER)
    assert explain(channel, later).status == ("unknown" if closed else "generating")
    later.write_bytes(b"later")
    found = explain(channel, left)
    assert found.status == ("kept" if closed else "generating")
    assert found.because.startswith("attempt 1 of batch 0 failed: no signal")
    found = explain(channel, later)
    assert (found.status, "none of the files that were left then" in found.because) == ("orphan", True)
    assert channel.app.verifier.verify(Level.IDENTITY).orphans == (str(later),)


def test_what_an_earlier_session_left_is_explained_under_the_names_of_a_later_one(channel: Channel) -> None:
    """As `verify` does, which looks at all sessions of the directory."""
    channel.open()
    channel.start()
    path = channel.write(1)[0]
    channel.fail("no signal")
    channel.app.generation.close(channel.id, "the end", Disposition.PURGE, TESTER)
    channel.open()
    channel.generate(3)
    channel.app.project()
    assert explain(channel, path).status == "purged"
    path.write_bytes(b"back")
    assert explain(channel, path).status == "kept"
    assert channel.app.verifier.verify(Level.IDENTITY).orphans == ()


@pytest.mark.rule("R10")
def test_a_purged_file_tells_when_and_why_it_went(channel: Channel) -> None:
    """R10: with the positions of all that was recorded of it."""
    channel.open()
    channel.generate(3)
    channel.app.project()
    found = explain(channel, channel.paths(0)[0])
    completion = channel.app.sessions.load(channel.id).batches[2].completed
    assert completion is not None
    assert (found.status, found.segment, found.batch) == ("purged", 0, 0)
    assert found.because == (f"R3: batch 2 completed at position {completion.position}, so batch 0 was due; 2 deleted")
    kinds = [type(channel.app.log.read(after=position - 1)[0].event).__name__ for position in found.events]
    assert kinds == ["BatchStarted", "BatchCompleted", "PurgeIssued", "SegmentsPurged"]


@pytest.mark.parametrize("unlinked", [False, True])
def test_a_file_in_the_middle_of_its_purge_says_so(store: Store, tmp_path: Path, unlinked: bool) -> None:
    points = Points()
    channel = Channel(App(store, FailingRoots(points, set())), tmp_path / "root")
    channel.open()
    channel.generate(3)
    points.armed = Points.DELETED if unlinked else Points.DELETE
    with pytest.raises(Killed):
        channel.app.retention.run_once()
    found = explain(channel, channel.paths(0)[0])
    if unlinked:
        assert found.status == "purged"
        assert found.because.endswith("the outcome of the purge is not recorded yet")
    else:
        assert found.status == "kept"
        assert found.because.endswith("the purge is not finished")


def test_a_kept_file_that_is_gone_is_lost(channel: Channel) -> None:
    channel.open()
    channel.generate(1)
    path = channel.paths(0)[0]
    path.unlink()
    found = explain(channel, path)
    assert found.status == "unknown"
    assert found.because.startswith("lost: batch 0 keeps it")


@pytest.mark.rule("R11")
def test_a_file_that_was_replaced_is_superseded_before_and_after_the_purge(channel: Channel) -> None:
    """R11."""
    channel.open()
    channel.generate(3)
    path = channel.paths(0)[0]
    path.unlink()
    path.write_bytes(b"another")
    found = explain(channel, path)
    assert (found.status, "not the file that batch 0 recorded" in found.because) == ("superseded", True)
    channel.app.project()
    found = explain(channel, path)
    assert (found.status, "it was left alone" in found.because) == ("superseded", True)


@pytest.mark.rule("R11")
def test_it_is_superseded_also_if_an_attempt_that_left_others_found_it(store: Store, tmp_path: Path) -> None:
    """R11: what PurgeFailed says counts as well."""
    denied: set[str] = set()
    channel = Channel(App(store, FailingRoots(Points(), denied)), tmp_path / "root")
    channel.open()
    channel.generate(3)
    path, stuck = channel.paths(0)
    path.unlink()
    path.write_bytes(b"another")
    denied.add(str(stuck))
    channel.app.project()
    denied.clear()
    store.clock.advance(60)
    channel.app.project()
    assert explain(channel, path).status == "superseded"


def test_a_file_that_came_after_the_purge_is_an_orphan(channel: Channel) -> None:
    channel.open()
    channel.generate(3)
    channel.app.project()
    path = channel.paths(0)[0]
    path.write_bytes(b"another")
    found = explain(channel, path)
    assert (found.status, found.batch) == ("orphan", 0)
    assert "came after batch 0" in found.because


@pytest.mark.rule("R5")
def test_a_name_that_was_used_again_is_of_its_newest_batch(channel: Channel) -> None:
    """R5: names wrap, so the newest segment that bears the name answers."""
    channel.open(wrap=6)
    for _ in range(5):
        channel.generate(1)
        channel.app.project()
    found = explain(channel, channel.directory / "v" / "v_segment_000.ts")
    assert (found.status, found.segment, found.batch) == ("kept", 6, 3)


def test_a_name_of_an_earlier_session_is_explained_by_it(channel: Channel) -> None:
    channel.open()
    channel.generate(1)
    first, path = channel.id, channel.paths(0)[0]
    channel.app.generation.close(first, "next", Disposition.KEEP, TESTER)
    channel.open()
    channel.generate(1)
    found = explain(channel, path)
    assert (found.session_id, found.status, found.batch) == (first, "kept", 0)


@pytest.mark.parametrize(
    "name", ["notes.txt", "v/deeper/x.ts", "v/notes.txt", "v/v_segment_099.ts", "x/v_segment_000.ts"]
)
def test_a_file_that_no_event_explains_is_an_orphan(channel: Channel, name: str) -> None:
    channel.open()
    channel.generate(1)
    path = channel.directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"?")
    found = explain(channel, path)
    assert (found.status, found.segment, found.batch, found.events) == ("orphan", None, None, ())
    path.unlink()
    found = explain(channel, path)
    assert (found.status, found.because) == ("unknown", "no event speaks of it, and it is not there")


@pytest.mark.rule("R8")
def test_a_playlist_is_kept_for_purges_never_delete_it(channel: Channel) -> None:
    """R8: also that of a rendition which the channel no longer has."""
    channel.open(renditions=("v", "a"))
    channel.generate(1)
    channel.app.generation.close(channel.id, "no more sound", Disposition.PURGE, TESTER)
    channel.open()
    channel.generate(1)
    for name in ("master.m3u8", "v/v.m3u8", "a/a.m3u8"):
        found = explain(channel, channel.directory / name)
        assert (found.status, found.because) == ("kept", "a playlist; purges never delete playlists (R8)")
        assert (found.segment, found.batch, found.session_id, found.events) == (None, None, None, ())


@pytest.mark.parametrize("name", ["v/master.m3u8", "v/a.m3u8", "v/V.m3u8", "v/v.m3u8.bak"])
def test_another_playlist_is_an_orphan(channel: Channel, name: str) -> None:
    channel.open()
    channel.generate(1)
    (channel.directory / name).write_text("#EXTM3U\n")
    assert explain(channel, channel.directory / name).status == "orphan"


def test_a_session_without_playlists_has_none_to_explain(channel: Channel) -> None:
    channel.open(playlist_window=0)
    channel.generate(1)
    path = channel.directory / "v" / "v.m3u8"
    assert explain(channel, path).status == "unknown"
    path.write_text("#EXTM3U\n")
    assert explain(channel, path).status == "orphan"


def test_a_playlist_that_is_gone_is_not_kept(channel: Channel) -> None:
    channel.open()
    channel.generate(1)
    path = channel.directory / "master.m3u8"
    path.unlink()
    found = explain(channel, path)
    assert (found.status, found.because) == ("unknown", "no event speaks of it, and it is not there")


@pytest.mark.rule("R17")
def test_the_marker_is_kept_if_it_is_ours(channel: Channel) -> None:
    """R17."""
    channel.open()
    path = channel.root / ".trailkeep-root"
    found = explain(channel, path)
    assert (found.status, found.because) == (
        "kept",
        "the marker of this media root: without it purging pauses (R17)",
    )
    line = path.read_text()
    path.write_text(line.replace(STORE_ID, "00000000-0000-4000-8000-000000000002"))
    found = explain(channel, path)
    assert found.status == "orphan"
    assert "of store 00000000-0000-4000-8000-000000000002" in found.because
    path.unlink()
    found = explain(channel, path)
    assert (found.status, "purging of it pauses (R17)" in found.because) == ("unknown", True)


@pytest.mark.parametrize("place", ["news", "news/v", "news/v/deeper/x.ts", "news2/v/v_segment_000.ts", ""])
def test_what_is_no_file_of_a_channel_is_unknown(channel: Channel, place: str) -> None:
    channel.open()
    channel.generate(1)
    found = explain(channel, channel.root / place)
    assert found.status == "unknown"
    assert found.file == str(channel.root / place)
