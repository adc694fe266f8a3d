"""Hostile names at every door: refused with field, value and rule, or harmless; and nothing outside is ever touched.

A name comes in by a configuration, a command line, a playlist on the disk, a recorded line that somebody rewrote
together with its leaf hash and the seal, or as the name of a file where files are looked for. After each case a canary
tree beside the media root, another channel in it and its marker are what they were, to the inode, and no control
character of a name has reached the terminal. A slice of the names meets every door, in the full campaign all of them.
"""

import json
import os
import random
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner, Result

from domain import merkle
from domain.events import EVENT_TYPES
from entrypoints.cli import main
from tests.acceptance.command_line import CHANNEL, RENDITION, Store
from tests.contract.stores import sql, tamper
from tests.torture.campaign import FULL
from tests.torture.conftest import Replay
from tests.torture.hostile_lines import IN_THE_ARENA, Place, append, places
from tests.torture.hostile_names import NAMES

pytestmark = pytest.mark.rule("R20")

SEED, SLICE = 20261123, 5
"""In the slice each door meets so many of the names, others at each."""

NEWEST = {f"90p_segment_{number:03d}.ts" for number in (2, 3, 4, 5)}
"""The segments of the newest two batches, which nothing may purge (R19)."""

NEWER = {f"90p_segment_{number:03d}.ts" for number in (4, 5, 6, 7)}
"""They are these when the running batch has completed."""

TEMPORARY = f".{RENDITION}.m3u8.new"

RUNNING = {"90p_segment_006.ts", "90p_segment_007.ts"}


def names_for(door: str) -> Sequence[str]:
    """The names that meet a door."""
    return NAMES if FULL else random.Random(f"{SEED} {door}").sample(NAMES, SLICE)


def places_for(door: str, found: Sequence[Place]) -> Iterator[tuple[Place, str]]:
    """Each name, and the place of a line that it is put in: one place after the other. In the slice it is one name."""
    rng = random.Random(f"{SEED} {door}")
    turns = cycle(rng.sample(found, len(found)))
    return zip(turns, NAMES if FULL else rng.sample(NAMES, 1), strict=False)


def tree(*tops: Path) -> dict[str, tuple[object, ...]]:
    """All below these: what each thing is, to its inode and the time of its last change, and what is in it."""
    found: dict[str, tuple[object, ...]] = {}
    for top in tops:
        for path in [top, *sorted(top.rglob("*"))]:
            status, content = path.lstat(), ""
            if stat.S_ISREG(status.st_mode):
                content = sha256(path.read_bytes()).hexdigest()
            elif stat.S_ISLNK(status.st_mode):
                content = str(path.readlink())
            found[str(path)] = (status.st_mode, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, content)
    return found


class Arena:
    """A store with three batches of a channel, of which one is due, one that is running, and all that is not its own.

    From ``place``, where commands are called, three steps up and down lead to the canary.
    """

    def __init__(self, directory: Path) -> None:
        self.directory, self.canary = directory, directory / "canary"
        self.case, self.place = directory / "case", directory / "case" / "deep" / "er"
        self.store = Store(directory / "store")
        self.store.directory.mkdir()
        self.log = self.store.directory / "log.db"
        self.channel = self.store.root / "news"
        self.journal = self.store.root / ".trailkeep-journal"
        self._plant_canary()
        self._produce("sport", batches=2)
        self._produce("news", batches=3)
        self.store.answer("batch", "start", "news")
        self.made = [path for path in sorted(self.channel.rglob("*")) if path.is_file()]
        (directory / "links").mkdir()
        for number, path in enumerate(self.made):
            os.link(path, directory / "links" / str(number))
        self._database = self.log.read_bytes()
        self._journal = self.journal.read_bytes()
        self.outside = tree(self.canary, self.store.root / "sport", self.store.root / ".trailkeep-root")

    def _plant_canary(self) -> None:
        (self.canary / "a" / "b").mkdir(parents=True)
        for file in ("secret.txt", "a/secret.ts", "a/b/x.m3u8"):
            (self.canary / file).write_text(f"the canary's {file}")
        (self.canary / "a" / "link").symlink_to("../secret.txt")
        os.mkfifo(self.canary / "fifo")

    def _produce(self, channel: str, batches: int) -> None:
        words = ("session", "open", channel, "--root", str(self.store.root), "--rendition", RENDITION)
        self.store.answer(*words, "--batch-size", "2", "--availability", "off", "--wrap", "20")
        for _ in range(batches):
            for file in self.store.answer("batch", "start", channel)["files"]:
                Path(file).write_text(f"a segment: {file}")
            self.store.answer("batch", "complete", channel)

    def restore(self) -> None:
        """As it was made: from hard links, so that files keep what identifies them."""
        for path in self.store.directory.glob("log.db*"):
            path.unlink()
        self.log.write_bytes(self._database)
        self.journal.write_bytes(self._journal)
        for path in sorted(self.channel.rglob("*"), reverse=True):
            if not path.is_dir() or path.is_symlink():
                path.unlink()
            elif path.name != RENDITION:
                path.rmdir()
        for number, path in enumerate(self.made):
            os.link(self.directory / "links" / str(number), path)
        shutil.rmtree(self.case, ignore_errors=True)
        self.place.mkdir(parents=True)
        os.chdir(self.place)

    def call(self, *words: str) -> Result:
        return CliRunner().invoke(main, ["--database", self.store.database, *words])

    def check_outside(self) -> None:
        assert tree(self.canary, self.store.root / "sport", self.store.root / ".trailkeep-root") == self.outside

    def segments(self) -> set[str]:
        return {path.name for path in (self.channel / RENDITION).glob("90p_segment_*.ts")}


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    made, before = Arena(tmp_path_factory.mktemp("hostile")), Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(made.case))
        patch.setenv("TRAILKEEP_FFMPEG", "/bin/false")
        yield made
    os.chdir(before)


def check(result: Result, field: str = "", codes: Sequence[int] = (0, 1, 2, 4), *, lines: bool = True) -> None:
    """An answer or one clear error: never a traceback, never what a terminal would act upon."""
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code in codes, result.output
    assert "Traceback" not in result.output
    if lines:
        raw = {one for one in result.output if not one.isprintable()} - {"\n"}
        assert not raw, f"raw in the output: {raw}"
    if result.exit_code in {1, 2, 4}:
        error = result.stderr.partition("Error: ")[2]
        assert error or "BAD " in result.stdout, result.output
        assert field in error or "ffmpeg ended" in error, "the error names the field"


@contextmanager
def case(replay: Replay, door: str, name: str) -> Iterator[None]:
    """Say which case it was."""
    replay.did(1)
    try:
        yield
    except AssertionError as error:
        error.add_note(f"seed {SEED}, door {door!r}, name {name!r}")
        raise


class Door(NamedTuple):
    """A place where a name comes in. ``field`` is what an error calls it, ``codes`` are the exit codes that fit."""

    call: Callable[[Arena, str], Result]
    field: str = ""
    codes: tuple[int, ...] = (0, 1, 2, 4)
    shut: Callable[[Arena, str], bool] = lambda _arena, _name: False


def has_zero(_: Arena, name: str) -> bool:
    """No process can be given such an argument."""
    return "\0" in name


def leads_away(arena: Arena, name: str) -> bool:
    """What the operator names as a place to write to is made there; here it has to be the place of the case."""
    with suppress(RuntimeError):
        given = Path(name.replace("\0", "")).expanduser()
        for base in (arena.case, arena.place):
            path = os.path.realpath(base / given)
            below = Path(path).is_relative_to(arena.case)
            if not below and (os.path.isdir(path) or not os.path.lexists(path)):  # noqa: PTH112 - for names too long
                return True
    return False


def cannot_be_set(arena: Arena, name: str) -> bool:
    """No environment has it; or it leads away."""
    return has_zero(arena, name) or leads_away(arena, name)


def is_read(arena: Arena, name: str) -> bool:
    """The test's own standard input is not for reading."""
    return "\0" in name or name in {"/dev/stdin", "/proc/self/fd/0"}


def words(*template: str) -> Callable[[Arena, str], Result]:
    """A command line, with the name in the place of NAME."""
    return lambda arena, name: arena.call(
        *(word.replace("CASE", str(arena.case)).replace("NAME", name) for word in template)
    )


def config(old: str, new: str) -> Callable[[Arena, str], Result]:
    """A configuration with the name, as a TOML string, in the place of NAME."""

    def call(arena: Arena, name: str) -> Result:
        text = CHANNEL.format(batch_size=2).replace('"news"', '"fresh"')
        assert old in text
        quoted = json.dumps(name.encode(errors="replace").decode(), ensure_ascii=False).replace("\x7f", "\\u007f")
        path = arena.case / "fresh.toml"
        path.write_text(text.replace(old, new.replace("NAME", quoted)).replace("wrap = 20", "max_failures = 1"))
        if "database" in new:
            return CliRunner().invoke(main, ["run", str(path), "--batches", "1"])
        return arena.call("run", str(path), "--batches", "1")

    return call


def existing_source(arena: Arena, name: str) -> Result:
    """A source file that is there, by that name, and is no media."""
    with suppress(OSError, ValueError):
        if Path(name).name == name:
            (arena.case / name).write_text("no media")
    return config("wrap = 20", "source = { files = [NAME] }\nwrap = 20")(arena, name)


def orphan(*template: str) -> Callable[[Arena, str], Result]:
    """A command line that has an orphan to delete, with the name in the place of NAME."""

    def call(arena: Arena, name: str) -> Result:
        (arena.channel / "left.ts").write_text("nobody knows")
        return words(*template)(arena, name)

    return call


def environment(variable: str, *command: str) -> Callable[[Arena, str], Result]:
    """A command line without a database of its own, with the name in an environment variable."""

    def call(arena: Arena, name: str) -> Result:
        place = {"TRAILKEEP_DATABASE_URL": arena.store.database, "TRAILKEEP_HOME": str(arena.case)}
        if variable == "XDG_DATA_HOME":
            place["TRAILKEEP_HOME"] = ""
        if variable in {"TRAILKEEP_HOME", "XDG_DATA_HOME"}:
            place["TRAILKEEP_DATABASE_URL"] = ""
        return CliRunner().invoke(main, list(command), env={**place, variable: name})

    return call


def trusting(arena: Arena, name: str) -> Result:
    """The root gets its marker, the same one, from the operator who trusts it."""
    marker = arena.store.root / ".trailkeep-root"
    content = marker.read_bytes()
    result = arena.call("root", "trust", str(arena.store.root), f"--reason={name}")
    assert marker.read_bytes() == content
    arena.outside |= tree(marker)
    return result


def encoder(arena: Arena, name: str) -> Result:
    """A channel that is made with an ffmpeg of that name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAILKEEP_FFMPEG", name)
        return config("wrap = 20", "max_failures = 1")(arena, "")


OPEN = ("session", "open", "--batch-size", "2")
FRESH = (*OPEN, "fresh", "--root", "CASE/media")
SESSION = "session"
DOORS = {
    "run: name": Door(config('"fresh"', "NAME"), "channel"),
    "run: rendition": Door(config('"90p"', "NAME"), "rendition"),
    "run: pattern": Door(config("wrap = 20", "pattern = NAME\nwrap = 20"), ""),
    "run: root": Door(config('"media"', "NAME"), "", shut=leads_away),
    "run: source": Door(config("wrap = 20", "source = { files = [NAME] }\nwrap = 20"), "", shut=is_read),
    "run: existing source": Door(existing_source, "", shut=is_read),
    "run: database": Door(config("\n[[channel]]", "database = NAME\n[[channel]]"), "", shut=leads_away),
    "run: preset": Door(config('"ultrafast"', "NAME"), "preset", (2,)),
    "run: availability": Door(config('"off"', "NAME"), "availability", (2,)),
    "run: unknown key": Door(config("wrap = 20", "NAME = 1\nwrap = 20"), "", (2,)),
    "run CONFIG": Door(words("run", "--", "NAME"), "", (1, 2), is_read),
    "session open CHANNEL": Door(words(*OPEN, "--root", "CASE/media", "--", "NAME"), "channel", shut=has_zero),
    "session open --root": Door(words(*OPEN, "fresh", "--root=NAME"), "root", shut=leads_away),
    "session open --rendition": Door(words(*FRESH, "--rendition=NAME"), "rendition", shut=has_zero),
    "session close SESSION": Door(words("session", "close", "--", "NAME"), SESSION, shut=has_zero),
    "session close --reason": Door(words("session", "close", "sport", "--reason=NAME"), "reason", shut=has_zero),
    "session close --disposition": Door(words("session", "close", "sport", "--disposition=NAME"), "", (2,), has_zero),
    "session list --channel": Door(words("session", "list", "--channel=NAME"), "channel", shut=has_zero),
    "session show SESSION": Door(words("session", "show", "--", "NAME"), SESSION, shut=has_zero),
    "batch start SESSION": Door(words("batch", "start", "--", "NAME"), SESSION, shut=has_zero),
    "batch start --source": Door(words("batch", "start", "sport", "--source=NAME"), "source", shut=has_zero),
    "batch complete SESSION": Door(words("batch", "complete", "--", "NAME"), SESSION, shut=has_zero),
    "batch fail SESSION": Door(words("batch", "fail", "--reason", "x", "--", "NAME"), SESSION, shut=has_zero),
    "batch fail --reason": Door(words("batch", "fail", "news", "--reason=NAME"), "reason", shut=has_zero),
    "events SESSION": Door(words("events", "--", "NAME"), SESSION, shut=has_zero),
    "history SESSION": Door(words("history", "--", "NAME"), SESSION, shut=has_zero),
    "history --at": Door(words("history", "news", "--at=NAME"), "at", (0, 2), has_zero),
    "replay SESSION": Door(words("replay", "--", "NAME"), SESSION, shut=has_zero),
    "explain FILE": Door(words("explain", "--", "NAME"), "", shut=has_zero),
    "verify --level": Door(words("verify", "--level=NAME"), "", (2,), has_zero),
    "--database": Door(words("--database=NAME", "session", "list"), "database", shut=leads_away),
    "--database sqlite": Door(words("--database=sqlite:///NAME", "plan"), "database", shut=leads_away),
    "root trust DIR": Door(words("root", "trust", "--reason=x", "--", "NAME"), "root", shut=has_zero),
    "root trust --reason": Door(trusting, "reason", shut=has_zero),
    "purge --confirm": Door(words("purge", "--confirm=NAME"), "plan", (1,), has_zero),
    "repair lost CHANNEL": Door(words("repair", "lost", "--", "NAME"), "channel", shut=has_zero),
    "repair lost --reason": Door(words("repair", "lost", "--apply", "--reason=NAME"), "reason", shut=has_zero),
    "repair orphans CHANNEL": Door(words("repair", "orphans", "--", "NAME"), "channel", (0, 1, 2, 3, 4), has_zero),
    "repair orphans --reason": Door(
        orphan("repair", "orphans", "news", "--apply", "--reason=NAME"), "reason", shut=has_zero
    ),
    "db reconcile --root": Door(words("db", "reconcile", "--root=NAME"), "", shut=has_zero),
    "db reconcile --reason": Door(words("db", "reconcile", "--accept", "--reason=NAME"), "reason", shut=has_zero),
    "session open --segment-seconds": Door(
        words(*FRESH, "--rendition=90p", "--segment-seconds=NAME"), "segment", shut=has_zero
    ),
    "TRAILKEEP_DATABASE_URL": Door(environment("TRAILKEEP_DATABASE_URL", "session", "list"), "", shut=cannot_be_set),
    "TRAILKEEP_HOME": Door(environment("TRAILKEEP_HOME", "session", "list"), "", shut=cannot_be_set),
    "XDG_DATA_HOME": Door(environment("XDG_DATA_HOME", "session", "list"), "", shut=cannot_be_set),
    "TRAILKEEP_LEASE_SECONDS": Door(
        environment("TRAILKEEP_LEASE_SECONDS", "plan"), "TRAILKEEP_LEASE_SECONDS", shut=has_zero
    ),
    "TRAILKEEP_FFMPEG": Door(encoder, "", shut=has_zero),
    "a command": Door(words("NAME"), "", (0, 2), has_zero),
    "an extra word": Door(words("plan", "--", "NAME"), "", (2,), has_zero),
    "an option": Door(words("plan", "--NAME"), "", (0, 2), has_zero),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_hostile_name_is_refused_clearly_or_harmless(arena: Arena, door: str, replay: Replay) -> None:
    """R20: and what is refused leaves no trace in the log."""
    call, field, codes, shut = DOORS[door]
    for template in names_for(door):
        name = template.replace("{canary}", str(arena.canary))
        if shut(arena, name):
            continue
        arena.restore()
        with case(replay, door, template):
            result = call(arena, name)
            check(result, field, codes)
            arena.check_outside()
            assert arena.segments() >= NEWEST


Rewrite = Callable[[dict[str, Any], str, dict[str, int]], None]
"""Puts a name into an event's ``data``, with the identity of the canary's file where it names a file."""


def file_name(data: dict[str, Any], name: str, secret: dict[str, int]) -> None:
    data["files"][0] |= {"name": name, **secret}


def file_rendition(data: dict[str, Any], name: str, secret: dict[str, int]) -> None:
    data["files"][0] |= {"rendition": name, "name": "secret.txt", **secret}


def channel(data: dict[str, Any], name: str, _: dict[str, int]) -> None:
    data["channel"] = name


def root(data: dict[str, Any], name: str, _: dict[str, int]) -> None:
    data["media_root"]["path"] = name


def renditions(data: dict[str, Any], name: str, _: dict[str, int]) -> None:
    data["renditions"] = [name]


def pattern(data: dict[str, Any], name: str, _: dict[str, int]) -> None:
    data["naming"]["pattern"] = name


LINES: dict[str, tuple[str, Rewrite]] = {
    "the name of a file": ("BatchCompleted", file_name),
    "the rendition of a file": ("BatchCompleted", file_rendition),
    "the channel": ("SessionOpened", channel),
    "the media root": ("SessionOpened", root),
    "the renditions": ("SessionOpened", renditions),
    "the pattern": ("SessionOpened", pattern),
}
QUESTIONS = (
    *(("plan",), ("events",), ("verify",), ("session", "show", "news"), ("history", "news"), ("replay", "news")),
    ("rebuild",),
)


def rewrite(arena: Arena, kind: str, change: Rewrite, name: str) -> None:
    """Change the first such line of the channel."""
    secret = identity_of_secret(arena)
    rewrite_line(arena, kind, lambda event: change(event["data"], name, secret))


def identity_of_secret(arena: Arena) -> dict[str, int]:
    """What a line would have to say of a file of the canary to have it deleted."""
    status = (arena.canary / "secret.txt").lstat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "inode": status.st_ino}


def rewrite_line(arena: Arena, kind: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the first such line of the channel or its root, and all hashes that cover it, behind the log's back."""
    lines = [bytes(line) for (line,) in sql(arena.log, "SELECT line FROM events ORDER BY position")]
    events = [json.loads(line) for line in lines]
    opened = next(event for event in events if event["data"].get("channel") == "news")
    streams = {opened["session_id"], opened["data"]["media_root"]["root_id"]}
    found = (index for index, event in enumerate(events) if event["type"] == kind and event["session_id"] in streams)
    index = next(found)
    change(events[index])
    lines[index] = json.dumps(events[index], separators=(",", ":")).encode()
    leaves = [merkle.leaf_hash(line) for line in lines]
    triggers = sql(arena.log, "SELECT sql FROM sqlite_master WHERE type = 'trigger'")
    tamper(
        arena.log,
        "UPDATE events SET line = ?, leaf_hash = ? WHERE position = ?",
        *(lines[index], leaves[index], index + 1),
    )
    size, frontier = merkle.extend(0, (), leaves)
    sql(
        arena.log,
        "UPDATE seal SET size = ?, frontier = ?, root = ?",
        *(size, b"".join(frontier), merkle.root(frontier)),
    )
    for (trigger,) in triggers:
        sql(arena.log, trigger)


@pytest.mark.rule("R10", "R17")
@pytest.mark.parametrize("door", LINES)
def test_a_rewritten_line_does_not_lead_a_purge_out_of_the_channel(arena: Arena, door: str, replay: Replay) -> None:
    """R10, R17: though leaf hash and seal are right, and it names a file of the canary with that file's identity."""
    kind, change = LINES[door]
    for template in names_for(door):
        name = template.replace("{canary}", str(arena.canary))
        arena.restore()
        with case(replay, door, template):
            rewrite(arena, kind, change, name)
            file = str(arena.channel / RENDITION / name.replace("\0", ""))
            assert arena.call("verify", "--json").stdout.count("seal") == 0
            for command in (("explain", "--", file), ("project",), ("recover",), *QUESTIONS):
                check(arena.call(*command), codes=(0, 1, 2, 3, 4))
            arena.check_outside()
            assert arena.segments() >= NEWEST


def put(event: dict[str, Any], place: Place, value: str | int, secret: dict[str, int]) -> None:
    """Put the name there; where it names a file, with the identity of the canary's."""
    inner: Any = event
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    if isinstance(inner, dict) and "inode" in inner:
        inner |= secret


class Line:
    """The last line of a kind, in a log of which nothing is changed yet."""

    def __init__(self, arena: Arena, kind: str) -> None:
        self._arena, self._kind = arena, kind
        arena.restore()
        if kind not in IN_THE_ARENA:
            append(arena.store.database, kind)
        assert json.loads(arena.call("verify", "--json").stdout)["log"]["ok"], "but for what is put in it is sound"
        self._database = arena.log.read_bytes()

    def places(self, of: type) -> list[Place]:
        """Where there is text, or a number."""
        found: list[Place] = []
        rewrite_line(self._arena, self._kind, lambda event: found.extend(places(event, of)))
        return found

    def leads_nowhere(self, place: Place, value: str | int) -> None:
        """With this in that place: nothing outside is touched, and the newest batches stay."""
        arena = self._arena
        arena.restore()
        arena.log.write_bytes(self._database)
        secret = identity_of_secret(arena)
        rewrite_line(arena, self._kind, lambda event: put(event, place, value, secret))
        for command in (("recover",), ("project",), ("events",), ("verify",), ("root", "list")):
            check(arena.call(*command), codes=(0, 1, 3, 4))
        arena.check_outside()
        assert arena.segments() >= NEWEST


@pytest.mark.rule("R10", "R17", "R20")
@pytest.mark.parametrize("kind", sorted(EVENT_TYPES))
def test_no_text_of_any_line_leads_anywhere(arena: Arena, kind: str, replay: Replay) -> None:
    """R10, R17, R20: every text of every kind of event, though leaf hash and seal are right."""
    line = Line(arena, kind)
    for place, template in places_for(kind, line.places(str)):
        with case(replay, f"{kind} {'.'.join(map(str, place))}", template):
            line.leads_nowhere(place, template.replace("{canary}", str(arena.canary)))


NUMBERS = (0, 1, 2, -3, 10**9)


@pytest.mark.rule("R2", "R3", "R19", "R20")
@pytest.mark.parametrize("kind", sorted(EVENT_TYPES))
def test_no_number_of_any_line_leads_anywhere(arena: Arena, kind: str, replay: Replay) -> None:
    """R2, R3, R19, R20: least of all the number of a batch."""
    line = Line(arena, kind)
    cases = [(place, number) for place in line.places(int) for number in NUMBERS]
    for place, number in cases if FULL else random.Random(f"{SEED} {kind}").sample(cases, 1):
        with case(replay, f"{kind} {'.'.join(map(str, place))}", str(number)):
            line.leads_nowhere(place, number)


@pytest.mark.rule("R2", "R3", "R19")
@pytest.mark.parametrize("batch", [1, 2])
def test_an_authorisation_of_one_of_the_newest_batches_is_damage(arena: Arena, batch: int) -> None:
    """R2, R3, R19: leaf hash and seal are right, and it says what made it due."""
    line = Line(arena, "PurgeIssued")
    line.leads_nowhere(("data", "batch"), batch)
    assert f"PurgeIssued is of batch {batch}, which is not due (R3)" in arena.call("verify").stdout
    assert arena.call("recover").exit_code == 1


@pytest.mark.rule("R17", "R20")
@pytest.mark.parametrize("file", [".trailkeep-root", ".trailkeep-journal"])
def test_what_a_file_of_the_root_says_leads_nowhere(arena: Arena, file: str, replay: Replay) -> None:
    """R17, R20: as bytes, and as each text of what it says; with another marker nothing goes at all."""
    arena.restore()
    path, marker = arena.store.root / file, arena.store.root / ".trailkeep-root"
    content, before = path.read_bytes(), arena.segments()
    said = json.loads(content.splitlines()[-1])
    try:
        for place, template in places_for(file, [(), *places(said)]):
            name = template.replace("{canary}", str(arena.canary))
            line = json.dumps({**said, str(place[0]): name}).encode() if place else name.encode(errors="replace")
            arena.restore()
            path.write_bytes(line + b"\n" if path == marker else content + line + b"\n")
            arena.outside |= tree(marker)
            with case(replay, f"{file} {'.'.join(map(str, place))}", template):
                for command in (("recover",), ("project",), ("verify",), ("root", "list"), ("db", "reconcile")):
                    check(arena.call(*command), codes=(0, 1, 3, 4))
                arena.check_outside()
                assert arena.segments() >= (before if path == marker else NEWEST)
    finally:
        path.write_bytes(content)
        arena.outside |= tree(marker)


@pytest.mark.rule("R8")
@pytest.mark.parametrize("line", ["NAME", "#EXTINF:NAME,\nx.ts", "#EXT-X-MEDIA-SEQUENCE:NAME\nx.ts", "#EXTM3U NAME"])
def test_a_playlist_that_is_read_back_leads_nowhere(arena: Arena, line: str, replay: Replay) -> None:
    """R8: it is replaced, or it makes the root suspect; what it names is never opened."""
    for template in names_for(line):
        name = template.replace("{canary}", str(arena.canary))
        arena.restore()
        with case(replay, line, template):
            for playlist in (f"{RENDITION}/{RENDITION}.m3u8", "master.m3u8"):
                text = f"#EXTM3U\n{line.replace('NAME', name)}\n"
                (arena.channel / playlist).unlink()
                (arena.channel / playlist).write_text(text, errors="surrogateescape")
            for segment in RUNNING:
                (arena.channel / RENDITION / segment).write_text("a segment")
            for command in (("batch", "complete", "news"), ("project",), ("recover",), ("verify",)):
                check(arena.call(*command), codes=(0, 3, 4))
            arena.check_outside()
            assert arena.segments() >= NEWER


def plant(path: Path, kind: str, canary: Path) -> bool:
    """Put something in the way; False if something has that name there, or nothing can."""
    try:
        if kind == "file":
            with path.open("x") as file:
                file.write("somebody's")
        elif kind == "directory":
            path.mkdir()
            (path / path.name).write_text("somebody's")
        elif kind == "link":
            path.symlink_to(canary / "secret.txt")
        else:
            os.mkfifo(path)
    except (OSError, ValueError):
        return False
    return True


@pytest.mark.rule("R10", "R11")
@pytest.mark.parametrize("kind", ["file", "directory", "link", "fifo"])
@pytest.mark.parametrize("place", ["the channel", "a rendition"])
def test_what_bears_a_hostile_name_on_disk_is_told_and_left_alone(
    arena: Arena, kind: str, place: str, replay: Replay
) -> None:
    """R10, R11: by every command that looks for files there."""
    for template in names_for(f"{kind} in {place}"):
        name = template.replace("{canary}", str(arena.canary))
        arena.restore()
        path = arena.channel / (RENDITION if place == "a rendition" else "") / name
        if "/" in name or "\0" in name or name in {"", ".", ".."}:
            continue
        with case(replay, f"{kind} in {place}", template):
            if not plant(path, kind, arena.canary):
                continue
            planted = tree(path)
            for segment in RUNNING - {name}:
                (arena.channel / RENDITION / segment).write_text("a segment")
            told = arena.call("verify", "--json")
            check(told, codes=(0, 3), lines=False)
            # In a directory there is a file that no event explains, whatever the directory is called.
            explained = place == "a rendition" and name in RUNNING and kind != "directory"
            hidden = name.startswith(".") or name.endswith(".m3u8")
            assert bool(json.loads(told.stdout)["orphans"]) == (not hidden and not explained)
            for command in (("verify",), ("explain", "--", str(path)), ("batch", "complete", "news"), ("project",)):
                check(arena.call(*command), codes=(0, 2, 3, 4))
            arena.check_outside()
            # What bears the name of a playlist's temporary file is taken for what a crash left; a directory is not.
            if path != arena.channel / RENDITION / TEMPORARY or kind == "directory":
                assert tree(path) == planted
            else:
                assert not os.path.lexists(path)
