"""What no decision could have led to is damage, even if it can be read and folded."""

from typing import Any

import pytest
from msgspec.structs import replace

from domain.events import (
    BatchCompleted,
    BatchStarted,
    Because,
    Disposition,
    Event,
    FileIdentity,
    MediaRoot,
    Naming,
    OrphansCondemned,
    PlaylistPublished,
    Policy,
    PurgeIssued,
)
from domain.segments import DEEPEST, DEFAULT_PATTERN
from domain.session import Session
from domain.soundness import unsound
from tests.builders import (
    CAMERA,
    a_completed_batch,
    a_segment_file,
    a_session,
    an_id,
    closed,
    failed,
    files_of,
    generated,
    happened,
    purged,
    purging,
    recorded,
    started,
    terms,
    with_one_changed,
    without_last,
)


def fault_of(session: Session, event: Event) -> str | None:
    """What is unsound about it as the session's next event."""
    return unsound(session, recorded(session, event))


def condemning(*files: str) -> OrphansCondemned:
    return OrphansCondemned(
        removal_id=an_id(7), files=tuple(FileIdentity(file=file, size=1, mtime_ns=1, inode=1) for file in files)
    )


def a_start(batch: int, first: int, last: int) -> BatchStarted:
    return BatchStarted(batch=batch, attempt=1, first_segment=first, last_segment=last, source=CAMERA)


def a_purge(batch: int, because: Because | None = None, **fields: Any) -> PurgeIssued:
    """Of a batch with two files of a kilobyte, because of the second after it."""
    made_due = batch + 2
    position = generated(a_session(), made_due + 1).batches[made_due].completed
    assert position is not None
    why = because or Because(rule="R3", completed_batch=made_due, completed_position=position.position)
    size = sum(file.size for file in files_of(a_session(), batch))
    return replace(PurgeIssued(purge_id=an_id(91), batch=batch, because=why, files=2, bytes=size), **fields)


PUBLISHED = PlaylistPublished(first_segment=2, last_segment=5, duration_ms=8000)
BY_A_LATER_SESSION = Because(rule="R19", completed_batch=1, completed_position=20, session_id=an_id(2))


@pytest.mark.parametrize(
    ("session", "event"),
    [
        (Session(an_id(1)), terms()),
        (a_session(), a_start(0, 0, 1)),
        (failed(started(generated(a_session(), 2))), a_start(2, 4, 5)),
        (started(a_session()), a_completed_batch()),
        (started(purged(generated(a_session(), 3), 0)), a_completed_batch(3)),
        (generated(a_session(), 1), condemning("v/old.ts", "loose.ts")),
        (generated(a_session(), 3), PUBLISHED),
        (generated(a_session(), 3), a_purge(0)),
        (purging(generated(a_session(), 4), 1), a_purge(0)),
        (closed(generated(a_session(), 1), Disposition.PURGE), a_purge(0, BY_A_LATER_SESSION)),
    ],
    ids=[
        "opening",
        "first start",
        "start again",
        "completion",
        "later completion",
        "condemnation",
        "publication",
        "purge",
        "purge beside another",
        "purge of a closed session's",
    ],
)
def test_what_decisions_lead_to_is_sound(session: Session, event: Event) -> None:
    assert fault_of(session, event) is None


@pytest.mark.rule("R20")
@pytest.mark.parametrize(
    "fields",
    [
        {"batch_size": 0},
        {"batch_size": 10**9},
        {"segment_ms": 0},
        {"playlist_window": -1},
        {"policy": Policy(keep_previous=0)},
        {"policy": Policy(keep_previous=-3)},
        {"renditions": ()},
        {"renditions": ("../v",)},
        {"channel": "/etc"},
        {"naming": Naming(pattern="{rendition}", wrap=0)},
        {"naming": Naming(pattern=DEFAULT_PATTERN, wrap=-1)},
        {"naming": Naming(pattern=DEFAULT_PATTERN, wrap=0, offset=-5)},
        {"media_root": MediaRoot(path="srv/hls", root_id=an_id(0))},
        {"media_root": MediaRoot(path="/srv\0hls", root_id=an_id(0))},
        {"media_root": MediaRoot(path="/srv/hls", root_id="./")},
        {"media_root": MediaRoot(path="/srv/hls", root_id="")},
    ],
    ids=str,
)
def test_terms_that_nobody_could_open_a_session_with(fields: dict[str, Any]) -> None:
    """R20."""
    assert fault_of(Session(an_id(1)), terms(**fields)) is not None


@pytest.mark.rule("R1")
@pytest.mark.parametrize("event", [a_start(1, 2, 3), a_start(0, 0, 2), a_start(0, 1, 1), a_start(-1, -2, -1)])
def test_a_start_of_other_segments_than_the_next(event: BatchStarted) -> None:
    """R1."""
    assert "BatchStarted is of batch" in (fault_of(a_session(), event) or "")


@pytest.mark.rule("R1", "R9")
@pytest.mark.parametrize(
    "files",
    [
        (),
        without_last(files_of(a_session())),
        (*files_of(a_session()), a_segment_file(2)),
        with_one_changed(files_of(a_session()), name="v_segment_007.ts"),
        with_one_changed(files_of(a_session()), rendition="w"),
        with_one_changed(files_of(a_session()), size=0),
        with_one_changed(files_of(a_session()), duration_ms=0),
    ],
    ids=["none", "one less", "one more", "another name", "another rendition", "empty", "no duration"],
)
def test_a_completion_of_other_files_than_the_batch_has(files: Any) -> None:
    """R1, R9."""
    session = started(a_session())
    assert "BatchCompleted has" in (fault_of(session, replace(a_completed_batch(), files=tuple(files))) or "")


@pytest.mark.rule("R2", "R3", "R6", "R19")
@pytest.mark.parametrize(
    ("session", "event", "rule"),
    [
        (generated(a_session(), 3), a_purge(1), "not due (R3)"),
        (generated(a_session(), 3), a_purge(2), "not due (R3)"),
        (generated(a_session(), 3), a_purge(2, BY_A_LATER_SESSION), "not due (R3)"),
        (generated(a_session(), 4), a_purge(0, a_purge(1).because), "another batch than made it due (R3)"),
        (generated(a_session(), 3), a_purge(0, BY_A_LATER_SESSION), "another batch than made it due (R3)"),
        (generated(a_session(), 3), a_purge(0, files=3), "other files than those of batch 0 (R6)"),
        (generated(a_session(), 3), a_purge(0, bytes=1), "other files than those of batch 0 (R6)"),
        (closed(generated(a_session(), 3), Disposition.KEEP), a_purge(0), "whose batches are kept"),
        (closed(generated(a_session(), 1), Disposition.PURGE), a_purge(0), "not due (R3)"),
    ],
    ids=[
        "N-1",
        "N",
        "N, by a session that there is not",
        "by another batch",
        "by another session",
        "more files",
        "less bytes",
        "of a session that is kept",
        "of a closed session, by itself",
    ],
)
def test_a_purge_that_is_not_due(session: Session, event: PurgeIssued, rule: str) -> None:
    """R2, R3, R6, R19: however right its hash is."""
    assert rule in (fault_of(session, event) or "")


@pytest.mark.rule("R13")
@pytest.mark.parametrize(("first", "last"), [(10**6, 10**6), (2, 6), (-1, 5), (5, 4)])
def test_a_playlist_of_segments_that_never_were(first: int, last: int) -> None:
    """R13: all that came before would have left it."""
    event = replace(PUBLISHED, first_segment=first, last_segment=last)
    assert "batches that never were" in (fault_of(generated(a_session(), 3), event) or "")


@pytest.mark.rule("R14")
@pytest.mark.parametrize(
    "file", ["v/\U0001fae8.ts", "v/\x1b[2J.ts", "/".join("d" * (DEEPEST + 2)) + "/x.ts"], ids=ascii
)
def test_what_may_be_condemned_today_makes_no_older_log_damaged(file: str) -> None:
    """R14: which characters can be printed each Python knows for itself, and how deep is too deep may change."""
    assert fault_of(a_session(), condemning(file)) is None


@pytest.mark.rule("R8", "R10", "R20")
@pytest.mark.parametrize(
    ("file", "rule"),
    [
        ("", "a path below"),
        ("/etc/passwd", "a path below"),
        ("../sport/v/x.ts", "a path below"),
        ("v/../../x.ts", "a path below"),
        ("v//x.ts", "a path below"),
        ("v/", "a path below"),
        ("v/.hidden.ts", "a path below"),
        ("v/x\0.ts", "a path below"),
        ("v/v.m3u8", "never playlists (R8)"),
        ("v/v_segment_001.ts", "a batch of the session needs it"),
        ("v/v_segment_003.ts", "a batch of the session needs it"),
    ],
    ids=ascii,
)
def test_a_condemnation_of_what_is_no_orphan(file: str, rule: str) -> None:
    """R8, R10, R20: whichever of its files it is; the fault names the file as it can be printed."""
    session = started(generated(a_session(), 1))
    fault = fault_of(session, condemning("v/old.ts", file)) or ""
    assert fault.startswith(f"OrphansCondemned: file: {file!r} is")
    assert rule in fault
    assert fault.isprintable()


@pytest.mark.rule("R6", "R10")
def test_a_condemnation_of_nothing_or_before_the_last_has_an_outcome() -> None:
    """R6, R10."""
    assert fault_of(a_session(), condemning()) == "OrphansCondemned has no file"
    under_way = happened(a_session(), condemning("v/old.ts"))
    assert "no outcome yet" in (fault_of(under_way, condemning("v/other.ts")) or "")


def test_what_belongs_to_no_session_that_was_opened_is_left_to_the_fold() -> None:
    assert fault_of(Session(an_id(1)), BatchCompleted(batch=0, attempt=1, files=())) is None
    assert fault_of(Session(an_id(1)), a_start(0, 0, 1)) is None
