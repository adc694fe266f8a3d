"""What a round of the retention projector does with batches that are due below one root."""

from collections.abc import Callable, Sequence

import structlog

from application.log_check import LogCheck
from application.purger import Place, Purger
from domain.errors import LeaseLost, Refused, RootSuspect, RootUnavailable
from domain.events import MediaRoot, Recorded

TOGETHER = 50
"""Batches, of as many sessions, that are purged together. The root is held meanwhile, and no playlist is written."""

log = structlog.get_logger("trailkeep.retention")


class Acts:
    """What a round has done: what it recorded, the roots that it pauses for and why, and those it is done with."""

    def __init__(self) -> None:
        self.recorded: list[Recorded] = []
        self.paused: dict[str, str] = {}
        self.skipped: set[str] = set()


class PurgeRound:
    """Has batches purged; ``correct`` is told of a session whose items on the agenda were stale."""

    def __init__(self, log_check: LogCheck, purger: Purger, correct: Callable[[str], None]) -> None:
        self._log_check, self._purger, self._correct = log_check, purger, correct

    def purge(self, root: MediaRoot, places: Sequence[Place], acts: Acts) -> None:
        """Purge batches of different sessions together; where something is in the way of that, one after the other."""
        if len(places) > 1 and root.path not in acts.skipped:
            try:
                self._carried_out(root, places, acts.recorded)
            except (RootUnavailable, LeaseLost, Refused) as reason:
                log.debug("purging one by one", root=root.path, reason=str(reason))
            else:
                return
        for place in places:
            if root.path not in acts.skipped:
                self._purge_alone(root, place, acts)

    def _purge_alone(self, root: MediaRoot, place: Place, acts: Acts) -> None:
        try:
            self._carried_out(root, [place], acts.recorded)
        except RootUnavailable as unavailable:
            acts.paused[root.path] = unavailable.reason
            if isinstance(unavailable, RootSuspect):
                acts.skipped.add(root.path)  # on a full disk another purge may go, and make room
        except LeaseLost as lost:
            log.warning("another worker has taken the purging of a media root over", root=root.path, reason=str(lost))
            acts.skipped.add(root.path)
        except Refused as refused:
            # Another process was first, or the clock was set: the agenda was right once and is made right again.
            log.debug("agenda was stale", session=place.session_id, batch=place.batch, reason=refused.reason)
            self._correct(place.session_id)

    def _carried_out(self, root: MediaRoot, places: Sequence[Place], recorded: list[Recorded]) -> None:
        """Not on the word of a damaged log: it is examined first, each event once."""
        self._log_check.require_intact()
        answers = self._purger.issue_each(root, places)
        recorded += [answer for answer in answers if isinstance(answer, Recorded)]
        for answer in answers:
            if isinstance(answer, Refused):
                raise answer
        recorded += self._purger.carry_out_each(root, places)
