"""`repair` as operators call it: told first, done when ordered, recorded with the reason; and then `verify` agrees."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.command_line import Store, of_type

WHY = "left over from a test encoder"


@pytest.fixture
def store(empty_store: Store) -> Store:
    """Two batches of two."""
    made = empty_store
    made.open()
    made.produce(2)
    return made


def stray(store: Store, *places: str) -> Path:
    path = store.root.joinpath("news", *places)
    path.parent.mkdir(exist_ok=True)
    path.write_text("nobody knows")
    return path


def state(store: Store) -> tuple[object, ...]:
    files = {str(path): path.lstat().st_mtime_ns for path in store.root.rglob("*")}
    return files, store.events()


class TestOrphans:
    def test_without_apply_they_are_told_and_nothing_is_changed(self, store: Store) -> None:
        path = stray(store, "90p", "old.ts")
        before = state(store)
        result = store.invoke("repair", "orphans")
        assert result.exit_code == 0
        assert f"orphan: {path} (12 B)" in result.stdout
        assert "nothing was changed" in result.stdout
        assert store.answer("repair", "orphans", "news") == {
            "applied": False,
            "orphans": [{"file": str(path), "size": 12}],
            "left": [],
            "recorded": [],
        }
        assert state(store) == before

    @pytest.mark.rule("R10", "R16")
    def test_ordered_they_go_and_the_log_tells_who_and_why(self, store: Store) -> None:
        """R10, R16: the authorisation first, then the outcome."""
        paths = [stray(store, "90p", "old.ts"), stray(store, "loose.ts"), stray(store, "aside", "deep.ts")]
        kept = {path.name for path in store.segments.iterdir()} - {"old.ts"}
        head = len(store.events())
        done = store.answer("repair", "orphans", "news", "--apply", "--reason", WHY)
        assert (done["applied"], done["recorded"]) == (True, [head + 1, head + 2])
        condemned, removed = store.events()[head:]
        assert (condemned["type"], removed["type"]) == ("OrphansCondemned", "OrphansRemoved")
        assert condemned["data"]["reason"] == WHY
        assert condemned["actor"].startswith("cli")
        assert removed["causation_id"] == condemned["event_id"]
        assert (removed["data"]["deleted"], removed["data"]["bytes_freed"]) == (3, 36)
        assert [path for path in paths if path.exists()] == []
        assert {path.name for path in store.segments.iterdir()} == kept
        assert store.invoke("verify").exit_code == 0

    def test_what_is_left_is_said_with_the_reason(self, store: Store) -> None:
        os.mkfifo(store.segments / "fifo")
        listed = stray(store, "90p", "live.ts")
        playlist = store.segments / "90p.m3u8"
        playlist.write_text(playlist.read_text().replace("90p_segment_003.ts", "live.ts"))
        result = store.invoke("repair", "orphans", "--apply", "--reason", WHY)
        assert result.exit_code == 0, result.output
        assert f"left: {store.segments / 'fifo'}: it is no regular file" in result.stdout
        assert f"left: {listed}: a playlist lists it (R8)" in result.stdout
        assert listed.exists()

    @pytest.mark.rule("R7")
    def test_what_the_system_refuses_to_delete_is_an_error_and_an_outcome(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """R7."""
        path = stray(store, "loose.ts")

        def refuse(*_: Any, **__: Any) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr("media.deletion.os.unlink", refuse)
        result = store.invoke("repair", "orphans", "--apply", "--reason", WHY)
        monkeypatch.undo()
        assert result.exit_code == 1
        assert "could not be deleted" in result.stderr
        assert store.events()[-1]["data"]["remaining"] == [{"name": "loose.ts", "errno": "EPERM"}]
        assert path.exists()
        assert store.invoke("repair", "orphans", "--apply", "--reason", WHY).exit_code == 0
        assert not path.exists()

    def test_without_orphans_there_is_nothing_to_do(self, store: Store) -> None:
        before = state(store)
        for words in (("repair", "orphans"), ("repair", "orphans", "--apply", "--reason", WHY)):
            result = store.invoke(*words)
            assert (result.exit_code, result.stdout) == (0, "there are no orphans that can be deleted\n")
        assert state(store) == before


class TestLost:
    @pytest.mark.rule("R8", "R16")
    def test_what_is_lost_is_told_and_then_noted(self, store: Store) -> None:
        """R8, R16: the playlists go on without it, and `verify` agrees again."""
        gone = store.segments / "90p_segment_001.ts"
        gone.unlink()
        before = state(store)
        result = store.invoke("repair", "lost")
        assert result.exit_code == 0
        assert f"lost: {gone} (batch 0)" in result.stdout
        assert state(store) == before
        (lost,) = store.answer("repair", "lost")["lost"]
        assert (lost["channel"], lost["batch"], lost["files"]) == ("news", 0, [str(gone)])
        assert store.invoke("verify").exit_code == 3
        done = store.answer("repair", "lost", "news", "--apply", "--reason", "a bad disk")
        assert done["applied"]
        (event,) = of_type(store.events(), "SegmentsLost")
        assert event["position"] in done["recorded"]
        assert event["data"]["reason"] == "a bad disk"
        assert [one["file"] for one in event["data"]["files"]] == ["90p/90p_segment_001.ts"]
        assert gone.name not in (store.segments / "90p.m3u8").read_text()
        assert store.invoke("verify").exit_code == 0
        assert store.answer("history", "news")[0]["files"] == 1

    def test_where_nothing_is_lost_there_is_nothing_to_do(self, store: Store) -> None:
        before = state(store)
        for words in (("repair", "lost"), ("repair", "lost", "--apply", "--reason", WHY)):
            result = store.invoke(*words)
            assert (result.exit_code, result.stdout) == (0, "nothing is lost\n")
        assert state(store) == before


REPAIRS = pytest.mark.parametrize("what", ["orphans", "lost"])


@REPAIRS
@pytest.mark.rule("R20")
@pytest.mark.parametrize("reason", [(), ("--reason", ""), ("--reason", " \t")])
def test_an_order_without_a_reason_is_refused(store: Store, what: str, reason: tuple[str, ...]) -> None:
    """R20."""
    stray(store, "loose.ts")
    before = state(store)
    result = store.invoke("repair", what, "--apply", *reason)
    assert result.exit_code == 2
    assert "reason: " in result.stderr
    assert state(store) == before


@REPAIRS
@pytest.mark.rule("R20")
def test_an_unknown_channel_is_an_error(store: Store, what: str) -> None:
    """R20."""
    result = store.invoke("repair", what, "sport")
    assert result.exit_code == 1
    assert "channel: 'sport' is not known" in result.stderr


@REPAIRS
@pytest.mark.rule("R17")
@pytest.mark.parametrize("order", [(), ("--apply", "--reason", WHY)])
def test_below_a_root_without_its_marker_nothing_is_repaired(store: Store, what: str, order: tuple[str, ...]) -> None:
    """R17."""
    stray(store, "loose.ts")
    (store.segments / "90p_segment_001.ts").unlink()
    (store.root / ".trailkeep-root").unlink()
    before = state(store)
    result = store.invoke("repair", what, *order)
    assert result.exit_code == 4
    assert "R17" in result.stderr
    assert state(store) == before


def test_without_a_channel_all_are_repaired(store: Store) -> None:
    words = ("session", "open", "sport", "--root", str(store.root), "--rendition", "90p", "--batch-size", "2")
    store.answer(*words)
    paths = [stray(store, "loose.ts"), store.root / "sport" / "loose.ts"]
    paths[1].write_text("nobody knows")
    found = store.answer("repair", "orphans")
    assert [one["file"] for one in found["orphans"]] == [str(path) for path in paths]
    assert len(store.answer("repair", "orphans", "sport")["orphans"]) == 1
    store.answer("repair", "orphans", "--apply", "--reason", WHY)
    assert [path for path in paths if path.exists()] == []


@pytest.mark.rule("R6", "R10")
def test_a_repair_that_was_killed_is_finished_by_recover(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """R6, R10: the second unlink kills it; the authorisation is in the log."""
    paths = [stray(store, f"loose{number}.ts") for number in range(3)]
    unlink, count = os.unlink, 0

    def kill(*words: Any, **options: Any) -> None:
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt
        unlink(*words, **options)

    monkeypatch.setattr("media.deletion.os.unlink", kill)
    assert store.invoke("repair", "orphans", "--apply", "--reason", WHY).exit_code != 0
    monkeypatch.undo()
    assert sum(path.exists() for path in paths) == 2
    assert store.events()[-1]["type"] == "OrphansCondemned"
    assert "a removal of orphans" in json.loads(store.invoke("verify", "--json").stdout)["notes"][0]
    assert len(store.answer("recover")["recorded"]) == 1
    assert [path for path in paths if path.exists()] == []
    data = store.events()[-1]["data"]
    assert (data["deleted"], data["already_absent"]) == (2, ["loose0.ts"])
    assert store.invoke("verify").exit_code == 0


@pytest.mark.rule("R20")
@pytest.mark.parametrize("words", [("verify",), ("repair", "orphans"), ("repair", "lost")])
@pytest.mark.parametrize("lost", ["gone", "emptied"])
def test_a_database_that_is_lost_is_not_made_anew(tmp_path: Path, words: tuple[str, ...], lost: str) -> None:
    """R20: an empty one would agree with everything."""
    store = Store(tmp_path)
    store.open()
    path = store.directory / "log.db"
    for file in store.directory.glob("log.db*"):
        file.unlink()
    if lost == "emptied":
        path.touch()
    result = store.invoke(*words)
    assert result.exit_code == 1
    assert "database: " in result.stderr
    assert "is not known: a file that holds a log" in result.stderr
    assert path.exists() == (lost == "emptied")
