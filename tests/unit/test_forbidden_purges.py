"""Whoever orders a purge that is forbidden is told by which rule and why, and what it waits for, word for word."""

import pytest

from domain.commands import Command, IssuePurge, RecordPurge
from domain.decisions import decide
from domain.errors import Refused
from domain.events import Availability, Policy
from domain.session import Session
from tests.builders import (
    NOW,
    SECOND,
    a_session,
    an_id,
    closed,
    failed,
    generated,
    published,
    purge_refused,
    purged,
    purging,
    started,
)

LISTED = generated(published(generated(a_session(policy=Policy(availability=Availability.RFC8216)), 2), 0, 3), 1)
HOUR_MS = 3_600_000


def issue(batch: int = 0, confirmed: str | None = None) -> IssuePurge:
    return IssuePurge(batch=batch, purge_id=an_id(77), now=NOW + 100 * SECOND, confirmed=confirmed)


@pytest.mark.rule("R3", "R4", "R6", "R10", "R13", "R18", "R19", "R20")
@pytest.mark.parametrize(
    ("session", "command", "message"),
    [
        (generated(a_session(), 3), issue(1), "batch: 1 is refused by R3: it is not due"),
        (generated(a_session(), 3), issue(7), "batch: 7 is refused by R3: the session has no such batch"),
        (started(a_session()), issue(), "batch: 0 is refused by R4: it is generating"),
        (failed(started(a_session())), issue(), "batch: 0 is refused by R4: it is failed"),
        (purging(generated(a_session(), 3), 0), issue(), "batch: 0 is refused by R6: it is purging"),
        (purged(generated(a_session(), 3), 0), issue(), "batch: 0 is refused by R6: it is purged already"),
        (
            generated(a_session(), 3),
            RecordPurge(batch=0, deleted=2, bytes_freed=1),
            "batch: 0 is refused by R10: no purge of it is authorised and open",
        ),
        (LISTED, issue(), "batch: 0 is refused by R13: it is not due yet: availability: still listed in a playlist"),
        (
            published(LISTED, 2, 5, at=NOW + 100 * SECOND),
            issue(),
            "batch: 0 is refused by R13: it is due in 10.000 s",
        ),
        (
            published(published(LISTED, 0, 5, HOUR_MS), 2, 5, at=NOW + 100 * SECOND),
            issue(),
            "batch: 0 is refused by R13: it is due in 3602.000 s",
        ),
        (
            closed(generated(a_session(), 2)),
            issue(),
            (
                "batch: 0 is refused by R19: it is not due yet: the channel's newest two completed batches stay until "
                "those of a later session take their place"
            ),
        ),
        (
            purge_refused(generated(a_session(), 3), 0, plan="ab" * 32),
            issue(),
            f"batch: 0 is refused by R19: its purge was refused and waits for plan {'ab' * 32}",
        ),
        (
            generated(a_session(), 3),
            issue(confirmed="cd"),
            "plan: 'cd' is refused by R18: it is not, or not any more, the plan that the batch waits for",
        ),
    ],
)
def test_the_refusal_names_the_order_and_the_rule_and_the_reason(
    session: Session, command: Command, message: str
) -> None:
    """R3, R4, R6, R10, R13, R18, R19: R20."""
    with pytest.raises(Refused) as error:
        decide(session, command)
    assert str(error.value) == message
