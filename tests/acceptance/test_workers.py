"""Two `run`s over one log: one produces, the other stands by and goes on when it is gone; `workers` tells which."""

import json
import subprocess
from pathlib import Path
from typing import IO, Any

import pytest

from tests.acceptance.command_line import Store, names_of, of_type

SIZE = 2


@pytest.fixture
def store(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("TRAILKEEP_LEASE_SECONDS", "1")
    return Store(tmp_path, postgres_url)


def until(word: str, lines: IO[str] | None) -> str:
    assert lines is not None
    for line in lines:
        if word in line:
            return line
    raise AssertionError(f"no line with {word!r}")


def workers(store: Store) -> dict[str, Any]:
    return {row["kind"]: row for row in json.loads(store.invoke("workers", "--json").stdout)}


def live_owner(store: Store, kind: str) -> str | None:
    row = workers(store).get(kind)
    return row["worker"] if row and row["live"] else None


@pytest.mark.rule("R4", "R6")
def test_a_run_that_stands_by_goes_on_when_the_other_is_killed(store: Store) -> None:
    """R4, R6: under the same number, with one outcome for each attempt."""
    config = str(store.config(SIZE))
    with store.running("run", config) as first:
        until("BatchCompleted", first.stdout)
        until("SegmentsPurged", first.stdout)
        owner = live_owner(store, "session")
        assert owner
        assert f":{first.pid}:" in owner
        assert live_owner(store, "root") == owner
        assert workers(store)["session"]["of"] == "news"
        assert workers(store)["root"]["of"] == str(store.root)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(store.command("run", config), text=True, **pipes) as second:  # type: ignore[call-overload]
            until("standing by", second.stderr)
            first.kill()
            first.wait()
            before = len(of_type(store.events(), "BatchCompleted"))
            while len(of_type(store.events(), "BatchCompleted")) < before + 3:
                until("BatchCompleted", second.stdout)
            assert f":{second.pid}:" in (live_owner(store, "session") or "")
            second.terminate()
            second.communicate(timeout=60)
            assert second.returncode == 0
    assert (live_owner(store, "session"), live_owner(store, "root")) == (None, None), (
        "what ended in order was given back"
    )
    store.answer("recover")
    events = store.events()
    outcomes = [
        (event["data"]["batch"], event["data"]["attempt"])
        for event in events
        if event["type"] in {"BatchCompleted", "BatchFailed"}
    ]
    starts = [(event["data"]["batch"], event["data"]["attempt"]) for event in of_type(events, "BatchStarted")]
    assert sorted(outcomes) == sorted(starts)
    assert len(set(starts)) == len(starts)
    newest = max(event["data"]["batch"] for event in of_type(events, "BatchCompleted"))
    assert names_of(newest - 1, newest, batch_size=SIZE) <= store.names()
    assert store.invoke("verify").exit_code == 0


def test_people_see_who_has_what(store: Store) -> None:
    store.open()
    assert store.invoke("workers").stdout.split()[:2] == ["what", "of"]
    store.produce(3)
    assert store.invoke("project").exit_code == 0
    said = store.invoke("workers").stdout
    assert "purges" in said
    assert "ran out" in said


def test_one_machine_has_no_leases(tmp_path: Path) -> None:
    alone = Store(tmp_path)
    alone.open()
    assert json.loads(alone.invoke("workers", "--json").stdout) == []
    assert "locks of the disk, and no leases" in alone.invoke("workers").stdout


@pytest.mark.rule("R20")
@pytest.mark.parametrize("seconds", ["0", "0.5", "4000", "soon", "nan"])
def test_r20_a_lease_that_no_clock_can_keep_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch, seconds: str
) -> None:
    monkeypatch.setenv("TRAILKEEP_LEASE_SECONDS", seconds)
    result = store.invoke("workers")
    assert result.exit_code == 2
    assert f"TRAILKEEP_LEASE_SECONDS: {seconds!r} is not allowed" in result.stderr
