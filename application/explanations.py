"""Why a file is there, or when and why it went: told by the log, the read models and a look at the file."""

import msgspec

from application.disk_check import left_by
from application.ports import BatchRecord, EventLog, MediaFiles, Playlists, ReadModels, SessionSummary
from application.queries import because_of
from application.sessions import Sessions
from domain import retention
from domain.batch import Batch
from domain.events import Disposition, FileIdentity, PurgeFailed, SegmentsPurged
from domain.lifecycle import BatchState, SessionState
from domain.segments import identity_of, is_label, newest_number
from domain.session import Session

MARKER_FILE, JOURNAL_FILE = ".trailkeep-root", ".trailkeep-journal"


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a file is there, or when and why it went. ``events`` are positions in the log."""

    file: str
    status: str
    segment: int | None
    batch: int | None
    because: str
    events: tuple[int, ...] = ()
    session_id: str | None = None


class Explainer:
    """Explains files; it only reads."""

    def __init__(
        self, log: EventLog, sessions: Sessions, read_models: ReadModels, files: MediaFiles, playlists: Playlists
    ) -> None:
        self._log, self._sessions, self._read_models = log, sessions, read_models
        self._files, self._playlists = files, playlists

    def explain(self, path: str) -> Explanation:
        """What the log says of the file at an absolute path."""
        channels = filter(is_label, dict.fromkeys(path.split("/")))
        summaries = [one for channel in channels for one in self._read_models.sessions(channel)]
        below = [(file, one) for one in summaries if (file := _in_channel(path, one)) is not None]
        if found := self._by_sessions(path, below):
            return found
        if any(self._is_playlist(file, one) for file, one in below):
            return _answer(path, "kept", "a playlist; purges never delete playlists (R8)")
        if any(self._is_there(file, one) for file, one in below):
            return _answer(path, "orphan", "no event explains it; Trailkeep leaves it alone")
        if below:
            return _answer(path, "unknown", "no event speaks of it, and it is not there")
        above, _, name = path.rpartition("/")
        if name not in {MARKER_FILE, JOURNAL_FILE}:
            return _answer(path, "unknown", "it is not below a channel that the log knows")
        return self._of_root(path, name, [one for one in self._read_models.sessions() if above == one.root.rstrip("/")])

    def _by_sessions(self, path: str, below: list[tuple[str, SessionSummary]]) -> Explanation | None:
        """What the newest session says of it; an earlier one, if only that has an event that explains it."""
        orphan: Explanation | None = None
        for file, summary in sorted(below, key=lambda pair: -pair[1].ordinal):
            found = self._explained(path, file, summary)
            if found and found.status != "orphan":
                return found
            orphan = orphan or found
        return orphan

    def _explained(self, path: str, file: str, summary: SessionSummary) -> Explanation | None:
        """What this session has to say of the file, if any of its batches ever bore the name."""
        session = self._sessions.load(summary.session_id)
        terms = session.terms
        rendition, _, name = file.partition("/")
        batches = session.next_batch + (session.next_batch in session.batches)
        number = (
            newest_number(terms.naming, rendition, name, batches * terms.batch_size - 1)
            if rendition in terms.renditions
            else None
        )
        if number is None:
            return None
        record = self._read_models.batches(session.session_id, numbers=[number // terms.batch_size])
        if not record:
            return None
        status, because = self._status(session, record[0], file)
        return Explanation(
            file=path,
            status=status,
            segment=number,
            batch=record[0].batch,
            because=because,
            events=record[0].positions,
            session_id=session.session_id,
        )

    def _status(self, session: Session, record: BatchRecord, file: str) -> tuple[str, str]:
        terms = session.terms
        there = self._files.find(terms.media_root.path, terms.channel, [file]).get(file)
        found = there.identity if there else None
        batch = session.batches.get(record.batch)
        if batch is None:
            return self._after_purge(record, found)
        if batch.state is BatchState.GENERATING:
            return "generating", f"attempt {batch.attempt} of batch {batch.number} is being generated"
        if batch.state is BatchState.FAILED:
            return _after_failure(session, batch, file, there=found is not None)
        if found is None:
            return _missing(batch, record)
        if found not in map(identity_of, batch.files):
            return "superseded", f"it is not the file that batch {batch.number} recorded; a purge leaves it alone"
        return "kept", f"{_why(record)}; the purge is not finished" if batch.purge else self._keeping(session, batch)

    def _keeping(self, session: Session, batch: Batch) -> str:
        found = retention.due(session, self._sessions.successor(session))
        due = next((one for one in found if one.batch == batch.number), None)
        if due is not None:
            return due.waits_for or f"batch {batch.number} is due and waits for its purge"
        if session.disposition is Disposition.KEEP:
            return "the session was closed with its batches to be kept"
        keep = session.terms.policy.keep_previous + 1
        return f"R2: batch {batch.number} is one of the newest {keep} completed batches"

    def _after_purge(self, record: BatchRecord, found: FileIdentity | None) -> tuple[str, str]:
        if found is None:
            return "purged", f"{_why(record)}; {record.outcome}"
        for position in record.positions:
            event = self._log.read(after=position - 1, limit=1)[0].event
            if isinstance(event, PurgeFailed | SegmentsPurged) and found in event.superseded:
                return (
                    "superseded",
                    f"it was another file already when batch {record.batch} was purged; it was left alone",
                )
        return "orphan", f"it came after batch {record.batch}, which bore the name, was purged"

    def _of_root(self, path: str, name: str, summaries: list[SessionSummary]) -> Explanation:
        """What is to be said of a file directly below the root that these sessions were opened on."""
        if summaries and name == MARKER_FILE:
            return self._marker(path, summaries)
        if summaries and name == JOURNAL_FILE:
            return _answer(path, "kept", "the journal of this media root: it shows whether the log lost events (R15)")
        return _answer(path, "unknown", "it is not below a channel that the log knows")

    def _marker(self, path: str, summaries: list[SessionSummary]) -> Explanation:
        """What the marker file of a root says, if it is of the sessions that were opened there."""
        marker = self._files.read_marker(summaries[0].root)
        if marker is None:
            return _answer(path, "unknown", "the marker of this media root is not there: purging of it pauses (R17)")
        if marker.store_id == self._log.store_id() and marker.root_id in {one.root_id for one in summaries}:
            return _answer(path, "kept", "the marker of this media root: without it purging pauses (R17)")
        whose = f"store {marker.store_id} and root {marker.root_id}"
        return _answer(path, "orphan", f"a marker, but of {whose}, not ours: purging of this root pauses (R17)")

    def _is_playlist(self, file: str, summary: SessionSummary) -> bool:
        terms = self._sessions.load(summary.session_id).terms
        if not terms.playlist_window or not summary.batches_completed:
            return False
        return file in self._playlists.find(summary.root, summary.channel, terms.renditions)

    def _is_there(self, file: str, summary: SessionSummary) -> bool:
        if file.count("/") == 1 and file.isprintable():
            return file in self._files.find(summary.root, summary.channel, [file])
        listed = file.encode(errors="surrogateescape").decode(errors="backslashreplace")
        return any(found.file == listed for found in self._files.list_files(summary.root, summary.channel))


def _in_channel(path: str, summary: SessionSummary) -> str | None:
    """The path relative to the directory of the session's channel; None if it is not below it."""
    directory = f"{summary.root.rstrip('/')}/{summary.channel}/"
    return path[len(directory) :] if path.startswith(directory) else None


def _answer(path: str, status: str, because: str) -> Explanation:
    return Explanation(file=path, status=status, segment=None, batch=None, because=because)


def _after_failure(session: Session, batch: Batch, file: str, *, there: bool) -> tuple[str, str]:
    failed = f"attempt {batch.attempt} of batch {batch.number} failed: {batch.failure}"
    if there and file not in left_by(batch):
        return "orphan", f"{failed}; and it is none of the files that were left then"
    if session.state is not SessionState.CLOSED:
        return "generating", failed
    if not there:
        return "unknown", f"{failed}; the session is closed, and nothing is there"
    return "kept", f"{failed}; no purge deletes what it left, and the channel's next session writes over it"


def _missing(batch: Batch, record: BatchRecord) -> tuple[str, str]:
    if batch.purge:
        return "purged", f"{_why(record)}; the outcome of the purge is not recorded yet"
    return "unknown", f"lost: batch {batch.number} keeps it and no purge was issued, but it is not there"


def _why(record: BatchRecord) -> str:
    because = because_of(record)
    if because is None:
        return "it is not due"
    later = f" of session {because.session_id}" if because.session_id else ""
    return (
        f"{because.rule}: batch {because.completed_batch}{later} completed "
        f"at position {because.completed_position}, so batch {record.batch} was due"
    )
