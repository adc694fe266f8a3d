"""`root` and `purge`: what stops purging until a person has looked, as that person types it."""

import shutil

import pytest

from domain.errors import FlushFailed
from entrypoints.bootstrap import opened
from tests.acceptance.command_line import RENDITION, Store, names_of, of_type

SIZE = 4


@pytest.fixture
def store(empty_store: Store) -> Store:
    """Three batches: the first is due, and nobody has purged it."""
    store = empty_store
    store.open("--wrap", "20", batch_size=SIZE)
    store.produce(3)
    return store


def due_and_kept() -> set[str]:
    return names_of(0, 1, 2, batch_size=SIZE)


@pytest.mark.rule("R17")
def test_an_unmounted_disk_is_recorded_and_purging_goes_on_when_it_is_back(store: Store) -> None:
    """R17: absent is not deleted."""
    away = store.root.rename(store.root.with_name("away"))
    store.root.mkdir()
    refused = store.invoke("project")
    assert refused.exit_code == 4
    assert "is the disk mounted?" in refused.output
    assert store.invoke("batch", "start", "news").exit_code == 4
    assert list(store.root.iterdir()) == []
    [suspected] = of_type(store.events(), "RootSuspected")
    assert suspected["data"]["suspicion"] == "absent"
    assert store.answer("root", "list")[0]["suspect"]
    assert "BAD  media root" in store.invoke("doctor").output
    assert store.invoke("verify").exit_code == 3

    store.root.rmdir()
    away.rename(store.root)
    assert store.invoke("project").exit_code == 0
    [trusted] = of_type(store.events(), "RootTrusted")
    assert trusted["actor"] == "guard"
    assert store.names() == names_of(1, 2, batch_size=SIZE)
    assert store.answer("root", "list")[0]["suspect"] is None


@pytest.mark.rule("R16", "R17")
def test_a_lost_marker_is_made_again_by_a_person_who_says_why(store: Store) -> None:
    marker = store.root / ".trailkeep-root"
    line = marker.read_bytes()
    marker.unlink()
    assert store.invoke("project").exit_code == 4
    assert store.names() == due_and_kept()
    assert store.invoke("root", "trust", str(store.root), "--reason", " ").exit_code == 2
    assert store.invoke("root", "trust", str(store.directory), "--reason", "looked").exit_code == 1
    assert not marker.exists()

    result = store.invoke("root", "trust", str(store.root), "--reason", "a cleaner took the marker")
    assert result.exit_code == 0, result.output
    assert marker.read_bytes() == line
    [trusted] = of_type(store.events(), "RootTrusted")
    assert trusted["data"]["reason"] == "a cleaner took the marker"
    assert trusted["actor"].startswith("cli")
    assert store.invoke("project").exit_code == 0
    assert store.names() == names_of(1, 2, batch_size=SIZE)


@pytest.mark.rule("R18", "R19")
def test_a_batch_that_is_mostly_gone_is_purged_only_by_its_plan_and_once(store: Store) -> None:
    gone = sorted(store.segments.glob("*.ts"))[: SIZE - 1]
    for path in gone:
        path.unlink()
    assert store.invoke("project").exit_code == 4
    left = due_and_kept() - {path.name for path in gone}
    assert store.names() == left
    [refused] = of_type(store.events(), "PurgeRefused")
    assert refused["data"]["matching"] == 1
    [row] = store.answer("plan")
    assert row["plan_hash"] == refused["data"]["plan"]
    assert "purge --confirm" in row["blocked_by"]
    assert row["plan_hash"] in store.invoke("plan").output

    assert store.invoke("purge", "--confirm", "0" * 64).exit_code == 1
    assert store.names() == left
    confirmed = store.invoke("purge", "--confirm", row["plan_hash"])
    assert confirmed.exit_code == 0, confirmed.output
    assert store.names() == names_of(1, 2, batch_size=SIZE)
    [issued] = of_type(store.events(), "PurgeIssued")
    assert issued["data"]["confirmed"] == row["plan_hash"]
    [purged] = of_type(store.events(), "SegmentsPurged")
    assert purged["data"]["deleted"] == 1
    assert len(purged["data"]["already_absent"]) == SIZE - 1
    assert store.invoke("purge", "--confirm", row["plan_hash"]).exit_code == 1


@pytest.mark.rule("R19", "R20")
def test_project_says_that_a_purge_was_refused_until_somebody_has_confirmed_it(store: Store) -> None:
    """R19: which, why, and what to do; the exit code is that of a refusal, also where nothing new is recorded."""
    for path in sorted(store.segments.glob("*.ts"))[: SIZE - 1]:
        path.unlink()
    first = store.invoke("project")
    [refused] = of_type(store.events(), "PurgeRefused")
    plan = refused["data"]["plan"]
    again = store.invoke("project")
    as_json = store.invoke("project", "--json")
    assert store.events()[-1] == refused
    for result in (first, again, as_json):
        assert result.exit_code == 4
        assert (
            "Error: channel news: the purge of batch 0 is refused: R19: only 1 of its 4 files are what was recorded; "
            f"look, then: trailkeep purge --confirm {plan}\n"
        ) in result.stderr
        assert "nothing was due" not in result.stdout
    assert f"look, then: trailkeep purge --confirm {plan}" in " ".join(first.stdout.split())
    assert as_json.stdout == again.stdout == ""
    store.produce()
    assert store.invoke("project").exit_code == 4, "the next batch goes, and the first still waits"
    assert store.names() == names_of(2, 3, batch_size=SIZE) | {f"{RENDITION}_segment_003.ts"}
    assert store.invoke("purge", "--confirm", plan).exit_code == 0
    done = store.invoke("project")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "nothing was due\n", "")


@pytest.mark.rule("R18")
def test_a_plan_that_the_disk_has_left_behind_is_replaced_by_a_new_one(store: Store) -> None:
    """R18: what a dry run lists is what the run does."""
    files = sorted(store.segments.glob("*.ts"))[:SIZE]
    for path in files[: SIZE - 1]:
        path.unlink()
    store.invoke("project")
    [row] = store.answer("plan")
    shutil.copyfile(files[-1], files[0])
    assert store.invoke("purge", "--confirm", row["plan_hash"]).exit_code == 4
    assert files[-1].exists()
    [again] = store.answer("plan")
    assert again["plan_hash"] != row["plan_hash"]
    assert store.invoke("purge", "--confirm", again["plan_hash"]).exit_code == 0
    assert files[0].exists(), "R11: it is another file"
    assert not files[-1].exists()


@pytest.mark.rule("R15")
def test_a_damaged_log_stops_purging_before_the_first_unlink(store: Store) -> None:
    """R15: nothing is deleted on the word of a damaged log, wherever the damage is."""
    store.drop_guard("events_are_not_updated")
    store.sql("UPDATE events SET leaf_hash = event_id WHERE position = 2")
    damaged = store.invoke("project")
    assert damaged.exit_code == 1
    assert "log position 2" in damaged.output
    assert store.names() == due_and_kept()


def test_damage_that_a_run_comes_upon_stops_its_purging_but_not_its_batches(empty_store: Store) -> None:
    """The first purge examines the whole log, and what guards it."""
    store = empty_store
    store.answer("session", "open", "other", "--root", str(store.root), "--batch-size", "2")
    store.answer("session", "close", "other")
    config = str(store.config(2))
    assert store.process("run", config, "--batches", "2").returncode == 0
    store.drop_guard("events_are_not_updated")
    went_on = store.process("run", config, "--batches", "2")
    assert went_on.returncode == 1
    assert "purging stops" in went_on.stderr
    assert "events_are_not_updated, which guards the log, is missing" in went_on.stderr
    assert store.names() == names_of(0, 1, 2, 3, batch_size=2)


@pytest.mark.rule("R16", "R17")
@pytest.mark.invariant(9)
def test_a_root_that_was_moved_with_a_lost_flush_held_against_it_is_trusted_where_it_is(store: Store) -> None:
    """R16, R17: no session was opened on it there, and none could be before it is trusted."""
    with opened(store.database) as app:
        root = app.sessions.resolve("news").terms.media_root
        with pytest.raises(FlushFailed), app.roots.flushing(root):
            raise FlushFailed(root.path, "a directory cannot be flushed to disk: EIO")
    assert store.invoke("session", "close", "news").exit_code == 0
    moved = store.root.rename(store.directory / "moved")
    words = ("session", "open", "news", "--root", str(moved), "--batch-size", "2")
    held = store.invoke(*words)
    assert held.exit_code == 4
    assert f"trailkeep root trust {moved}" in held.stderr
    assert store.invoke("root", "trust", str(store.directory / "elsewhere"), "--reason", "looked").exit_code == 1
    assert store.invoke("root", "trust", str(moved), "--reason", "a cable was loose").exit_code == 0
    assert store.invoke(*words).exit_code == 0
