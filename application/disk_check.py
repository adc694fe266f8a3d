"""The files of one channel beside what its sessions keep: lost, changed, superseded, orphans. Nothing is touched."""

from collections.abc import Callable, Collection, Iterable, Sequence
from enum import StrEnum

import msgspec

from application.playlist_check import playlist_faults
from application.ports import FoundFile, MediaFiles, Playlists
from application.roots import Roots
from domain.batch import Batch
from domain.errors import LogDamaged, RootSuspect, RootUnavailable
from domain.events import FileIdentity
from domain.lifecycle import BatchState
from domain.segments import batch_numbers, expected_files, identity_of
from domain.session import Session

STEP = 100
"""So many files are looked at between two words about it."""


class Level(StrEnum):
    """How closely files are looked at; each level includes those before it."""

    PRESENCE = "presence"
    SIZE = "size"
    IDENTITY = "identity"


class Findings(msgspec.Struct):
    """What was found of a channel; files are absolute paths. ``reasons`` says of changed ones what is wrong."""

    checked: int = 0
    lost: list[str] = []
    orphans: list[str] = []
    superseded: list[str] = []
    changed: list[str] = []
    reasons: dict[str, str] = {}
    suspect_roots: list[str] = []
    playlists: list[str] = []

    def clean(self) -> bool:
        """Whether nothing is wrong; a superseded file is told, and no fault."""
        return not (self.lost or self.orphans or self.changed or self.suspect_roots or self.playlists)


class DiskCheck:
    """Looks at one channel at a time."""

    def __init__(self, files: MediaFiles, roots: Roots, playlists: Playlists) -> None:
        self._files, self._roots, self._playlists = files, roots, playlists

    def look(
        self,
        sessions: Sequence[Session],
        left_alone: Collection[FileIdentity],
        level: Level,
        advance: Callable[[int], None],
    ) -> Findings:
        """Compare the directory of a channel with these sessions, all that it has there, oldest first.

        ``left_alone`` are files that purges did not delete (R11). ``advance`` hears how many more files were looked at.
        """
        found = Findings()
        root = sessions[-1].terms.media_root
        try:
            if distrust := self._roots.examine(root):
                raise RootSuspect(root.path, distrust)
            self._check_files(sessions, left_alone, level, advance, found)
            found.playlists += playlist_faults(self._playlists, self._files, sessions)
        except RootUnavailable as suspect:
            found.suspect_roots.append(str(suspect))
        except LogDamaged as damaged:
            found.suspect_roots.append(f"media root {root.path}: its own events are damaged: {damaged.reason}")
        return found

    def _check_files(
        self,
        sessions: Sequence[Session],
        left_alone: Collection[FileIdentity],
        level: Level,
        advance: Callable[[int], None],
        found: Findings,
    ) -> None:
        root, channel = sessions[-1].terms.media_root.path, sessions[-1].terms.channel
        recorded = [
            (batch, identity_of(file))
            for session in sessions
            for batch in session.batches.values()
            for file in batch.files
        ]
        found.checked += len(recorded)
        there = self._list(root, channel, [one for _, one in recorded], advance)
        doubtful = [(batch, one) for batch, one in recorded if there.get(one.file) != one]
        # What is not listed as it was recorded may not even be a file: it is looked at once more, by its name.
        seen = self._files.find(root, channel, [one.file for _, one in doubtful]) if doubtful else {}
        for batch, one in doubtful:
            self._judge(self._files.path(root, channel, one.file), batch, one, seen.get(one.file), level, found)
        explained = explained_by(sessions)
        for file, identity in there.items():
            if file not in explained:
                kind = found.superseded if identity in left_alone else found.orphans
                kind.append(self._files.path(root, channel, file))

    def _list(
        self, root: str, channel: str, recorded: Sequence[FileIdentity], advance: Callable[[int], None]
    ) -> dict[str, FileIdentity]:
        """What is there. ``advance`` hears of recorded files while they are listed, for that is what takes long."""
        there: dict[str, FileIdentity] = {}
        names, unsaid, left = {one.file for one in recorded}, 0, len(recorded)
        for file in self._files.list_files(root, channel):
            there[file.file] = file
            unsaid += file.file in names
            if unsaid == STEP:
                advance(unsaid)
                unsaid, left = 0, left - STEP
        advance(left)
        return there

    def _judge(
        self, path: str, batch: Batch, recorded: FileIdentity, seen: FoundFile | None, level: Level, found: Findings
    ) -> None:
        if seen is None:
            if batch.state is BatchState.COMPLETED:
                found.lost.append(path)
        elif reason := difference(recorded, seen, level):
            if batch.state is BatchState.PURGING:
                found.superseded.append(path)
            else:
                found.changed.append(path)
                found.reasons[path] = reason


def explained_by(sessions: Iterable[Session]) -> set[str]:
    """The files of a channel that events speak of: kept, being purged, being generated, or left by a failed attempt."""
    explained = needed_by(sessions := list(sessions))
    return explained.union(*(left_by(batch) for session in sessions for batch in session.batches.values()))


def left_by(batch: Batch) -> set[str]:
    """What a failed attempt left behind or found, as its events name it: no orphans, tried again or not."""
    if batch.state is not BatchState.FAILED:
        return set()
    return {*batch.files_left, *(present.file for present in batch.present)}


def needed_by(sessions: Iterable[Session]) -> set[str]:
    """The files of a channel that a batch needs: one that is kept or being purged, or the one that is generated."""
    needed: set[str] = set()
    for session in sessions:
        terms = session.terms
        for batch in session.batches.values():
            needed.update(identity_of(file).file for file in batch.files)
            if batch.state is BatchState.GENERATING:
                numbers = batch_numbers(batch.number, terms.batch_size)
                needed.update(one.file for one in expected_files(terms.naming, terms.renditions, numbers))
    return needed


def difference(recorded: FileIdentity, seen: FoundFile, level: Level) -> str | None:
    """How a file is not the one that was recorded, as far as the level looks; None if it is."""
    if not seen.regular:
        return "it is a directory, a link, or something else that is no regular file"
    if level is Level.PRESENCE:
        return None
    pairs = [("size", seen.identity.size, recorded.size)]
    if level is Level.IDENTITY:
        pairs.append(("modification time (ns)", seen.identity.mtime_ns, recorded.mtime_ns))
        pairs.append(("inode", seen.identity.inode, recorded.inode))
    others = [f"{what} is {now}, recorded was {then}" for what, now, then in pairs if now != then]
    return "its " + "; its ".join(others) if others else None
