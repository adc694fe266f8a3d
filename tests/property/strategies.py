"""Any command and any event, sensible or not."""

from enum import EnumMeta
from types import UnionType
from typing import Any, get_args, get_origin

from hypothesis import strategies as st
from msgspec.structs import fields

from domain.batch import Completion, Moment
from domain.commands import (
    CloseSession,
    CompleteBatch,
    CondemnOrphans,
    FailBatch,
    IssuePurge,
    OpenSession,
    RecordLoss,
    RecordPlaylist,
    RecordPurge,
    RecordRemoval,
    StartBatch,
    Successor,
)
from domain.events import (
    EVENT_TYPES,
    SCHEMA,
    Availability,
    Disposition,
    Envelope,
    FileIdentity,
    MediaRoot,
    Naming,
    Policy,
    RemainingFile,
    SegmentFile,
    Source,
    Uptime,
)
from domain.segments import DEFAULT_PATTERN
from tests.builders import NOW, an_id

int64 = st.integers(-(2**63), 2**63 - 1)
small = st.integers(-1, 6)
text = st.text(st.characters(codec="utf-8"), max_size=12)
ids = st.integers(0, 2**48 - 1).map(an_id)
times = st.integers(NOW, NOW + 10**9)

identities = st.builds(FileIdentity, file=text, size=int64, mtime_ns=int64, inode=int64)
sources = st.builds(Source, label=text, producer=text, position=text)
uptimes = st.builds(Uptime, boot=st.sampled_from(["this", "that"]), us=st.integers(0, 10**9))
remaining = st.builds(RemainingFile, name=text, errno=text)
names = st.builds("{0}/{0}_segment_{1:03d}.ts".format, st.sampled_from(["v", "a"]), st.integers(0, 12))
"""Of files that may belong to a batch of `sensible_opens`."""


def some(strategy: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=most).map(tuple)


@st.composite
def segment_files(draw: st.DrawFn) -> SegmentFile:
    """Often one that belongs to a batch of `sensible_terms`."""
    rendition, number = draw(st.sampled_from(["v", "a"])), draw(st.integers(0, 12))
    return SegmentFile(
        rendition=rendition,
        number=number,
        name=draw(st.one_of(st.just(f"{rendition}_segment_{number:03d}.ts"), text)),
        size=draw(st.integers(-1, 3)),
        mtime_ns=draw(int64),
        inode=draw(int64),
        duration_ms=draw(st.integers(-1, 3)),
    )


namings = st.builds(
    Naming, pattern=st.one_of(st.just(DEFAULT_PATTERN), text), wrap=st.integers(-1, 9), offset=st.integers(-1, 9)
)
policies = st.builds(Policy, keep_previous=st.integers(0, 3), availability=st.sampled_from(Availability))

opens = st.builds(
    OpenSession,
    channel=st.one_of(st.just("news"), text),
    ordinal=st.integers(1, 3),
    media_root=st.builds(MediaRoot, path=text, root_id=text),
    batch_size=small,
    renditions=some(st.one_of(st.sampled_from(["v", "a"]), text)),
    naming=namings,
    segment_ms=small,
    playlist_window=small,
    policy=policies,
)
sensible_opens = st.builds(
    OpenSession,
    channel=st.just("news"),
    ordinal=st.integers(1, 2),
    media_root=st.just(MediaRoot(path="/srv", root_id=an_id(1))),
    batch_size=st.integers(1, 2),
    renditions=st.sampled_from([("v",), ("v", "a")]),
    naming=st.sampled_from([Naming(pattern=DEFAULT_PATTERN, wrap=wrap) for wrap in (0, 9)]),
    segment_ms=st.just(1000),
    playlist_window=st.sampled_from([0, 2, 5]),
    policy=st.builds(Policy, availability=st.sampled_from(Availability)),
)
successors = st.just(Successor()) | st.builds(
    Successor,
    completed=st.integers(0, 3),
    published=st.none() | st.builds(Moment, times, st.none() | uptimes),
    session_id=ids,
    newest=st.builds(Completion, small, small, ids, ids, times),
)
commands = st.one_of(
    opens,
    st.builds(StartBatch, source=sources, present=some(identities), occupied=some(st.tuples(text, text))),
    st.builds(CompleteBatch, batch=small, files=some(segment_files(), 8)),
    st.builds(
        FailBatch,
        batch=small,
        reason=text,
        exit_code=st.none() | st.integers(-9, 255),
        stderr_tail=text,
        files_left=some(text),
    ),
    st.builds(RecordPlaylist, first_segment=small, last_segment=small, duration_ms=small, uptime=st.none() | uptimes),
    st.builds(
        IssuePurge,
        batch=small,
        purge_id=ids,
        now=times,
        uptime=st.none() | uptimes,
        successor=successors,
        absent=some(text),
        changed=some(identities),
        confirmed=st.none() | text,
    ),
    st.builds(
        RecordPurge,
        batch=small,
        deleted=small,
        bytes_freed=small,
        already_absent=some(text),
        superseded=some(identities),
        remaining=some(remaining),
        retry_at=times,
    ),
    st.builds(RecordLoss, batch=small, files=some(names | text)),
    st.builds(
        CondemnOrphans,
        removal_id=ids,
        files=some(identities | st.builds(FileIdentity, file=names, size=small, mtime_ns=int64, inode=int64)),
    ),
    st.builds(
        RecordRemoval,
        deleted=small,
        bytes_freed=small,
        already_absent=some(text),
        superseded=some(identities),
        remaining=some(remaining),
    ),
    st.builds(CloseSession, reason=text, disposition=st.sampled_from(Disposition)),
)


def of_type(kind: Any) -> st.SearchStrategy[Any]:
    """Any value that a field of this type may hold."""
    if kind is int:
        return int64
    if kind is str:
        return text
    if kind is type(None):
        return st.none()
    if isinstance(kind, EnumMeta):
        return st.sampled_from(list(kind))
    if get_origin(kind) is tuple:
        return some(of_type(get_args(kind)[0]))
    if isinstance(kind, UnionType):
        return st.one_of(*map(of_type, get_args(kind)))
    return st.builds(kind, **{field.name: of_type(field.type) for field in fields(kind)})


events = st.one_of(*map(of_type, EVENT_TYPES.values()))
envelopes = st.builds(
    Envelope,
    event_id=ids,
    session_id=ids,
    version=st.integers(1, 2**63 - 1),
    recorded_at=int64,
    actor=text,
    worker=text,
    correlation_id=text,
    causation_id=st.none() | text,
    policy=text,
    schema=st.just(SCHEMA),
    event=events,
)
