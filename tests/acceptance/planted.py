"""A store with many channels, and every kind of inconsistency that can be planted in it.

A plant changes one thing behind Trailkeep's back and tells what `verify` must say of it. Plants of the same kind go to
different places, so that a hundred of them can stand side by side.
"""

import json
import os
import random
import re
import socket
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from domain import merkle
from domain.events import Availability, Disposition, Policy
from entrypoints.bootstrap import App, prepare_embedded
from tests.memory_app import TESTER, Channel

RENDITIONS = ("v", "a")
PLAIN = tuple(f"plain{number}" for number in range(9))
WAITING = ("waiting0", "waiting1", "waiting2")
LOGGED = tuple(f"logged{number}" for number in range(8))
GUARDS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'events'"


class Finding(NamedTuple):
    """What must be said: of which kind it is, and all that must stand in it."""

    kind: str
    words: tuple[str, ...]

    def told_by(self, told: tuple[str, str]) -> bool:
        kind, text = told
        return kind == self.kind and all(word in text for word in self.words)


def found(kind: str, *words: object) -> Finding:
    return Finding(kind, tuple(map(str, words)))


class World:
    """The store: where everything is, and what was not changed yet."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.database = directory / "log.db"
        self.url = f"sqlite:///{self.database}"
        self._taken: set[object] = set()
        self._sessions: dict[str, list[str]] = {}

    def build(self) -> None:
        """Channels of every sort, whose projectors have caught up and whose log is sealed."""
        prepare_embedded(self.url, lambda _: None)
        app = App(self.url)
        try:
            for name in PLAIN:
                self._plain(app, name)
            for name in WAITING:
                channel = self._channel(app, name)
                channel.open(policy=Policy(availability=Availability.RFC8216), playlist_window=4)
                channel.generate(4)
            for name in LOGGED:
                channel = self._channel(app, name)
                channel.open(playlist_window=0)
                channel.generate(3)
            self._projected(app)
            stuck = self._channel(app, "stuck")
            stuck.open()
            stuck.generate(2)
            app.generation.close(stuck.id, "a new encoder", Disposition.PURGE, TESTER)
            stuck.open()
            stuck.generate(3)
            app.purger.issue(stuck.id, 0)
            self._projected(app, purging=False)
            for row in app.read_models.sessions():
                self._sessions.setdefault(row.channel, []).append(row.session_id)
        finally:
            app.close()

    def _plain(self, app: App, name: str) -> None:
        """Two sessions, four kept batches, of which the playlist lists two; what came before is purged."""
        channel = self._channel(app, name)
        terms: dict[str, Any] = {
            "renditions": RENDITIONS,
            "policy": Policy(keep_previous=3, availability=Availability.OFF),
        }
        channel.open(**terms)
        channel.generate(1)
        app.generation.close(channel.id, "a new encoder", Disposition.PURGE, TESTER)
        channel.open(**terms)
        channel.generate(5)

    def _channel(self, app: App, name: str) -> Channel:
        return Channel(app, self.root(name), name)  # type: ignore[arg-type]

    @staticmethod
    def _projected(app: App, *, purging: bool = True) -> None:
        if purging:
            app.retention.run_once()
        app.retention.catch_up()
        app.read_model_projector.catch_up()
        app.sealer.catch_up()

    def root(self, channel: str) -> Path:
        """Two of the channels have a root of their own."""
        return self.directory / (channel if channel in {"plain8", "waiting2"} else "media")

    def start_again(self) -> None:
        """Nothing was planted."""
        self._taken.clear()

    def take(self, rng: random.Random, candidates: list[Any]) -> Any:
        """One of the candidates that no other plant has."""
        free = [one for one in candidates if one not in self._taken]
        chosen = rng.choice(free)
        self._taken.add(chosen)
        return chosen

    def sql(self, statement: str, *parameters: Any) -> list[Any]:
        """As somebody would who has the file: past the triggers, which are there again afterwards."""
        with closing(sqlite3.connect(self.database, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN")
            guards = connection.execute(GUARDS).fetchall()
            for name, _ in guards:
                connection.execute(f"DROP TRIGGER {name}")
            rows = connection.execute(statement, parameters).fetchall()
            for _, text in guards:
                connection.execute(text)
            connection.execute("COMMIT")
            return rows

    def sessions(self, channel: str) -> list[str]:
        """The ids of a channel's sessions, oldest first."""
        return self._sessions[channel]


Plant = Callable[[World, random.Random], list[Finding]]
PLANTS: dict[str, Plant] = {}
ALONE: set[str] = set()
"""Kinds after which the verifier cannot see others of their sort."""


def plant(function: Plant) -> Plant:
    PLANTS[function.__name__] = function
    return function


def plant_alone(function: Plant) -> Plant:
    ALONE.add(function.__name__)
    return plant(function)


# -- files ---------------------------------------------------------------------------------------------------------


def kept_file(world: World, rng: random.Random) -> Path:
    """A kept file of a plain channel which no playlist lists; the newest of these is another plant's."""
    candidates = [
        world.root(channel) / channel / rendition / f"{rendition}_segment_{name}.ts"
        for channel in PLAIN[:7]
        for rendition in RENDITIONS
        for name in ("004", "005", "006")
    ]
    path: Path = world.take(rng, candidates)
    assert path.is_file()
    return path


def replaced(world: World, rng: random.Random, make: Callable[[Path], object]) -> list[Finding]:
    path = kept_file(world, rng)
    path.unlink()
    make(path)
    return [found("changed", path, "no regular file")]


@plant
def lost_file(world: World, rng: random.Random) -> list[Finding]:
    path = kept_file(world, rng)
    path.unlink()
    return [found("lost", path)]


@plant
def other_size(world: World, rng: random.Random) -> list[Finding]:
    path = kept_file(world, rng)
    status = path.stat()
    with path.open("ab") as file:
        file.write(b"more")
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    return [found("changed", path, f"size is {status.st_size + 4}, recorded was {status.st_size}")]


@plant
def other_time(world: World, rng: random.Random) -> list[Finding]:
    path = kept_file(world, rng)
    before = path.stat().st_mtime_ns
    os.utime(path, ns=(before + 1, before + 1))
    return [found("changed", path, f"modification time (ns) is {before + 1}, recorded was {before}")]


@plant
def other_inode(world: World, rng: random.Random) -> list[Finding]:
    path = kept_file(world, rng)
    content, status = path.read_bytes(), path.stat()
    copy = path.with_name("." + path.name)
    copy.write_bytes(content)
    os.utime(copy, ns=(status.st_mtime_ns, status.st_mtime_ns))
    copy.rename(path)
    return [found("changed", path, "inode is", f"recorded was {status.st_ino}")]


@plant
def fifo(world: World, rng: random.Random) -> list[Finding]:
    return replaced(world, rng, os.mkfifo)


@plant
def link(world: World, rng: random.Random) -> list[Finding]:
    return replaced(world, rng, lambda path: path.symlink_to("/etc/hostname"))


@plant
def directory(world: World, rng: random.Random) -> list[Finding]:
    return replaced(world, rng, Path.mkdir)


@plant
def unix_socket(world: World, rng: random.Random) -> list[Finding]:
    def listening(path: Path) -> None:
        here = Path.cwd()
        os.chdir(path.parent)  # the path of a socket is short
        try:
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(path.name)
        finally:
            os.chdir(here)

    return replaced(world, rng, listening)


def orphan_at(world: World, rng: random.Random, *places: str) -> list[Finding]:
    channel = rng.choice(PLAIN[:7])
    path = world.root(channel).joinpath(channel, *places, f"stray{rng.random()}.ts")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("nobody knows")
    return [found("orphan", path)]


@plant
def orphan(world: World, rng: random.Random) -> list[Finding]:
    return orphan_at(world, rng, rng.choice(RENDITIONS))


@plant
def orphan_beside_the_renditions(world: World, rng: random.Random) -> list[Finding]:
    return orphan_at(world, rng)


@plant
def orphan_deep_below(world: World, rng: random.Random) -> list[Finding]:
    return orphan_at(world, rng, "some", "where")


@plant
def file_under_a_purged_name(world: World, rng: random.Random) -> list[Finding]:
    path: Path = world.take(rng, [world.root(name) / name / "v" / "v_segment_000.ts" for name in PLAIN[:7]])
    path.write_text("again")
    return [found("orphan", path)]


# -- playlists -----------------------------------------------------------------------------------------------------


def media_playlist(world: World, rng: random.Random) -> Path:
    """The media playlist of a rendition of a plain channel."""
    candidates = [
        world.root(channel) / channel / rendition / f"{rendition}.m3u8"
        for channel in PLAIN[:7]
        for rendition in RENDITIONS
    ]
    path: Path = world.take(rng, candidates)
    return path


def rewritten(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def entry(name: str) -> str:
    return f"#EXTINF:2.000,\n{name}\n"


@plant
def missing_playlist(world: World, rng: random.Random) -> list[Finding]:
    path = media_playlist(world, rng)
    path.unlink()
    return [found("playlist", path, "missing")]


@plant
def playlist_with_a_lost_file(world: World, rng: random.Random) -> list[Finding]:
    path = media_playlist(world, rng)
    gone = path.with_name(f"{path.stem}_segment_009.ts")
    gone.unlink()
    return [found("playlist", path, gone.name, "not there"), found("lost", gone)]


@plant
def playlist_with_a_purged_file(world: World, rng: random.Random) -> list[Finding]:
    path = media_playlist(world, rng)
    with path.open("a") as file:
        file.write(entry(f"{path.stem}_segment_000.ts"))
    return [found("playlist", path)]


@plant
def playlist_with_a_file_that_left(world: World, rng: random.Random) -> list[Finding]:
    path = media_playlist(world, rng)
    first, left = f"{path.stem}_segment_008.ts", f"{path.stem}_segment_007.ts"
    rewritten(path, "MEDIA-SEQUENCE:8", "MEDIA-SEQUENCE:7")
    rewritten(path, f"{first}\n", f"{left}\n{entry(first)}")
    return [found("playlist", path, left, "does not want listed")]


@plant
def other_media_sequence(world: World, rng: random.Random) -> list[Finding]:
    path = media_playlist(world, rng)
    rewritten(path, "MEDIA-SEQUENCE:8", "MEDIA-SEQUENCE:6")
    return [found("playlist", path, "media sequence number is 6, it should be 8")]


@plant
def short_playlist(world: World, rng: random.Random) -> list[Finding]:
    path = media_playlist(world, rng)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-3]))
    return [found("playlist", path, f"does not list {path.stem}_segment_011.ts")]


@plant
def other_duration(world: World, rng: random.Random) -> list[Finding]:
    path = media_playlist(world, rng)
    rewritten(path, "#EXTINF:2.000", "#EXTINF:1.999")
    return [found("playlist", path, "text is not what the log wants")]


@plant
def playlist_that_is_a_directory(world: World, rng: random.Random) -> list[Finding]:
    path = media_playlist(world, rng)
    path.unlink()
    path.mkdir()
    return [found("playlist", path, "cannot be read")]


@plant
def playlist_with_a_file_that_is_being_purged(world: World, rng: random.Random) -> list[Finding]:
    path = world.take(rng, [world.root("stuck") / "stuck" / "v" / "v.m3u8"])
    with path.open("a") as file:
        file.write(entry("v_segment_004.ts"))
    return [found("playlist", path)]


def master_playlist(world: World, rng: random.Random) -> Path:
    path: Path = world.take(rng, [world.root(channel) / channel / "master.m3u8" for channel in PLAIN[:7]])
    return path


@plant
def missing_master(world: World, rng: random.Random) -> list[Finding]:
    path = master_playlist(world, rng)
    path.unlink()
    return [found("playlist", path, "missing")]


@plant
def master_with_another_rendition(world: World, rng: random.Random) -> list[Finding]:
    path = master_playlist(world, rng)
    rewritten(path, "v/v.m3u8", "w/w.m3u8")
    return [found("playlist", path, "names w/w.m3u8, a/a.m3u8, not v/v.m3u8, a/a.m3u8")]


@plant
def other_bandwidth(world: World, rng: random.Random) -> list[Finding]:
    path = master_playlist(world, rng)
    path.write_text(re.sub("BANDWIDTH=[0-9]+", "BANDWIDTH=1", path.read_text(), count=1))
    return [found("playlist", path, "text is not what the log wants")]


# -- rows ----------------------------------------------------------------------------------------------------------


def a_session(world: World, rng: random.Random) -> str:
    """A session of a plain channel, for its summary."""
    sessions = [("summary", one) for channel in PLAIN[:7] for one in world.sessions(channel)]
    chosen: str = world.take(rng, sessions)[1]
    return chosen


def a_batch(world: World, rng: random.Random) -> tuple[str, int]:
    """A batch of a plain channel's second session, for its row."""
    batches = [("batch", world.sessions(channel)[1], number) for channel in PLAIN[:7] for number in range(5)]
    _, session_id, number = world.take(rng, batches)
    return session_id, number


def change_batch(world: World, rng: random.Random, statement: str, *words: str) -> list[Finding]:
    session_id, number = a_batch(world, rng)
    world.sql(f"{statement} WHERE session_id = ? AND batch = ?", session_id, number)
    return [found("read model", f"batch {number} of session {session_id}", *words)]


@plant
def missing_summary(world: World, rng: random.Random) -> list[Finding]:
    session_id = a_session(world, rng)
    world.sql("DELETE FROM session_summaries WHERE session_id = ?", session_id)
    return [found("read model", f"session_summaries: the row of session {session_id} is missing")]


@plant
def altered_summary(world: World, rng: random.Random) -> list[Finding]:
    session_id = a_session(world, rng)
    world.sql("UPDATE session_summaries SET bytes_kept = bytes_kept + 1 WHERE session_id = ?", session_id)
    return [found("read model", f"session_summaries: the row of session {session_id}: bytes_kept is")]


@plant
def superfluous_summary(world: World, rng: random.Random) -> list[Finding]:
    columns = [row[1] for row in world.sql("PRAGMA table_info(session_summaries)")]
    strange = f"0000{rng.randrange(16**8):08x}"
    values = ", ".join(f"'{strange}'" if column == "session_id" else column for column in columns)
    sound = world.sessions("stuck")[1]  # no other plant touches it
    world.sql(f"INSERT INTO session_summaries SELECT {values} FROM session_summaries WHERE session_id = ?", sound)
    return [found("read model", f"session_summaries: the row of session {strange} is there")]


@plant
def missing_row_of_a_batch(world: World, rng: random.Random) -> list[Finding]:
    return change_batch(world, rng, "DELETE FROM batch_ledger", "is missing")


@plant
def altered_row_of_a_batch(world: World, rng: random.Random) -> list[Finding]:
    return change_batch(world, rng, "UPDATE batch_ledger SET state = 'failed'", "state is 'failed'")


@plant
def positions_that_are_no_list(world: World, rng: random.Random) -> list[Finding]:
    return change_batch(world, rng, "UPDATE batch_ledger SET positions = '[1,'", "positions", "cannot be read")


@plant
def superfluous_row_of_a_batch(world: World, rng: random.Random) -> list[Finding]:
    session_id, number = a_batch(world, rng)
    columns = [row[1] for row in world.sql("PRAGMA table_info(batch_ledger)")]
    values = ", ".join("batch + 1000" if column == "batch" else column for column in columns)
    world.sql(
        f"INSERT INTO batch_ledger SELECT {values} FROM batch_ledger WHERE session_id = ? AND batch = ?",
        session_id,
        number,
    )
    return [found("read model", f"batch {number + 1000} of session {session_id} is there")]


@plant
def rows_of_a_session_that_never_was(world: World, rng: random.Random) -> list[Finding]:
    columns = [row[1] for row in world.sql("PRAGMA table_info(batch_ledger)")]
    strange = f"0000{rng.randrange(16**8):08x}"
    values = ", ".join(f"'{strange}'" if column == "session_id" else column for column in columns)
    sound = world.sessions("stuck")[1]  # no other plant touches its rows
    world.sql(f"INSERT INTO batch_ledger SELECT {values} FROM batch_ledger WHERE session_id = ? AND batch = 0", sound)
    return [found("read model", f"of session {strange} is there")]


def an_item(world: World, rng: random.Random) -> tuple[str, int]:
    items = [
        ("item", *row)
        for channel in WAITING
        for session_id in world.sessions(channel)
        for row in world.sql("SELECT session_id, batch FROM agenda WHERE session_id = ? ORDER BY batch", session_id)
    ]
    _, session_id, number = world.take(rng, items)
    return session_id, number


@plant
def missing_item_of_the_agenda(world: World, rng: random.Random) -> list[Finding]:
    session_id, number = an_item(world, rng)
    world.sql("DELETE FROM agenda WHERE session_id = ? AND batch = ?", session_id, number)
    return [found("read model", f"agenda: the item of batch {number} of session {session_id} is missing")]


@plant
def altered_item_of_the_agenda(world: World, rng: random.Random) -> list[Finding]:
    """One that waits for an event is said to be due, or the other way round."""
    session_id, number = an_item(world, rng)
    other = "CASE WHEN due_at IS NULL THEN 1 END"
    world.sql(f"UPDATE agenda SET due_at = {other} WHERE session_id = ? AND batch = ?", session_id, number)
    return [found("read model", f"agenda: the item of batch {number} of session {session_id}: due_at is")]


@plant
def superfluous_item_of_the_agenda(world: World, rng: random.Random) -> list[Finding]:
    session_id, number = a_batch(world, rng)
    world.sql("INSERT INTO agenda VALUES (?, ?, NULL)", session_id, number)
    return [found("read model", f"agenda: the item of batch {number} of session {session_id} is there")]


@plant
def item_of_a_session_that_never_was(world: World, rng: random.Random) -> list[Finding]:
    strange = f"0000{rng.randrange(16**8):08x}"
    world.sql("INSERT INTO agenda VALUES (?, 0, 1)", strange)
    return [found("read model", f"agenda: the item of batch 0 of session {strange} is there")]


@plant_alone
def checkpoint_of_the_read_models(world: World, rng: random.Random) -> list[Finding]:
    world.sql("UPDATE checkpoints SET position = 100000 WHERE projector = 'read_models'")
    return [found("read model", "checkpoint of the read models: 100000 is beyond the head")]


@plant_alone
def checkpoint_that_went_back(world: World, rng: random.Random) -> list[Finding]:
    """The rows tell more than it says: the newest session's at least."""
    world.sql("UPDATE checkpoints SET position = position - 1 WHERE projector = 'read_models'")
    return [found("read model", world.sessions("stuck")[1])]


@plant_alone
def checkpoint_of_the_agenda(world: World, rng: random.Random) -> list[Finding]:
    world.sql("UPDATE checkpoints SET position = 100000 WHERE projector = 'retention'")
    return [found("read model", "checkpoint of the agenda: 100000 is beyond the head")]


# -- the log -------------------------------------------------------------------------------------------------------


def a_line(world: World, rng: random.Random) -> tuple[int, str, int]:
    """An event in the middle of a session of which nothing else is said: position, session and version."""
    channel = world.take(rng, list(LOGGED))
    (session_id,) = world.sessions(channel)
    version = rng.randrange(3, 6)
    ((position,),) = world.sql(
        "SELECT position FROM events WHERE session_id = ? AND version = ?", id_bytes(session_id), version
    )
    return position, session_id, version


def id_bytes(session_id: str) -> bytes:
    return bytes.fromhex(session_id.replace("-", ""))


SEAL = found("log", "seal:")


@plant
def missing_event(world: World, rng: random.Random) -> list[Finding]:
    position, session_id, version = a_line(world, rng)
    world.sql("DELETE FROM events WHERE position = ?", position)
    return [
        found("log", f"position {position}: missing"),
        found("log", f"version {version + 1} of session {session_id} follows version {version - 1}"),
        SEAL,
    ]


@plant
def altered_line(world: World, rng: random.Random) -> list[Finding]:
    position, _, _ = a_line(world, rng)
    world.sql(
        "UPDATE events SET line = CAST(replace(CAST(line AS TEXT), '\"here', '\"hers') || ' ' AS BLOB)"
        " WHERE position = ?",
        position,
    )
    return [found("log", f"position {position}: the line does not have its leaf hash"), SEAL]


@plant
def altered_line_with_its_hash(world: World, rng: random.Random) -> list[Finding]:
    """It can be read, it has its hash, and it follows: only the seal knows."""
    position, _, _ = a_line(world, rng)
    ((line,),) = world.sql("SELECT line FROM events WHERE position = ?", position)
    other = line.replace(b'"tester"', b'"nobody"')
    assert other != line
    world.sql("UPDATE events SET line = ?, leaf_hash = ? WHERE position = ?", other, merkle.leaf_hash(other), position)
    return [SEAL]


@plant
def line_of_another_batch(world: World, rng: random.Random) -> list[Finding]:
    """With its hash, but it does not follow from what was before."""
    position, _, _ = a_line(world, rng)
    ((line,),) = world.sql("SELECT line FROM events WHERE position = ?", position)
    other = re.sub(rb'"batch":[0-9]+', b'"batch":77', line)
    world.sql("UPDATE events SET line = ?, leaf_hash = ? WHERE position = ?", other, merkle.leaf_hash(other), position)
    return [found("log", f"position {position}: Batch"), SEAL]


@plant
def altered_hash(world: World, rng: random.Random) -> list[Finding]:
    position, _, _ = a_line(world, rng)
    world.sql("UPDATE events SET leaf_hash = zeroblob(32) WHERE position = ?", position)
    return [found("log", f"position {position}: the line does not have its leaf hash")]


@plant
def altered_column(world: World, rng: random.Random) -> list[Finding]:
    position, session_id, version = a_line(world, rng)
    column = rng.choice(["event_id = randomblob(16)", "version = 1000 + version", "session_id = randomblob(16)"])
    world.sql(f"UPDATE events SET {column} WHERE position = ?", position)
    told = [found("log", f"position {position}: the columns beside the line")]
    if column.startswith("session_id"):
        told.append(found("log", f"version {version + 1} of session {session_id} follows version {version - 1}"))
    return told


@plant
def swapped_events(world: World, rng: random.Random) -> list[Finding]:
    """Two events of a session, each whole, in each other's place."""
    position, session_id, version = a_line(world, rng)
    ((other,),) = world.sql(
        "SELECT position FROM events WHERE session_id = ? AND version = ?", id_bytes(session_id), version + 1
    )
    world.sql("UPDATE events SET position = -1 WHERE position = ?", position)
    world.sql("UPDATE events SET position = ? WHERE position = ?", position, other)
    world.sql("UPDATE events SET position = ? WHERE position = -1", other)
    return [found("log", f"version {version + 1} of session {session_id} follows version {version - 1}"), SEAL]


@plant_alone
def seal_of_another_log(world: World, rng: random.Random) -> list[Finding]:
    size, frontier = merkle.extend(0, (), [bytes([number]) * 32 for number in range(20)])
    values = size, b"".join(frontier), merkle.root(frontier)
    world.sql("UPDATE seal SET size = ?, frontier = ?, root = ?", *values)
    return [found("log", "seal: the root over the first 20 events is not the one that was sealed")]


@plant_alone
def seal_that_is_ahead(world: World, rng: random.Random) -> list[Finding]:
    size, frontier = merkle.extend(0, (), [bytes(32)] * 5000)
    values = size, b"".join(frontier), merkle.root(frontier)
    world.sql("UPDATE seal SET size = ?, frontier = ?, root = ?", *values)
    return [found("log", "seal: it is over 5000 events")]


@plant_alone
def seal_that_is_none(world: World, rng: random.Random) -> list[Finding]:
    world.sql("UPDATE seal SET frontier = zeroblob(length(frontier))")
    return [found("log", "seal", "does not agree with itself")]


@plant_alone
def missing_last_event(world: World, rng: random.Random) -> list[Finding]:
    ((head,),) = world.sql("SELECT position FROM log_head")
    world.sql("DELETE FROM events WHERE position = ?", head)
    return [found("log", f"position {head}: missing"), SEAL, found("read model", "checkpoint")]


@plant_alone
def head_that_is_behind(world: World, rng: random.Random) -> list[Finding]:
    ((head,),) = world.sql("SELECT position FROM log_head")
    world.sql("UPDATE log_head SET position = position - 3")
    return [found("log", f"position {head}: the event is beyond the head of the log, which is {head - 3}")]


@plant_alone
def head_that_is_ahead(world: World, rng: random.Random) -> list[Finding]:
    ((head,),) = world.sql("SELECT position FROM log_head")
    world.sql("UPDATE log_head SET position = position + 3")
    return [found("log", f"position {head + 3}: missing; the newest event is at {head}")]


@plant_alone
def missing_guard(world: World, rng: random.Random) -> list[Finding]:
    with closing(sqlite3.connect(world.database)) as connection:
        connection.execute("DROP TRIGGER events_are_not_deleted")
    return [found("log", "storage: the trigger events_are_not_deleted")]


@plant_alone
def altered_guard(world: World, rng: random.Random) -> list[Finding]:
    with closing(sqlite3.connect(world.database)) as connection:
        connection.execute("DROP TRIGGER events_are_not_updated")
        connection.execute("CREATE TRIGGER events_are_not_updated BEFORE UPDATE ON events BEGIN SELECT 1; END")
    return [found("log", "storage: the trigger events_are_not_updated")]


# -- roots ---------------------------------------------------------------------------------------------------------


@plant
def missing_marker(world: World, rng: random.Random) -> list[Finding]:
    root = world.take(rng, [world.root("plain8")])
    (root / ".trailkeep-root").unlink()
    return [found("suspect media root", root, "marker file is missing")]


@plant
def marker_of_another_store(world: World, rng: random.Random) -> list[Finding]:
    root = world.take(rng, [world.root("waiting2")])
    (root / ".trailkeep-root").write_text('{"store_id":"another","root_id":"one"}\n')
    return [found("suspect media root", root, "of store another")]


# -- journals ----------------------------------------------------------------------------------------------------------


def a_journal(world: World) -> Path:
    """That of the root which most channels share."""
    return world.root(PLAIN[0]) / ".trailkeep-journal"


@plant_alone
def event_that_only_a_journal_has(world: World, rng: random.Random) -> list[Finding]:
    """The log was put back to an older copy of itself: the disk knows more than it does."""
    journal = world.take(rng, [a_journal(world)])
    line = json.loads(journal.read_text().splitlines()[-1])
    line |= {"position": 10**6, "event_id": str(uuid.UUID(int=rng.getrandbits(128)))}
    with journal.open("a") as file:
        file.write(json.dumps(line) + "\n")
    return [found("journal", f"the journal of {journal.parent}", "position 1000000")]


@plant
def line_of_a_journal_that_nobody_understands(world: World, rng: random.Random) -> list[Finding]:
    journal = world.take(rng, [a_journal(world)])
    lines = journal.read_text().splitlines()
    number = rng.randrange(len(lines))
    lines[number] = lines[number].replace('"position":', '"positron":')
    journal.write_text("".join(f"{line}\n" for line in lines))
    return [found("journal", journal.parent, f"line {number + 1}")]


# -- what verify says ------------------------------------------------------------------------------------------------


def told(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Everything that a report of `verify --json` finds wrong, as kind and text."""
    yield from (("lost", path) for path in report["lost"])
    yield from (("orphan", path) for path in report["orphans"])
    yield from (("changed", f"{path}: {report['reasons'][path]}") for path in report["changed"])
    yield from (("suspect media root", text) for text in report["suspect_roots"])
    yield from (("playlist", text) for text in report["playlists"])
    yield from (("journal", text) for text in report["journals"])
    yield from (("read model", text) for text in report["read_models"])
    yield from (("log", text) for text in report["log"]["faults"])
