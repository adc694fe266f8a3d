"""The verifier: compares the log with itself and its seal, and with the disk, the playlists and the read models.

It only reads, and may run beside producers and projectors.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import msgspec

from application.agenda_check import agenda_faults
from application.disk_check import DiskCheck, Findings, Level
from application.journal import IntentJournal
from application.log_reader import LogReader, Readers
from application.ports import Agenda, Clock, EventLog, MediaFiles, Playlists, ReadModels, Seals, Snapshots
from application.purger import FIRST_RETRY_US
from application.roots import Roots
from application.sessions import Sessions
from application.whole_log import LogReport, Progress, WholeLog
from domain.batch import Moment
from domain.events import FileIdentity, MediaRoot
from domain.session import Session

__all__ = ["Level", "LogReport", "Report", "Verifier"]

PASSES = 5
"""How often a channel is looked at that is not as the log tells, while it moves."""

SETTLED_US = 2_000_000
"""After an event of a channel its playlists and files may not have followed yet; no longer than this."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the verifier found; files are absolute paths, the rest are sentences.

    ``reasons`` says of each changed file what is wrong with it. ``superseded`` lists files under the name of a purged
    segment that were left alone; they and the ``notes`` are told, and no fault.
    """

    ok: bool
    checked: int
    lost: tuple[str, ...]
    orphans: tuple[str, ...]
    superseded: tuple[str, ...]
    changed: tuple[str, ...]
    reasons: dict[str, str]
    suspect_roots: tuple[str, ...]
    playlists: tuple[str, ...]
    journals: tuple[str, ...]
    read_models: tuple[str, ...]
    notes: tuple[str, ...]
    log: LogReport


class _Place(NamedTuple):
    """A channel's directory."""

    root: str
    channel: str


class Verifier:
    """Reads the whole log and looks at every file of every channel."""

    def __init__(
        self,
        log: EventLog,
        seals: Seals,
        sessions: Sessions,
        files: MediaFiles,
        playlists: Playlists,
        journal: IntentJournal,
        roots: Roots,
        read_models: ReadModels,
        agenda: Agenda,
        clock: Clock,
        pause: Callable[[float], object],
        snapshots: Snapshots | None = None,
        readers: Readers | None = None,
    ) -> None:
        self._log, self._seals, self._sessions = log, seals, sessions
        self.reader = LogReader(log, seals, read_models, snapshots, readers)
        self._disk, self._journal = DiskCheck(files, roots, playlists), journal
        self._read_models, self._agenda = read_models, agenda
        self._clock, self._pause = clock, pause

    def verify(self, level: Level, progress: Progress = lambda *_: None, processes: int | None = None) -> Report:
        """Compare everything; ``progress`` hears what is looked at (events, files), how much is done, and of how much.

        The log is read by that many processes, each of which folds its share of the sessions; by default as many as
        are worth it.

        While producers and projectors are at work the disk runs ahead of what was read. A difference counts only if it
        is still there when its channel has not moved in between.
        """
        now = Moment(self._clock.now(), self._clock.uptime())
        whole, rows, log = self.reader.read(progress, processes)
        found = self._look_until_settled(whole, level, log.ok, progress)
        read_models = [*rows.faults(whole), *sorted(whole.misleading), *agenda_faults(self._agenda, whole, now)]
        journals = tuple(str(one) for one in self._journal.complaints(_roots(whole)))
        return Report(
            ok=log.ok and not read_models and not journals and all(one.clean() for one in found),
            checked=sum(one.checked for one in found),
            lost=_all(one.lost for one in found),
            orphans=_all(one.orphans for one in found),
            superseded=_all(one.superseded for one in found),
            changed=_all(one.changed for one in found),
            reasons={path: reason for one in found for path, reason in one.reasons.items()},
            suspect_roots=tuple(dict.fromkeys(_all(one.suspect_roots for one in found))),
            playlists=_all(one.playlists for one in found),
            journals=journals,
            read_models=tuple(dict.fromkeys(read_models)),
            notes=tuple(self._notes(whole)),
            log=log,
        )

    def check_log(self, progress: Progress = lambda *_: None) -> LogReport:
        """Compare the log with itself and with its seal, and look at no file; ``progress`` as in `verify`."""
        return WholeLog(self._log, self._seals).read(lambda _: None, progress)

    def _look_until_settled(self, whole: WholeLog, level: Level, log_ok: bool, progress: Progress) -> list[Findings]:
        found: dict[_Place, Findings] = {}
        places = pending = self._places(whole)
        for _ in range(PASSES):
            advance = _counted(progress, sum(map(_files, pending.values())))
            for place, sessions in pending.items():
                found[place] = self._disk.look(sessions, _left_alone(whole, sessions), level, advance)
            doubtful = {place: _moved(whole, pending[place]) for place in pending if not found[place].clean()}
            if not doubtful or not log_ok:
                break
            whole.follow()
            places = self._places(whole)
            waits = {place: self._unsettled_us(_moved(whole, places[place])) for place in doubtful if place in places}
            pending = {
                place: places[place]
                for place, wait in waits.items()
                if wait or _moved(whole, places[place]) != doubtful[place]
            }
            if not pending:
                break
            self._pause(max(waits[place] for place in pending) / 1e6)
        return list(found.values())

    def _places(self, whole: WholeLog) -> dict[_Place, list[Session]]:
        """Every directory of a channel, with the sessions there, oldest first.

        Without those of a channel with a damaged session: what that one keeps is not known.
        """
        places: dict[_Place, list[Session]] = {}
        for channel, sessions in whole.channels().items():
            next_id = self._sessions.id_of(channel, sessions[-1].terms.ordinal + 1)
            if whole.broken.isdisjoint({next_id, *(session.session_id for session in sessions)}):
                for session in sessions:
                    places.setdefault(_Place(session.terms.media_root.path, channel), []).append(session)
        return places

    def _unsettled_us(self, moved: tuple[int, int]) -> int:
        """How long until what follows from a channel's newest event has been done; 0 if it has, or should have been."""
        left = moved[1] + SETTLED_US - self._clock.now()
        return left if 0 < left <= SETTLED_US else 0

    def _notes(self, whole: WholeLog) -> Iterator[str]:
        """What is no fault, but an operator will want to know."""
        for session_id in sorted(whole.broken):
            yield f"the events of {session_id} are damaged: what it is about is not compared with disk and read models"
        for session in whole.sessions.values():
            channel = session.terms.channel
            if session.removal:
                yield (
                    f"channel {channel}: a removal of orphans, {session.removal.removal_id}, is authorised and has no "
                    "outcome; `trailkeep recover` finishes it"
                )
            for batch in session.batches.values():
                if batch.purge and self._clock.now() > (batch.purge.retry_at or batch.purge.issued_at) + FIRST_RETRY_US:
                    yield (
                        f"channel {channel}: the purge of batch {batch.number} is authorised and has no outcome, after "
                        f"{batch.purge.attempt - 1} attempts; `trailkeep project` goes on with it"
                    )


def _left_alone(whole: WholeLog, sessions: Sequence[Session]) -> set[FileIdentity]:
    return set[FileIdentity]().union(*(whole.left_alone.get(session.session_id, ()) for session in sessions))


def _roots(whole: WholeLog) -> list[MediaRoot]:
    """The media roots of all sessions, each place once."""
    roots = (session.terms.media_root for session in whole.sessions.values())
    return list({(root.path, root.root_id): root for root in roots}.values())


def _files(sessions: Sequence[Session]) -> int:
    return sum(len(batch.files) for session in sessions for batch in session.batches.values())


def _moved(whole: WholeLog, sessions: Sequence[Session]) -> tuple[int, int]:
    """Position and time of the newest event of any of these sessions."""
    return max(whole.moved[session.session_id] for session in sessions)


def _counted(progress: Progress, total: int) -> Callable[[int], None]:
    done = 0

    def advance(files: int) -> None:
        nonlocal done
        done += files
        progress("files", done, total)

    return advance


def _all(found: Iterator[list[str]]) -> tuple[str, ...]:
    return tuple(chain.from_iterable(found))
