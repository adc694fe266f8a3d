"""Clocks that are set by up to ten years, forward and back: they change no decision, and shorten no wait (ADR 0013).

The same history of batches, failures, purges, restarts and sessions is lived twice: with a steady clock, and with one
that is set again and again while the same time really passes. What became due, because of what, and in which order,
has to be the same; and when, where the clock is set between the steps. Where it is set at any look at it, a purge may
come a round late, behind one that did not, and never early.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from domain.events import Availability, Disposition, PlaylistPublished, Policy, PurgeIssued, Recorded
from tests.builders import SECOND, FakeClock
from tests.contract.stores import an_engine
from tests.memory_app import TESTER, App, Channel, Store
from tests.property.faults import FailingRoots, Points
from tests.torture.campaign import FULL
from tests.torture.sqlite_store import SqliteStore

pytestmark = [pytest.mark.rule("R13"), pytest.mark.timeout(600)]

TEN_YEARS_S = 10 * 365 * 24 * 3600
STEPS = 60
SEGMENT_MS = 2000
SEEDS = range(40 if FULL else 3)
"""Each seed is a history, with some 25 jumps between its steps, or at each look at the clock."""


class Step(NamedTuple):
    """What somebody does, or the time that passes; ``jump`` is by how much the clock is set after it, in seconds."""

    what: str
    number: int = 0
    seconds: float = 0.0
    jump: float = 0.0


def a_jump(chance: random.Random) -> float:
    """Of any magnitude from two seconds to ten years, in both directions."""
    return chance.choice([-1, 1]) * 2 * (TEN_YEARS_S / 2) ** chance.random()


def a_history(chance: random.Random) -> list[Step]:
    """Steps that make batches, leave some purges undone, and end with time enough for all of them."""
    kinds = ["generate"] * 5 + ["fail", "restart", "deny", "allow", "session", "reboot"] + ["pass"] * 6 + ["round"] * 6
    steps = [
        Step(
            what=chance.choice(kinds),
            number=chance.randrange(100),
            seconds=chance.choice([0.001, 0.5, 1, 3, 7, 9.999999, 10, 12, 60]),
            jump=a_jump(chance) if chance.random() < 0.45 else 0.0,
        )
        for _ in range(STEPS)
    ]
    return [*steps, Step("allow"), *(Step(what, seconds=600.0) for what in ("pass", "round", "pass", "round"))]


class RestlessClock(FakeClock):
    """A clock that is set at every other look at it."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance, self.jumps = chance, 0

    def now(self) -> int:
        if self.chance.random() < 0.5:
            self.set_by(a_jump(self.chance))
            self.jumps += 1
            # Not before 1980 and not after 2200: dates have to be written.
            if not 0.3e15 < self.time < 7e15:
                self.set_by((1.8e15 - self.time) / SECOND)
        return super().now()


class Issued(NamedTuple):
    """A purge that was authorised: at which step and second, of what, and because of which batch of which session."""

    step: int
    second: float
    ordinal: int
    batch: int
    rule: str
    by_ordinal: int
    by_batch: int


class World:
    """One life of the history."""

    def __init__(self, store: Store, root: Path, policy: Policy) -> None:
        self.store, self.root, self.policy = store, root, policy
        self.denied: set[str] = set()
        self.passed, self.jumps, self.seen = 0.0, 0, 0
        self.issued: list[Issued] = []
        self.restart()
        self.channel.open(policy=policy)

    def restart(self) -> None:
        self.channel = Channel(App(self.store, FailingRoots(Points(), self.denied)), self.root)

    def live(self, steps: Sequence[Step], *, set_the_clock: bool) -> None:
        for number, step in enumerate(steps):
            getattr(self, f"do_{step.what}")(step)
            self._look(number)
            if step.jump and set_the_clock:
                self._set_the_clock(step.jump)

    def _set_the_clock(self, seconds: float) -> None:
        clock = self.store.clock
        if 0.3e15 < clock.time + seconds * SECOND < 7e15:
            clock.set_by(seconds)
            self.jumps += 1

    def _look(self, step: int) -> None:
        for recorded in self.store.log.read(after=self.seen):
            self.seen = recorded.position
            if isinstance(event := recorded.event, PurgeIssued):
                of = self._ordinal(recorded.envelope.session_id)
                by = self._ordinal(event.because.session_id) if event.because.session_id else of
                because = (event.because.rule, by, event.because.completed_batch)
                self.issued.append(Issued(step, self.passed, of, event.batch, *because))

    def _ordinal(self, session_id: str) -> int:
        return self.channel.app.sessions.load(session_id).terms.ordinal

    def do_generate(self, _: Step) -> None:
        self.channel.generate()

    def do_fail(self, _: Step) -> None:
        self.channel.start()
        self.channel.fail()

    def do_restart(self, _: Step) -> None:
        self.restart()

    def do_deny(self, step: Step) -> None:
        """A file cannot be deleted: its purge fails, and is tried again."""
        kept = [batch for batch in self.channel.session.batches.values() if batch.files]
        if kept:
            self.denied.add(str(self.channel.paths(kept[step.number % len(kept)].number)[0]))

    def do_allow(self, _: Step) -> None:
        self.denied.clear()

    def do_session(self, step: Step) -> None:
        """The next session; the batches of this one go when those of the next take their place."""
        self.channel.app.generation.close(self.channel.id, "next", Disposition.PURGE, TESTER)
        self.channel.open(policy=self.policy)

    def do_reboot(self, step: Step) -> None:
        self.store.clock.reboot(step.seconds)
        self.passed += step.seconds
        self.restart()

    def do_pass(self, step: Step) -> None:
        self.store.clock.advance(step.seconds)
        self.passed += step.seconds

    def do_round(self, _: Step) -> None:
        self.channel.app.project()


@contextmanager
def stores(kind: str, directory: Path) -> Iterator[tuple[Store, Store]]:
    """Two stores, each of which a life is told to."""
    if kind == "memory":
        yield Store(), Store()
        return
    with an_engine(directory / "steady.db") as steady, an_engine(directory / "set.db") as set_again:
        yield SqliteStore(steady), SqliteStore(set_again)  # type: ignore[misc]


@pytest.mark.parametrize("availability", Availability)
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_clock_that_is_set_between_the_steps_changes_nothing_that_is_decided(
    arena: Path, kind: str, availability: Availability, seed: int
) -> None:
    """R13: the same batches, because of the same ones, at the same steps."""
    steps, policy = a_history(random.Random(seed)), Policy(availability=availability)
    with stores(kind, arena) as (steady, restless):
        expected, lived = World(steady, arena / "steady", policy), World(restless, arena / "set", policy)
        expected.live(steps, set_the_clock=False)
        lived.live(steps, set_the_clock=True)
        assert lived.jumps > 5, "the clock was set"
        assert expected.issued, "there was something to purge"
        assert by_session(lived) == by_session(expected), f"seed {seed}"
        check_waits(expected)
    print(f"clock: {lived.jumps} jumps, {len(lived.issued)} purges")


@pytest.mark.parametrize("availability", Availability)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_clock_that_is_set_at_any_look_at_it_makes_no_purge_early(
    arena: Path, availability: Availability, seed: int
) -> None:
    """R13: the same batches, by the same rule; each late by the rounds that saw a time that was gone a moment later.

    A batch of a closed session goes because of the newest one that took its place; late, perhaps a later one.
    """
    steps, policy = a_history(random.Random(seed)), Policy(availability=availability)
    expected, restless = World(Store(), arena / "steady", policy), Store()
    expected.live(steps, set_the_clock=False)
    restless.clock = clock = RestlessClock(random.Random(seed))
    lived = World(restless, arena / "set", policy)
    lived.live([*steps, *[Step("round")] * 40], set_the_clock=False)
    assert clock.jumps > 50, "the clock was set"
    assert sorted(map(decided, lived.issued)) == sorted(map(decided, expected.issued)), f"seed {seed}"
    steadily = {decided(one): one for one in expected.issued}
    for late in lived.issued:
        steady = steadily[decided(late)]
        assert late.second >= steady.second, f"seed {seed}: nothing is purged early"
        because, before = [(one.by_ordinal, one.by_batch) for one in (late, steady)]
        assert because == before or (late.rule == "R19" and because > before), f"seed {seed}: because of the same batch"
    print(f"clock: {clock.jumps} jumps at a look, {len(lived.issued)} purges")


def by_session(world: World) -> list[Issued]:
    """In their order; within a round, that of sessions is the order of their ids, which says nothing."""
    return sorted(world.issued, key=lambda one: (one.step, one.ordinal))


def decided(issued: Issued) -> tuple[int, int, str]:
    return issued.ordinal, issued.batch, issued.rule


def check_waits(world: World) -> None:
    """R13, from the events alone: where the clock was never set, their times are those at which it really happened."""
    if world.policy.availability is Availability.OFF:
        return
    log = world.store.log.read(limit=10**6)
    published = [one for one in log if isinstance(one.event, PlaylistPublished)]
    for issued in log:
        if not isinstance(issued.event, PurgeIssued):
            continue
        batch, session_id = issued.event.batch, issued.envelope.session_id
        shown = [one for one in published if one.position < issued.position]
        own = [one.event for one in shown if one.envelope.session_id == session_id]
        longest = max((one.duration_ms for one in own if lists(one, batch)), default=0)
        left = next(
            one.envelope.recorded_at
            for number, one in enumerate(shown)
            if not any(of_session(later, session_id) and lists(later.event, batch) for later in shown[number:])
            and (one.event.first_segment > batch * 2 + 1 or not of_session(one, session_id))
        )
        assert issued.envelope.recorded_at >= left + (SEGMENT_MS + longest) * 1000


def lists(event: PlaylistPublished, batch: int) -> bool:
    return event.first_segment <= batch * 2 + 1 and batch * 2 <= event.last_segment


def of_session(recorded: Recorded, session_id: str) -> bool:
    return recorded.envelope.session_id == session_id
