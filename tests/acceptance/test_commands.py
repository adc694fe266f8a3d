"""The contract of the command line: what scripts read, by name and by exit code."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from application.handlers import Cause
from application.recovery import OWN_PRODUCER
from domain.events import Source
from entrypoints.bootstrap import opened
from entrypoints.cli import main
from tests.acceptance.command_line import CHANNEL, RENDITION, Store, names_of, of_type

HISTORY = {
    "batch",
    "state",
    "attempt",
    "files",
    "bytes",
    "started_at",
    "completed_at",
    "purged_at",
    "because",
    "held_by",
}
PLAN = {"session_id", "channel", "batch", "due_at", "because", "files", "bytes", "blocked_by"}
EXPLAIN = {"file", "status", "segment", "batch", "because", "events"}
VERIFY = {"ok", "checked", "lost", "orphans", "superseded", "changed", "log"}


@pytest.fixture
def store(empty_store: Store) -> Store:
    """A session of batches of 2, opened, nothing made."""
    made = empty_store
    made.open("--wrap", "20")
    return made


def test_opening_a_session_answers_its_id_and_channel(empty_store: Store) -> None:
    store = empty_store
    words = ("session", "open", "news", "--root", str(store.root), "--batch-size", "4", "--rendition", "a")
    opened = store.answer(*words, "--rendition", "b", "--playlist-window", "12")
    assert opened["channel"] == "news"
    assert opened["session_id"] == store.events()[0]["session_id"]
    asked = {"batch_size": 4, "renditions": ["a", "b"], "wrap": 1000, "segment_ms": 2000, "playlist_window": 12}
    assert asked.items() <= opened.items()
    assert "availability=rfc8216" in opened["policy"]


@pytest.mark.rule("R1")
def test_starting_a_batch_answers_the_files_to_write(store: Store) -> None:
    """R1."""
    store.produce()
    started = store.answer("batch", "start", "news")
    assert {key: started[key] for key in started if key != "files"} == {
        "batch": 1,
        "attempt": 1,
        "first_segment": 2,
        "last_segment": 3,
    }
    assert {Path(file).name for file in started["files"]} == names_of(1, batch_size=2)
    assert all(Path(file).parent == store.segments for file in started["files"])


def test_ending_a_batch_answers_the_recorded_event(store: Store) -> None:
    store.answer("batch", "start", "news")
    failed = store.answer("batch", "fail", "news", "--reason", "the source went away")
    assert failed == store.events()[-1]
    assert failed["data"]["reason"] == "the source went away"
    started = store.answer("batch", "start", "news")
    assert started["attempt"] == 2
    for file in started["files"]:
        Path(file).write_text(file)
    assert store.answer("batch", "complete", "news") == store.events()[-1]


@pytest.mark.rule("R3")
def test_history_tells_each_batch_and_why_it_went(store: Store) -> None:
    """R3."""
    store.produce(3)
    assert store.invoke("project").exit_code == 0
    rows = store.answer("history", "news")
    assert all(row.keys() >= HISTORY for row in rows)
    assert [(row["batch"], row["state"]) for row in rows] == [(0, "purged"), (1, "completed"), (2, "completed")]
    assert rows[0]["because"]["rule"] == "R3"
    assert rows[0]["because"]["completed_batch"] == 2
    assert rows[0]["purged_at"] >= rows[2]["completed_at"]


@pytest.mark.rule("R18")
def test_what_the_plan_lists_is_what_project_does(store: Store) -> None:
    """R18: and the plan itself records and deletes nothing."""
    store.produce(3)
    before = store.events()
    (row,) = store.answer("plan")
    assert row.keys() >= PLAN
    assert (row["channel"], row["batch"], row["files"], row["blocked_by"]) == ("news", 0, 2, None)
    assert store.events() == before
    assert store.invoke("project").exit_code == 0
    (issued,) = of_type(store.events(), "PurgeIssued")
    assert issued["data"]["because"] == row["because"]
    assert {key: issued["data"][key] for key in ("batch", "files", "bytes")} == {
        key: row[key] for key in ("batch", "files", "bytes")
    }
    assert store.answer("plan") == []


def test_events_are_told_as_they_were_recorded_with_the_position_first(store: Store) -> None:
    store.produce()
    everything = store.invoke("events", "--json").stdout.splitlines()
    for position, line in enumerate(everything, start=1):
        assert line.startswith(f'{{"position":{position},"event_id":"')
        assert json.dumps(json.loads(line), separators=(",", ":"), ensure_ascii=False) == line
    assert store.invoke("events", "news", "--after", "1", "--json").stdout.splitlines() == everything[1:]


def test_explain_tells_what_became_of_a_file(store: Store) -> None:
    store.produce(3)
    first = str(store.segments / min(names_of(0, batch_size=2)))
    kept = store.answer("explain", first)
    assert kept.keys() >= EXPLAIN
    assert (kept["file"], kept["status"], kept["segment"], kept["batch"]) == (first, "kept", 0, 0)
    assert store.invoke("project").exit_code == 0
    purged = store.answer("explain", first)
    assert purged["status"] == "purged"
    assert "R3" in purged["because"]
    assert set(kept["events"]) < set(purged["events"])
    stray = store.segments / "90p_segment_019.ts"
    stray.write_text("nobody's")
    assert store.answer("explain", str(stray))["status"] == "orphan"
    assert store.answer("explain", str(store.directory / "elsewhere.ts"))["status"] == "unknown"


def test_verify_ends_with_3_when_a_kept_file_is_gone(store: Store) -> None:
    store.produce(2)
    good = store.answer("verify")
    assert good.keys() >= VERIFY
    assert (good["ok"], good["checked"], good["lost"]) == (True, 4, [])
    assert good["log"]["events"] == 5
    assert good["log"]["ok"] is True
    lost = min(names_of(1, batch_size=2))
    (store.segments / lost).unlink()
    result = store.invoke("verify", "--json")
    assert result.exit_code == 3
    bad = json.loads(result.stdout)
    assert bad["ok"] is False
    assert [lost in str(one) for one in bad["lost"]] == [True]


@pytest.mark.rule("R8")
def test_what_a_failed_batch_left_is_no_orphan_after_its_session_either(empty_store: Store) -> None:
    """`explain` says of it what `verify` does: an event names it."""
    empty_store.open()
    left, later = map(Path, empty_store.answer("batch", "start", "news")["files"])
    left.write_text("left")
    empty_store.answer("batch", "fail", "news", "--reason", "no signal")
    empty_store.answer("session", "close", "news")
    found = empty_store.answer("explain", str(left))
    assert found["status"] == "kept"
    assert "no signal" in found["because"]
    assert empty_store.answer("verify")["orphans"] == []
    later.write_text("later")
    assert empty_store.answer("explain", str(later))["status"] == "orphan"
    verified = empty_store.invoke("verify", "--json")
    assert (verified.exit_code, empty_store.read(verified)["orphans"]) == (3, [str(later)])


def test_a_name_that_is_no_text_is_explained_as_verify_tells_it(store: Store) -> None:
    store.produce()
    odd = store.segments / "\udcff.ts"
    odd.write_bytes(b"?")
    (told,) = json.loads(store.invoke("verify", "--json").stdout)["orphans"]
    found = store.answer("explain", str(odd))
    assert (found["status"], found["file"]) == ("orphan", told)
    odd.unlink()
    assert store.answer("explain", str(odd))["status"] == "unknown"


def test_explain_knows_the_playlists_and_the_marker(empty_store: Store) -> None:
    """R8: the files that no event names, and that are Trailkeep's all the same."""
    store = empty_store
    store.open("--wrap", "20")
    store.produce(1)
    for path in (store.root / "news" / "master.m3u8", store.segments / f"{RENDITION}.m3u8"):
        found = store.answer("explain", str(path))
        assert (found["status"], found["because"]) == ("kept", "a playlist; purges never delete playlists (R8)")
    marker = store.answer("explain", str(store.root / ".trailkeep-root"))
    assert (marker["status"], "R17" in marker["because"]) == ("kept", True)


@pytest.mark.rule("R20")
def test_every_command_that_records_seals_what_it_recorded(store: Store) -> None:
    """R20: verify has a seal over the newest event, whichever command recorded it."""

    def sealed() -> tuple[int, int]:
        with opened(store.database) as app:
            assert app.read_models.checkpoint() == app.log.head()
            return app.seals.load().size, app.log.head()

    assert sealed() == (1, 1)
    store.answer("batch", "start", "news")
    assert sealed() == (2, 2)
    store.answer("batch", "fail", "news", "--reason", "the source went away")
    assert sealed() == (3, 3)
    store.produce()
    assert sealed() == (5, 5)
    started = store.answer("batch", "start", "news")
    for file in started["files"]:
        Path(file).write_text(file)
    playlist = store.segments / f"{RENDITION}.m3u8"
    playlist.unlink()
    playlist.mkdir()
    completed = store.invoke("batch", "complete", "news", "--json")
    assert completed.exit_code == 4
    assert json.loads(completed.stdout) == of_type(store.events(), "BatchCompleted")[-1], "it stands, and is told"
    assert json.loads(completed.stdout)["position"] == 7
    assert sealed() == (7, 7), "also when it fails after it recorded"
    store.answer("session", "close", "news")
    assert sealed() == (8, 8)


def test_events_are_followed_until_the_reader_has_enough(store: Store) -> None:
    """What another process records is told soon; SIGINT is the ordinary end."""
    with store.running("events", "news", "--follow", "--json") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["position"] == 1
        store.answer("batch", "start", "news")
        assert json.loads(process.stdout.readline())["position"] == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0


def commands(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name)


@pytest.mark.parametrize("words", list(commands(main)), ids=" ".join)
def test_the_help_of_a_command_has_an_example_of_it(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*words, "--help"])
    assert result.exit_code == 0
    assert f"Example: trailkeep {' '.join(words)}" in result.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_in_order(empty_store: Store, tmp_path: Path, number: signal.Signals) -> None:
    """The running batch is recorded as failed, its ffmpeg is ended, and the exit code is 0."""
    store = empty_store
    config = store.config(2)
    config.write_text(config.read_text().replace("batch_size = 2", "batch_size = 500").replace("wrap = 20", "wrap = 0"))
    with store.running("run", str(config)) as process:
        assert process.stdout is not None
        while "BatchStarted" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(number)
        assert process.wait(timeout=60) == 0
    last = store.events()[-1]
    assert (last["type"], last["data"]["reason"]) == ("BatchFailed", "stopped")
    assert left_running(str(tmp_path)) == []
    assert store.answer("recover") == {"recorded": [], "left": []}


def told(line: str) -> int:
    """The position that a line of `run` begins with."""
    return int(line.split(maxsplit=1)[0])


def test_a_run_tells_every_event_once_from_the_opening_on(empty_store: Store) -> None:
    store = empty_store
    first = store.invoke("run", str(store.config(2)), "--batches", "3")
    assert first.exit_code == 0, first.output
    lines = first.stdout.splitlines()
    assert "SessionOpened" in lines[0]
    assert [told(line) for line in lines] == [event["position"] for event in store.events()]


@pytest.mark.rule("R14")
def test_a_run_tells_what_recovery_recorded_once(empty_store: Store) -> None:
    """R14: a crash left a batch open; its end is the first thing that is told."""
    store = empty_store
    config = str(store.config(2))
    assert store.invoke("run", config, "--batches", "1").exit_code == 0
    left_open(store)
    before = len(store.events())
    again = store.invoke("run", config, "--batches", "1")
    assert again.exit_code == 0, again.output
    lines = again.stdout.splitlines()
    assert "BatchFailed" in lines[0]
    assert [told(line) for line in lines] == [event["position"] for event in store.events()[before:]]


def left_open(store: Store) -> None:
    """A batch of our own producer, which was killed in the middle of it."""
    with opened(store.database) as app:
        source = Source(label="picture", producer=OWN_PRODUCER)
        app.generation.start(app.sessions.resolve("news").session_id, source, Cause("producer"))


@pytest.mark.rule("R17")
def test_a_run_without_its_disk_makes_nothing_in_its_place_and_goes_on_when_it_is_back(
    empty_store: Store, tmp_path: Path
) -> None:
    """R17: also not for the batch that a crash left open."""
    store = empty_store
    config = str(store.config(2))
    assert store.invoke("run", config, "--batches", "1").exit_code == 0
    left_open(store)
    disk = store.root.rename(tmp_path / "disk")
    store.root.mkdir()
    words = store.command("run", config, "--batches", "1")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        while "generation pauses" not in process.stdout.readline():
            assert process.poll() is None
        assert list(store.root.iterdir()) == []
        store.root.rmdir()
        disk.rename(store.root)
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert len(of_type(store.events(), "BatchCompleted")) == 2
    assert of_type(store.events(), "BatchFailed")[-1]["data"]["reason"].startswith("crash")


def test_a_database_in_a_configuration_is_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRAILKEEP_DATABASE_URL", raising=False)
    store = Store(tmp_path)
    config = store.config(2)
    config.write_text(f'database = "sqlite:///log.db"\n{config.read_text()}')
    result = CliRunner().invoke(main, ["run", str(config), "--batches", "1"])
    assert result.exit_code == 0, result.output
    assert len(of_type(store.events(), "BatchCompleted")) == 1


def left_running(mark: str) -> list[str]:
    """The command lines on this machine that name ``mark``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text(errors="replace").split("\0")
        except OSError:  # it ended while we looked
            continue
        if any(mark in word for word in words):
            found.append(" ".join(words))
    return found


def test_with_several_channels_a_sentence_names_its_own(store: Store) -> None:
    """In `run`, `project`, `recover` and the whole log; with one there is nothing to tell apart."""
    store.produce()
    alone = store.invoke("events").stdout.splitlines()
    assert not any("news:" in line for line in alone)
    config = store.directory / "two.toml"
    text = CHANNEL.format(batch_size=2)
    config.write_text(text.replace('"news"', '"a"') + text.replace('"news"', '"b"'))
    told = store.process("run", str(config), "--batches", "2").stdout.splitlines()
    assert {line.split()[2] for line in told if "BatchCompleted" in line} == {"a:", "b:"}
    everything = store.invoke("events").stdout.splitlines()
    assert everything[len(alone) :] == told
    assert {line.split()[2] for line in everything if "BatchCompleted" in line} == {"news:", "a:", "b:"}
    assert all(" a: " not in line for line in store.invoke("events", "a").stdout.splitlines())


@pytest.mark.rule("R11")
def test_a_batch_says_so_when_it_starts_over_files_that_are_there(tmp_path: Path) -> None:
    """R11: a name of its session's own is written over, and never unseen: their identities are in the event."""
    store = Store(tmp_path)
    config = str(store.config(2))
    assert store.process("run", config, "--batches", "1").returncode == 0
    foreign = store.segments / f"{RENDITION}_segment_003.ts"
    foreign.write_text("somebody else's")
    told = store.process("run", config, "--batches", "1")
    assert "batch 1: segments 2 to 3; files of these names that are there: 1\n" in told.stdout
    started = of_type(store.events(), "BatchStarted")[-1]
    assert [(one["file"], one["size"]) for one in started["data"]["present"]] == [(f"{RENDITION}/{foreign.name}", 15)]
