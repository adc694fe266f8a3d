"""What long work looks like at a terminal: progress while it lasts, and whole lines in the end."""

import subprocess
from pathlib import Path

import pytest

from persistence import schema
from tests.acceptance.command_line import Store
from tests.acceptance.terminal import at_a_terminal, screen


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def sentences(store: Store) -> list[str]:
    return store.invoke("events").stdout.splitlines()


def test_a_run_shows_how_far_each_batch_is_and_leaves_the_events_alone(store: Store) -> None:
    run = store.command("run", str(store.config(3)), "--batches", "3")
    code, written = at_a_terminal(run)
    assert code == 0
    for batch in range(3):
        assert f"news: batch {batch}" in written
    for closed in range(4):
        assert f"{closed}/3" in written
    made, *lines = screen(written)
    assert made == f"database {store.directory / 'log.db'}: made, schema {schema.HEAD}"
    assert [line for line in lines if line] == sentences(store)


def test_a_warning_stands_above_the_progress(store: Store) -> None:
    config = store.config(3)
    config.write_text(config.read_text().replace("wrap = 20", "wrap = 20\nmax_failures = 1"))
    code, written = at_a_terminal(store.command("run", str(config)), TRAILKEEP_FFMPEG="false")
    assert code == 1
    assert "0/3" in written
    _, *events, error = (line for line in screen(written) if line)
    (warning,) = (line for line in events if "producer gave up" in line)
    events.remove(warning)
    assert events == sentences(store)
    assert error.startswith("Error: channel news: batch: 0 is refused by max_failures")


def test_events_go_to_the_file_and_progress_to_the_terminal(store: Store) -> None:
    events = store.directory / "events"
    code, written = at_a_terminal(store.command("run", str(store.config(3)), "--batches", "1"), stdout=events)
    assert code == 0
    assert "3/3" in written
    assert events.read_text().splitlines() == sentences(store)
    assert [line for line in screen(written) if line and "database" not in line] == []


def test_without_a_terminal_on_stderr_there_is_no_progress(store: Store) -> None:
    run = store.command("run", str(store.config(3)), "--batches", "1")
    code, written = at_a_terminal(run, stderr=store.directory / "stderr", FORCE_COLOR="1")
    assert code == 0
    assert "\x1b[2K" not in written
    assert "/3" not in (store.directory / "stderr").read_text()
    assert [line for line in screen(written) if line] == sentences(store)


@pytest.mark.parametrize(
    ("words", "shown"), [("recover", "recovering sessions"), ("project", "purging batches"), ("rebuild", "events")]
)
def test_other_long_work_shows_its_progress(store: Store, words: str, shown: str) -> None:
    store.open("--wrap", "20")
    store.produce(3)
    code, written = at_a_terminal(store.command(words))
    assert code == 0
    assert shown in written
    assert not any(shown in line and "/" in line for line in screen(written))


def test_verify_shows_its_progress_through_thousands_of_files(store: Store) -> None:
    store.open("--wrap", "0", batch_size=1500)
    store.produce(2)
    code, written = at_a_terminal(store.command("verify"))
    assert code == 0
    assert "checking events" in written
    assert "checking files" in written
    assert "/3000" in written
    (line,) = (line for line in screen(written) if line)
    assert line.endswith("3000 files checked: everything agrees")


def test_a_reader_that_goes_away_ends_the_run_in_order(store: Store) -> None:
    """As in `trailkeep run ... | head -1`: nothing goes on without anybody knowing."""
    with subprocess.Popen(store.command("run", str(store.config(3))), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 1
    assert store.answer("session", "show", "news")["state"] != "generating"
