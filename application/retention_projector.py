"""The retention projector: reads the log, keeps an agenda of what is due, and has it purged.

The agenda and the checkpoint move in one transaction. What is on the agenda is acted on until the log says that it is
done; so a crash at any moment costs a repetition, never a deletion.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import msgspec
import structlog

from application.claims import Claims, of_root
from application.log_check import LogCheck
from application.ports import Agenda, AgendaItem, Clock, EventLog
from application.purge_round import TOGETHER, Acts, PurgeRound
from application.purger import Place, Purger, next_attempt
from application.roots import Roots
from application.seen import Seen
from application.sessions import Sessions
from domain import retention
from domain.batch import Moment
from domain.commands import Successor
from domain.errors import HeldElsewhere
from domain.events import OF_ROOTS, MediaRoot, Recorded
from domain.session import Session

PAGE = 1000
AT_ONCE = 10_000
"""Sessions that are looked at in one go."""

PARTS = 40
LONGEST_PART = 1000
"""A backlog is worked off in about so many parts, of so many batches at most: all of it is read for each of them."""

LONGEST_PART_US = 500_000
"""A part that took so long, and no less than reading the backlog did, ends with the group of batches under way.

What became due since waits meanwhile, and so does who wants the worker to end. It ends no sooner than with what was
asked for.
"""

EVER = 2**62
CLOCK_STEP_US = 1_000_000
"""By how much the wall clock has to be set for the agenda to be made again."""

log = structlog.get_logger("trailkeep.retention")


class Round(msgspec.Struct, frozen=True):
    """What one round of the projector recorded, and which roots it paused for, with the reason."""

    recorded: tuple[Recorded, ...] = ()
    paused: dict[str, str] = {}


class RetentionProjector:
    """Turns completed batches into purges."""

    def __init__(
        self,
        log: EventLog,
        log_check: LogCheck,
        sessions: Sessions,
        agenda: Agenda,
        purger: Purger,
        clock: Clock,
        claims: Claims,
        roots: Roots,
        seen: Seen,
    ) -> None:
        self._log, self._log_check, self._sessions, self._agenda = log, log_check, sessions, agenda
        self._clock, self._claims, self._roots, self._seen = clock, claims, roots, seen
        self._round = PurgeRound(log_check, purger, self._correct)
        self._paused: dict[str, str] = {}
        self._started_at: int | None = None
        self._looked_at = 0
        self._next = ""

    def catch_up(self) -> None:
        """Bring the agenda up to the head of the log."""
        checkpoint = self._agenda.checkpoint()
        touched: dict[str, int] = {}
        while page := self._log.read(after=checkpoint, limit=PAGE):
            checkpoint = page[-1].position
            self._seen.note(page[-1])
            for session_id, events in _by_session(page).items():
                self._sessions.heard(events)
                touched[session_id] = events[-1].envelope.version
            # Far behind, a session is looked at once for many pages: its state is the newest in any case.
            if len(page) < PAGE or len(touched) >= AT_ONCE:
                self._replace(touched, checkpoint)
                touched.clear()
            if len(page) < PAGE:
                break
        if touched:
            self._replace(touched, checkpoint)

    def run_once(self, progress: Callable[[str, int, int], None] = lambda *_: None) -> Round:
        """Catch up and act until nothing more is due now; ``progress`` hears at which of how many batches it is."""
        recorded: list[Recorded] = []
        while (done := self.run_part(EVER, progress)).recorded:
            recorded += done.recorded
        return Round(tuple(recorded), done.paused)

    def run_part(self, most: int, progress: Callable[[str, int, int], None] = lambda *_: None) -> Round:
        """Catch up and act on ``most`` batches of those that are due now; what was not reached comes first next time.

        It is more of a long backlog. Where batches become due all the time, `run_once` would not end. Nothing is due
        when nothing was recorded.
        """
        self._log_check.follow()
        self._follow_the_clock()
        self.catch_up()
        acts, all_seen = self._act(most, progress)
        self._say(acts.paused, all_seen)
        return Round(tuple(acts.recorded), acts.paused)

    def next_due_at(self) -> int | None:
        """When there will be something to do without a further event, in microseconds since the epoch.

        What was due before and is still there waits for something else: a disk, say, or another worker.
        """
        return self._agenda.next_due_at(self._looked_at)

    def _follow_the_clock(self) -> None:
        """The agenda's times are those of the wall clock: first of all, and when that was set, they are made again."""
        started_at = self._clock.now() - self._clock.uptime().us
        if self._started_at is not None and abs(started_at - self._started_at) < CLOCK_STEP_US:
            return
        self._started_at = started_at
        checkpoint = self._agenda.checkpoint()
        if waiting := {item.session_id for item in self._agenda.due(EVER)}:
            self._agenda.replace(self._items(map(self._sessions.load, waiting)), checkpoint=checkpoint)

    def _replace(self, touched: Mapping[str, int], checkpoint: int) -> None:
        """Make the items of these sessions, as they are at these versions or later."""
        sessions = (self._sessions.known(session_id, version) for session_id, version in touched.items())
        self._agenda.replace(self._items(sessions), checkpoint=checkpoint)

    def _items(self, sessions: Iterable[Session]) -> dict[str, list[AgendaItem]]:
        items: dict[str, list[AgendaItem]] = {}
        now = Moment(self._clock.now(), self._clock.uptime())
        for session in sessions:
            if session.opened is None:
                items[session.session_id] = []  # the log knows no such session
                continue
            items[session.session_id] = agenda_of(session, self._sessions.successor(session), now)
            for earlier in self._sessions.earlier(session):
                items[earlier.session_id] = agenda_of(earlier, self._sessions.successor(earlier), now)
        return items

    def _act(self, most: int, progress: Callable[[str, int, int], None]) -> tuple[Acts, bool]:
        """What was done, and whether all that is due was looked at."""
        acts, others = Acts(), dict[str, bool]()
        waiting, served = dict[MediaRoot, list[Place]](), set[MediaRoot]()
        self._looked_at = self._clock.now()
        begun = self._clock.uptime().us
        due, acted, all_seen = self._in_turn(self._agenda.due(self._looked_at)), 0, True
        longest, read = max(most, min(len(due) // PARTS, LONGEST_PART)), self._clock.uptime().us
        end = read + max(LONGEST_PART_US, read - begun)

        def late() -> bool:
            return acted - sum(map(len, waiting.values())) >= most and self._clock.uptime().us >= end

        for number, item in enumerate(due, 1):
            progress("batches", number, len(due))
            if acted >= longest or late():
                self._next, all_seen = item.session_id, False
                break
            opened = self._sessions.opened(item.session_id)
            if opened is None:
                self._correct(item.session_id)
                continue
            root = opened.media_root
            if root.path in acts.skipped or self._for_others(root, others):
                continue
            acted += 1
            together = waiting.setdefault(root, [])
            if len(together) == TOGETHER or any(place.session_id == item.session_id for place in together):
                self._round.purge(root, together, acts)
                together.clear()
                served.add(root)
            together.append(Place(item.session_id, item.batch))
        for number, root in enumerate(sorted(waiting, key=served.__contains__)):
            if (number or root in served) and late():  # one that had no turn has it, however slow the others are
                self._next, all_seen = waiting[root][0].session_id, False
                break
            self._round.purge(root, waiting[root], acts)
            waiting[root].clear()
        return acts, all_seen

    def _in_turn(self, due: list[AgendaItem]) -> list[AgendaItem]:
        """The first batch of each session, then the second of each that has one, and so on; who was left out first."""
        turns = Counter[str]()

        def turn(item: AgendaItem) -> int:
            turns[item.session_id] += 1
            return turns[item.session_id]

        return sorted(sorted(due, key=lambda item: item.session_id < self._next), key=turn)

    def _for_others(self, root: MediaRoot, known: dict[str, bool]) -> bool:
        """Whether another worker purges below the root, or only another host can: the one that has it mounted."""
        if root.root_id not in known:
            known[root.root_id] = not self._claimed(root)
        return known[root.root_id]

    def _claimed(self, root: MediaRoot) -> bool:
        """Claim the root, if it is here; one that only this host ever had also if it is not, to say so."""
        resource = of_root(root.root_id)
        if not self._claims.shared or self._claims.holds(resource):
            return True
        if self._claims.is_elsewhere(root, self._roots.here):
            return False
        try:
            self._claims.claim(resource)
        except HeldElsewhere:
            return False
        return True

    def _correct(self, session_id: str) -> None:
        """Make a session's items again from the log; the checkpoint stays."""
        self._agenda.replace(self._items([self._sessions.load(session_id)]), checkpoint=self._agenda.checkpoint())

    def _say(self, paused: dict[str, str], all_seen: bool) -> None:
        for root in paused.keys() - self._paused.keys():
            log.warning("purging pauses for this media root (R17)", root=root, reason=paused[root])
        if not all_seen:
            self._paused |= paused
            return
        for root in self._paused.keys() - paused.keys():
            log.info("purging goes on for this media root", root=root)
        self._paused = paused


def _by_session(page: Iterable[Recorded]) -> dict[str, list[Recorded]]:
    """The events of sessions, each session's in order."""
    found: dict[str, list[Recorded]] = {}
    for one in page:
        if not isinstance(one.event, OF_ROOTS):
            found.setdefault(one.envelope.session_id, []).append(one)
    return found


def agenda_of(session: Session, successor: Successor, now: Moment) -> list[AgendaItem]:
    """What is to be looked at in a session, by batch."""
    due = {item.batch: None if item.plan else item.by(now) for item in retention.due(session, successor)}
    due |= {number: next_attempt(batch.purge, now.at) for number, batch in session.batches.items() if batch.purge}
    return [AgendaItem(session.session_id, number, due[number]) for number in sorted(due)]
