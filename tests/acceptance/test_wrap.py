"""Names that come again: 20 names, batches of 5, and never more than the two newest batches on disk."""

import pytest

from tests.acceptance.command_line import RENDITION, Store, names_of, of_type

BATCH_SIZE, BATCHES = 5, 13


@pytest.mark.rule("R2", "R3", "R5")
def test_after_each_batch_exactly_the_two_newest_are_on_disk(empty_store: Store) -> None:
    """R2, R3, R5: the names wrap three times, with a real ffmpeg."""
    store = empty_store
    config = str(store.config(BATCH_SIZE))
    for batch in range(BATCHES):
        result = store.invoke("run", config, "--batches", "1")
        assert result.exit_code == 0, result.output
        assert store.names() == names_of(*range(max(0, batch - 1), batch + 1), batch_size=BATCH_SIZE)
    assert [event["data"]["batch"] for event in of_type(store.events(), "SegmentsPurged")] == list(range(BATCHES - 2))


@pytest.mark.rule("R2", "R3", "R5")
def test_a_run_in_one_go_ends_with_the_two_newest_batches(empty_store: Store) -> None:
    """R2, R3, R5: production never waits for a name, and each purge follows the batch that made it due."""
    store = empty_store
    done = store.process("run", str(store.config(BATCH_SIZE)), "--batches", str(BATCHES))
    assert done.returncode == 0, done.stderr
    assert store.names() == names_of(BATCHES - 2, BATCHES - 1, batch_size=BATCH_SIZE)
    events = store.events()
    completed = {event["data"]["batch"]: event["position"] for event in of_type(events, "BatchCompleted")}
    issued = [event["data"] for event in of_type(events, "PurgeIssued")]
    assert [one["batch"] for one in issued] == list(range(BATCHES - 2))
    for one in issued:
        because = one["because"]
        assert (because["rule"], because["completed_batch"]) == ("R3", one["batch"] + 2)
        assert because["completed_position"] == completed[one["batch"] + 2]
    outcomes = [event["data"] for event in of_type(events, "SegmentsPurged")]
    assert [(one["deleted"], one["already_absent"], one["superseded"]) for one in outcomes] == [
        (BATCH_SIZE, [], [])
    ] * (BATCHES - 2)
    assert store.invoke("verify").exit_code == 0


@pytest.mark.rule("R5")
def test_without_a_projector_generation_stops_at_the_first_name_in_use(empty_store: Store) -> None:
    """R5: refused with a reason, nothing is overwritten, and it goes on once the projector did its work."""
    store = empty_store
    store.open("--wrap", "20", batch_size=BATCH_SIZE)
    store.produce(4)
    before = {path.name: path.read_text() for path in store.segments.glob("*.ts")}
    assert before.keys() == names_of(0, 1, 2, 3, batch_size=BATCH_SIZE)
    recorded = store.events()

    refused = store.invoke("batch", "start", "news")

    assert refused.exit_code == 4
    assert "R5" in refused.stderr
    assert store.events() == recorded
    assert {path.name: path.read_text() for path in store.segments.glob("*.ts")} == before
    assert store.invoke("project").exit_code == 0
    store.produce()
    assert store.names() == names_of(2, 3, 4, batch_size=BATCH_SIZE)


@pytest.mark.rule("R11")
def test_a_file_that_replaced_a_due_one_is_left_alone(empty_store: Store) -> None:
    """R11: identity, not name: the outcome calls it superseded."""
    store = empty_store
    store.open("--wrap", "20", batch_size=BATCH_SIZE)
    store.produce(3)
    name = min(names_of(0, batch_size=BATCH_SIZE))
    newer = store.directory / "newer"
    newer.write_text("somebody else's")
    newer.replace(store.segments / name)

    assert store.invoke("project").exit_code == 0

    (outcome,) = of_type(store.events(), "SegmentsPurged")
    assert [one["file"] for one in outcome["data"]["superseded"]] == [f"{RENDITION}/{name}"]
    assert outcome["data"]["deleted"] == BATCH_SIZE - 1
    assert (store.segments / name).read_text() == "somebody else's"
    assert store.names() == names_of(1, 2, batch_size=BATCH_SIZE) | {name}
