"""What must hold after every step of a channel's history, in the product's own sentences (R1 to R20).

The oracle is told what the test did to the disk, and reads the log as lines of JSON and the disk as it is. It knows
nothing of the domain: no state machine, no retention rule, no playlist code. It does its own arithmetic over its own
lists.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

Identity = tuple[int, int, int]


def identity(path: str) -> Identity | None:
    """Size, time of change and inode of what is at the path; None if nothing is."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


@dataclass
class Run:
    """A session."""

    id: str
    directory: str
    batch_size: int
    renditions: list[str]
    wrap: int
    offset: int
    window: int
    waits: bool
    policy: str
    completed: int = 0
    running: dict[str, Any] | None = None
    end: str | None = None
    told: int = -1

    def has_told_its_playlist(self) -> bool:
        """R13: otherwise, once it is closed, what it listed waits for the playlist of a later session."""
        return not self.waits or self.told == self.completed * self.batch_size - 1

    def names(self, batch: int) -> set[str]:
        """R1: segments N*B to N*B + B - 1, in every rendition; R5: their names wrap."""
        numbers = range(self.offset + batch * self.batch_size, self.offset + (batch + 1) * self.batch_size)
        return {
            f"{self.directory}/{rendition}/{rendition}_segment_{number % self.wrap if self.wrap else number:03d}.ts"
            for rendition in self.renditions
            for number in numbers
        }


@dataclass(eq=False)
class Batch:
    """A completed batch, and what became of its purge."""

    run: Run
    number: int
    completed: dict[str, Any]
    files: dict[str, Identity]
    refused: str | None = None
    found: tuple[set[str], dict[str, Identity]] | None = None
    issued: dict[str, Any] | None = None
    gone: bool = False
    left: set[str] = field(default_factory=set)
    attempts: int = 0
    retry_at: int = 0
    interrupted: bool = False


@dataclass
class Shown:
    """What the playlists on disk said of a segment. Durations in milliseconds, times in real microseconds."""

    duration: int
    longest: int
    left_at: int | None = None


class Oracle:
    """Follows the log and the disk of one channel."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.position = self.now = 0
        self.lines: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, int] = {}
        self.runs: dict[str, Run] = {}
        self.batches: list[Batch] = []
        self.removed: set[str] = set()
        self.replaced: dict[str, Identity] = {}
        self.denied: set[str] = set()
        self.strays: dict[str, Identity] = {}
        self.marker, self.held, self.unflushed = "there", "", False
        self.confirming: str | None = None
        self.shown: dict[str, Shown] = {}
        self.texts: dict[str, str] = {}
        self.sequences: dict[str, tuple[int, int]] = {}
        self.listed: set[str] = set()
        self.tampered = False
        self.broken = False

    # What the test did.

    def file_removed(self, path: str) -> None:
        self.tampered = True
        self.removed.add(path)
        self.replaced.pop(path, None)

    def file_replaced(self, path: str) -> None:
        self.tampered = True
        found = identity(path)
        assert found is not None
        self.replaced[path] = found
        self.removed.discard(path)

    def file_left_there(self, path: str) -> None:
        found = identity(path)
        assert found is not None
        self.strays[path] = found

    def file_brought_back(self, path: str) -> None:
        self.removed.discard(path)

    # What the rules say.

    def is_suspect(self) -> bool:
        """R17: the root does not prove to be ours, or a flush failed and nobody has trusted it since."""
        return self.marker != "there" or self.held == "flush"

    def finding(self, batch: Batch) -> tuple[set[str], dict[str, Identity]]:
        """What of the batch is absent, and what is another file now."""
        return batch.files.keys() & self.removed, {
            path: self.replaced[path] for path in batch.files.keys() & self.replaced.keys()
        }

    def is_mostly_gone(self, batch: Batch) -> bool:
        """R19: fewer than half of its files are what was recorded."""
        return sum(map(len, self.finding(batch))) > len(batch.files) / 2

    def waiting(self) -> list[Batch]:
        """R19: the batches that wait for somebody to confirm their purge."""
        return [batch for batch in self.batches if batch.refused and not batch.issued]

    def needed(self) -> set[str]:
        """R5: the files that a batch still needs; their names are not free."""
        return {path for batch in self.batches if not batch.gone for path in batch.files}

    def kept(self) -> list[str]:
        """The files that must be there, since nothing authorised their deletion."""
        return sorted(path for batch in self.batches if batch.issued is None for path in batch.files)

    def is_due(self, batch: Batch) -> bool:
        """R2, R3, R4, R19: two batches after it completed, and they are the channel's; R13 is not asked."""
        if batch in self.batches[-2:] or batch.run.end == "keep":
            return False
        return batch.run.end == "purge" or batch.number + 2 < batch.run.completed

    def must_wait(self, batch: Batch, now: int) -> bool:
        """R13: RFC 8216 section 6.2.2, segment by segment, from what was seen on disk."""
        return batch.run.waits and any(
            shown.left_at is None or now < shown.left_at + (shown.duration + shown.longest) * 1000
            for path in batch.files
            if (shown := self.shown.get(path))
        )

    def edges(self) -> list[int]:
        """The moments from which R13 lets something go."""
        return sorted(
            {
                shown.left_at + (shown.duration + shown.longest) * 1000
                for batch in self.batches
                if batch.run.waits and not batch.issued
                for path in batch.files
                if (shown := self.shown.get(path)) and shown.left_at is not None
            }
        )

    # What happened.

    def observe(self, lines: list[bytes], now: int) -> list[dict[str, Any]]:
        """Look at the disk, then at the new lines of the log; return them, parsed. ``now`` is the real time."""
        assert not self.broken
        self.broken, self.now = True, now
        self._look_at_playlists(now)
        events = [msgspec.json.decode(line) for line in lines]
        for event in events:
            self.position += 1
            event["position"] = self.position
            self._check_envelope(event)
            getattr(self, event["type"])(event, event["data"])
            self.lines[event["event_id"]] = event
        self._look_at_segments()
        self.broken = False
        return events

    def _check_envelope(self, event: dict[str, Any]) -> None:
        assert event["event_id"] not in self.lines, "R15: an event is recorded once"
        stream, run = event["session_id"], self.runs.get(event["session_id"])
        assert event["version"] == self.versions.get(stream, 0) + 1, "R15: versions have no gaps"
        self.versions[stream] = event["version"]
        assert event["actor"], "R16: who"
        assert event["worker"], "R16: by which process"
        assert event["causation_id"] is None or event["causation_id"] in self.lines, "R16: a cause comes first"
        if run:
            assert event["policy"] == run.policy, "R16: under which policy"
        if event["type"] not in {"RootSuspected", "RootTrusted", "BatchFailed", "PlaylistPublished", "SessionClosed"}:
            assert not self.held, "R17: nothing is started, completed or purged on a root that is not trusted"
            assert self.marker == "there", "R17: nor on one that does not prove to be ours"

    def _caused_by(self, event: dict[str, Any], cause: dict[str, Any]) -> None:
        assert event["causation_id"] == cause["event_id"], "R16: why"
        assert event["correlation_id"] == cause["correlation_id"], "R16: what follows from one another is correlated"

    def SessionOpened(self, event: dict[str, Any], data: dict[str, Any]) -> None:  # noqa: N802
        assert all(run.end for run in self.runs.values()), "R20: one open session a channel"
        policy, naming = data["policy"], data["naming"]
        waits = policy["availability"] == "rfc8216" and data["playlist_window"] > 0
        directory = f"{self.root}/{data['channel']}"
        self.runs[event["session_id"]] = Run(
            event["session_id"],
            directory,
            data["batch_size"],
            data["renditions"],
            naming["wrap"],
            naming["offset"],
            data["playlist_window"],
            waits,
            event["policy"],
        )

    def RootSuspected(self, event: dict[str, Any], data: dict[str, Any]) -> None:  # noqa: N802
        self._check_root(event, data)
        suspicion = data["suspicion"]
        assert self.held not in {suspicion, "flush"}, "R17: it is recorded once, and a failed flush is not forgotten"
        assert suspicion == (self.marker if suspicion != "flush" else "flush"), "R17: it is what was seen"
        assert suspicion != "flush" or self.unflushed
        assert event["actor"] == "guard"
        self.held, self.unflushed = suspicion, False

    def RootTrusted(self, event: dict[str, Any], data: dict[str, Any]) -> None:  # noqa: N802
        self._check_root(event, data)
        assert self.held, "R17: nothing was held against it"
        if event["actor"] == "guard":
            assert self.held != "flush", "R10, R17: a failed flush is ended by an operator alone"
            assert self.marker == "there", "R17: it proves itself"
        self.held, self.marker = "", "there"

    def _check_root(self, event: dict[str, Any], data: dict[str, Any]) -> None:
        assert event["session_id"] == data["root"]["root_id"], "R17: it is in the root's own stream"
        assert data["root"]["path"] == str(self.root)
        assert event["policy"] == ""

    def BatchStarted(self, event: dict[str, Any], data: dict[str, Any]) -> None:  # noqa: N802
        run = self.runs[event["session_id"]]
        assert run.running is None
        assert run.end is None
        assert data["batch"] == run.completed, "batches are numbered without gaps"
        names = run.names(data["batch"])
        assert not names & self.needed(), "R5: no name is used while a batch still needs it"
        run.running = event
        for path in names:
            self.removed.discard(path)
            self.replaced.pop(path, None)
            self.shown.pop(path, None)

    def BatchFailed(self, event: dict[str, Any], data: dict[str, Any]) -> None:  # noqa: N802
        run = self.runs[event["session_id"]]
        assert run.running is not None
        self._caused_by(event, run.running)
        run.running = None

    def BatchCompleted(self, event: dict[str, Any], data: dict[str, Any]) -> None:  # noqa: N802
        run = self.runs[event["session_id"]]
        assert run.running is not None
        self._caused_by(event, run.running)
        run.running = None
        told = {
            f"{run.directory}/{file['rendition']}/{file['name']}": (file["size"], file["mtime_ns"], file["inode"])
            for file in data["files"]
        }
        assert told.keys() == run.names(data["batch"]), "R1: every segment in every rendition"
        for path, said in told.items():
            assert identity(path) == said, "R9: what is recorded is what is there"
            assert said[0] > 0, "R9: and it is not empty"
        run.completed += 1
        self.batches.append(Batch(run, data["batch"], event, told, left=set(told)))

    def PlaylistPublished(self, event: dict[str, Any], data: dict[str, Any]) -> None:  # noqa: N802
        assert data["first_segment"] <= data["last_segment"]
        self.runs[event["session_id"]].told = data["last_segment"]

    def PurgeIssued(self, event: dict[str, Any], data: dict[str, Any]) -> None:  # noqa: N802
        batch = self._batch(event, data)
        assert batch.issued is None, "R6: one authorisation"
        assert batch not in self.batches[-2:], "R19: the newest two completed batches of the channel stay"
        assert self.is_due(batch), "R2, R3, R4: N-1 stays, and N-2 until N has completed"
        assert not self.must_wait(batch, self.now), "R13: segments stay as long as RFC 8216 wants"
        because = data["because"]
        if because["rule"] == "R3":
            cause = self._completion(event["session_id"], batch.number + 2)
            assert because["completed_batch"] == batch.number + 2
        else:
            cause = self._completion(because["session_id"], because["completed_batch"])
        self._caused_by(event, cause)
        assert because["completed_position"] == cause["position"], "R16: why"
        assert data["confirmed"] == batch.refused == self.confirming, "R18: what was asked for is what is confirmed"
        if self.is_mostly_gone(batch):
            assert batch.refused, "R19: nobody was asked"
            assert batch.found == self.finding(batch), "R18: what was confirmed is what is there"
        assert data["files"] == len(batch.files)
        assert data["bytes"] == sum(size for size, _, _ in batch.files.values())
        batch.issued = event

    def PurgeRefused(self, event: dict[str, Any], data: dict[str, Any]) -> None:  # noqa: N802
        batch = self._batch(event, data)
        assert batch.issued is None
        assert self.is_due(batch), "R19: nobody is asked about a batch that is not due"
        assert not self.must_wait(batch, self.now)
        assert batch.refused == self.confirming, "R19: it is asked once, and again for a plan that is stale"
        absent, changed = self.finding(batch)
        assert {f"{batch.run.directory}/{file}" for file in data["absent"]} == absent, "R18: as it was found"
        assert self._identities(batch.run, data["changed"]) == changed
        assert data["matching"] == len(batch.files) - len(absent) - len(changed)
        assert self.is_mostly_gone(batch), "R7: a file or two may be missing"
        assert data["plan"] != batch.refused, "R18: another finding is another plan"
        assert self.lines[event["causation_id"]]["type"] == "BatchCompleted", "R16: why"
        batch.refused, batch.found = data["plan"], (absent, changed)

    def PurgeFailed(self, event: dict[str, Any], data: dict[str, Any]) -> None:  # noqa: N802
        batch = self._attempt(event, data)
        remaining = {f"{batch.run.directory}/{file['name']}" for file in data["remaining"]}
        assert remaining == self.denied & batch.left, "R7: what could not be deleted is named"
        assert {file["errno"] for file in data["remaining"]} == {"EACCES"}
        assert data["retry_at"] > event["recorded_at"], "R7: and tried again later"
        assert data["attempt"] == batch.attempts
        batch.left, batch.retry_at = remaining, data["retry_at"]

    def SegmentsPurged(self, event: dict[str, Any], data: dict[str, Any]) -> None:  # noqa: N802
        batch = self._attempt(event, data)
        assert not self.denied & batch.left, "R7"
        for path in batch.files:
            assert identity(path) == self.replaced.get(path), "R10: what is recorded as gone is gone"
        batch.left, batch.gone = set(), True

    def SegmentsLost(self, event: dict[str, Any], data: dict[str, Any]) -> None:  # noqa: N802
        batch = self._batch(event, data)
        assert batch.issued is None
        told = self._identities(batch.run, data["files"])
        assert told == {path: batch.files[path] for path in batch.files.keys() & self.removed}, "R16: what they were"
        for path in told:
            del batch.files[path]
            batch.left.discard(path)
            self.removed.discard(path)
        batch.refused = batch.found = None

    def OrphansCondemned(self, event: dict[str, Any], data: dict[str, Any]) -> None:  # noqa: N802
        told = self._identities(self.runs[event["session_id"]], data["files"])
        assert told == self.strays, "R2, R11: what no event explains, as it was seen, and nothing else"

    def OrphansRemoved(self, event: dict[str, Any], data: dict[str, Any]) -> None:  # noqa: N802
        condemned = self.lines[event["causation_id"]]
        assert condemned["type"] == "OrphansCondemned", "R10: no deletion without an earlier authorisation"
        assert data["removal_id"] == condemned["data"]["removal_id"]
        assert data["deleted"] == len(self.strays)
        assert not any(identity(path) for path in self.strays), "R10: what is recorded as gone is gone"
        self.strays.clear()

    def SessionClosed(self, event: dict[str, Any], data: dict[str, Any]) -> None:  # noqa: N802
        run = self.runs[event["session_id"]]
        assert run.running is None
        run.end = data["disposition"]

    def _attempt(self, event: dict[str, Any], data: dict[str, Any]) -> Batch:
        """R6, R7, R10, R11: what both outcomes of an attempt have in common."""
        batch = self._batch(event, data)
        assert batch.issued is not None, "R10: no deletion without an earlier authorisation"
        assert not batch.gone, "R6: one outcome"
        assert data["purge_id"] == batch.issued["data"]["purge_id"]
        early = batch.retry_at - event["recorded_at"]
        assert early <= 0 or early > 300_000_000, "R7: not before its time, unless the clock was set back"
        self._caused_by(event, batch.issued)
        tried = batch.left - self.denied
        superseded = {f"{batch.run.directory}/{one['file']}" for one in data.get("superseded", [])}
        absent = {f"{batch.run.directory}/{file}" for file in data.get("already_absent", [])}
        assert superseded == tried & self.replaced.keys(), "R11: a file that is another is left alone"
        if batch.interrupted:
            assert self.removed & tried <= absent, "R7: a missing file is an outcome"
        else:
            assert absent == tried & self.removed, "R7: a missing file is an outcome"
        assert data["deleted"] + len(superseded) + len(absent) == len(tried), "R6: all files have an outcome"
        batch.attempts, batch.interrupted = batch.attempts + 1, False
        return batch

    def _identities(self, run: Run, told: list[dict[str, Any]]) -> dict[str, Identity]:
        return {f"{run.directory}/{one['file']}": (one["size"], one["mtime_ns"], one["inode"]) for one in told}

    def _batch(self, event: dict[str, Any], data: dict[str, Any]) -> Batch:
        return next(one for one in self.batches if one.run.id == event["session_id"] and one.number == data["batch"])

    def _completion(self, session_id: str, number: int) -> dict[str, Any]:
        return next(one.completed for one in self.batches if one.run.id == session_id and one.number == number)

    def _look_at_segments(self) -> None:
        for batch in self.batches:
            if batch.gone:
                continue
            for path, recorded in batch.files.items():
                found = identity(path)
                if path in self.removed:
                    assert found is None
                elif path in self.replaced:
                    assert found == self.replaced[path], "R11: a file that is another is left alone"
                elif batch.issued is None:
                    assert found == recorded, "R2, R5, R10: nobody deletes or overwrites a file without authorisation"
                else:
                    assert found in {recorded, None}
        for path, stray in self.strays.items():
            assert identity(path) == stray, "R10: nor what no event explains"
        for path, foreign in self.replaced.items():
            assert identity(path) == foreign, "R11: and stays, also after the purge"

    def _look_at_playlists(self, now: int) -> None:
        """R8 and R13: which segments are listed, since when not any more, and in how long a playlist."""
        listed: set[str] = set()
        for rendition, text in self._playlists():
            segments = list(_segments(text))
            length = sum(duration for _, duration in segments)
            sequences = _number(text, "MEDIA-SEQUENCE"), _number(text, "DISCONTINUITY-SEQUENCE")
            for number, before in zip(sequences, self.sequences.get(rendition, (0, 0)), strict=True):
                assert number >= before, "R8: sequence numbers never decrease"
            self.sequences[rendition] = sequences
            for name, duration in segments:
                path = f"{self.root}/news/{rendition}/{name}"
                unchanged = text == self.texts.get(rendition)
                assert identity(path) or (unchanged and path in self.removed), "R8: what is listed is there"
                shown = self.shown.setdefault(path, Shown(duration, length))
                shown.longest, shown.left_at = max(shown.longest, length), None
                listed.add(path)
        for path, shown in self.shown.items():
            if path not in listed and shown.left_at is None:
                shown.left_at = now
        self.listed = listed

    def _playlists(self) -> Iterator[tuple[str, str]]:
        for rendition in {name for run in self.runs.values() for name in run.renditions}:
            try:
                with open(f"{self.root}/news/{rendition}/{rendition}.m3u8", encoding="utf-8") as file:  # noqa: PTH123
                    text = file.read()
            except FileNotFoundError:
                assert rendition not in self.texts, "R8: purging never deletes a playlist"
                continue
            yield rendition, text
            self.texts[rendition] = text


def _number(text: str, tag: str) -> int:
    return int(text.partition(f"#EXT-X-{tag}:")[2].split()[0])


def _segments(text: str) -> Iterator[tuple[str, int]]:
    """Names and durations in milliseconds."""
    duration = 0
    for line in text.splitlines():
        if line.startswith("#EXTINF:"):
            duration = round(float(line[8:].rstrip(",")) * 1000)
        elif not line.startswith("#"):
            yield line, duration
