"""Every error that Trailkeep raises on purpose, in one tree.

The facts are attributes; the message is made from them and names the field, the value and the rule.
"""

from typing import Any


class TrailkeepError(Exception):
    """The root of the tree: something that an operator can read and act upon."""


class Invalid(TrailkeepError):
    """A value that can never be accepted, whatever the state (R20).

    Attributes:
        field: the name that the user knows it by.
        value: what was given.
        rule: what must hold.

    """

    def __init__(self, field: str, value: Any, rule: str) -> None:
        super().__init__(f"{field}: {value!r} is not allowed: {rule}")
        self.field, self.value, self.rule = field, value, rule


class Refused(TrailkeepError):
    """A well-formed command that a rule forbids in the present state.

    Attributes:
        rule: the rule's number, as in docs/reference/rules.md, for example ``R5``.
        field: what the command named.
        value: the value of that field.
        reason: why the rule forbids it now.

    """

    def __init__(self, rule: str, field: str, value: Any, reason: str) -> None:
        super().__init__(f"{field}: {value!r} is refused by {rule}: {reason}")
        self.rule, self.field, self.value, self.reason = rule, field, value, reason


class NotFound(TrailkeepError):
    """A session, channel, batch or file that nothing in the log speaks of."""

    def __init__(self, field: str, value: Any, rule: str) -> None:
        super().__init__(f"{field}: {value!r} is not known: {rule}")
        self.field, self.value, self.rule = field, value, rule


class ConcurrencyConflict(TrailkeepError):
    """Somebody else appended to the session first; load it again and decide again.

    Attributes:
        session_id: the session.
        expected_version: the version that the append was decided upon.

    """

    def __init__(self, session_id: str, expected_version: int) -> None:
        super().__init__(
            f"expected_version: {expected_version} is not the version of session {session_id} any more: "
            "another writer appended first"
        )
        self.session_id, self.expected_version = session_id, expected_version


class HeldElsewhere(TrailkeepError):
    """Work that another worker has claimed.

    Attributes:
        resource: what is claimed.
        owner: the worker.
        until: when its lease runs out unless it is renewed, in microseconds since the epoch.

    """

    def __init__(self, resource: str, owner: str, until: int) -> None:
        super().__init__(f"lease: {resource!r} is held by worker {owner}")
        self.resource, self.owner, self.until = resource, owner, until


class LeaseLost(TrailkeepError):
    """An outcome of work that another worker has taken over since; it was not recorded.

    Attributes:
        resource: what was claimed.
        epoch: of the lease that it was done under.

    """

    def __init__(self, resource: str, epoch: int) -> None:
        super().__init__(
            f"lease: {resource!r} is not held in epoch {epoch} any more: another worker took it over, and decides"
        )
        self.resource, self.epoch = resource, epoch


class EventIdConflict(TrailkeepError):
    """An event id that the log already holds with other content."""

    def __init__(self, event_id: str, position: int) -> None:
        super().__init__(f"event_id: {event_id!r} is at position {position} with other content: an id names one event")
        self.event_id, self.position = event_id, position


class LogDamaged(TrailkeepError):
    """A recorded event that is missing, altered or not readable; or the same of the database that keeps them all.

    Attributes:
        position: where in the log; None if it is no event that is damaged, but what keeps or guards or seals them.
        reason: what is wrong with it.

    """

    def __init__(self, position: int | None, reason: str) -> None:
        where = "database" if position is None else f"log position {position}"
        super().__init__(f"{where}: {reason}; nothing is deleted on the word of a damaged log")
        self.position, self.reason = position, reason


class ReadModelsDamaged(TrailkeepError):
    """Rows of the read models that do not fit the log, or cannot be read. The log can make them again.

    Attributes:
        reason: which, and what is wrong.

    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"read models: {reason}; when `trailkeep verify` finds the log whole, `trailkeep rebuild` makes them again"
        )
        self.reason = reason


class SchemaMismatch(TrailkeepError):
    """A database whose schema is not the one that this version of Trailkeep works with."""

    def __init__(self, found: str | None, known: str, advice: str) -> None:
        super().__init__(f"database schema: {found!r} is not {known!r}: {advice}")
        self.found, self.known = found, known


class StoreUnavailable(TrailkeepError):
    """The database cannot be reached, read or written now."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"database: {url!r} is not available: {reason}")
        self.url, self.reason = url, reason


class RootUnavailable(TrailkeepError):
    """A media root that cannot be worked with now: its disk is full or read-only, or the machine lacks something.

    What needs it pauses and is tried again.

    Attributes:
        root: its path.
        reason: what was found.

    """

    _sentence = "media root: {root!r} cannot be worked with now: {reason}"

    def __init__(self, root: str, reason: str) -> None:
        super().__init__(self._sentence.format(root=root, reason=reason))
        self.root, self.reason = root, reason


class RootFull(RootUnavailable):
    """A media root whose disk has no room."""


class RootSuspect(RootUnavailable):
    """A media root that is not, or not provably, the one that the log speaks of (R17).

    Purging of this root pauses until it is.
    """

    _sentence = "media root: {root!r} is suspect: {reason}; purging of it pauses (R17)"


class EventsLost(RootSuspect):
    """The log does not have events that it once acknowledged: it was put back, or failed over to a copy that lagged.

    What it says may be out of date everywhere, so nothing is purged below any root until an operator has decided.
    ``root`` is where that is known from.
    """

    _sentence = "log: it lost events: {reason}; nothing is purged below any media root (R15, R17)"


class FlushFailed(RootSuspect):
    """Something below a media root could not be flushed to disk.

    The kernel tells of a lost write once and then forgets it: what is flushed with success afterwards proves nothing.
    So it is recorded, and holds until an operator has looked at the disk and trusts the root.
    """


class EncoderFailed(TrailkeepError):
    """An encoder that ended without a full batch.

    Attributes:
        reason: one line.
        exit_code: what the process returned; None if it never ran.
        stderr_tail: the end of what it said, 4 KiB at most.

    """

    def __init__(self, reason: str, exit_code: int | None = None, stderr_tail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.exit_code, self.stderr_tail = reason, exit_code, stderr_tail
