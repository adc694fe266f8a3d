"""The stages of a case, each in a process of its own: a whole life, a life up to its death, and what comes after."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tests.torture.arena import Arena
from tests.torture.campaign import in_child, in_time
from tests.torture.judgement import look, nothing_left, nothing_to_add, standing, verified
from tests.torture.mistakes import MISTAKES
from tests.torture.scenario import MISHAP, Process

Reach = Callable[[str], None]


class Met(NamedTuple):
    """The points that a process met, one after the other, and what stood in the end.

    ``later`` is what it met from there on, when it went on.
    """

    trace: tuple[str, ...]
    standing: Any
    later: tuple[str, ...] = ()

    @property
    def points(self) -> Counter[str]:
        """How often it met each, in the order in which it first did."""
        return points_of(self.trace)


class Choice(NamedTuple):
    """Which occurrence of a point is meant, and whether what it leaves is left by no other one that is meant."""

    occurrence: int
    alone: bool


def points_of(trace: Sequence[str]) -> Counter[str]:
    """How often each failure point was met; a mishap is none."""
    return Counter(point for point in trace if point != MISHAP)


def lived(arena: Arena, seed: int) -> Met:
    """The life of this seed from its beginning to its end."""
    arena.begin()
    met: list[str] = []
    with in_time(), arena.process(seed, met.append) as process:
        process.live()
        return Met(tuple(met), _judged(arena, process))


def cut_off(arena: Arena, seed: int, reach: Reach, mistake: str = "none", *, surely: bool = True) -> None:
    """The life of this seed, in a process of its own, up to the point where ``reach`` ends it, as it surely does."""

    def work() -> None:
        with MISTAKES[mistake](), arena.process(seed, reach) as process:
            process.live()

    assert in_child(work).signal or not surely, "it never came to the point"


def recovery_cut_off(arena: Arena, seed: int, reach: Reach) -> None:
    """A recovery, in a process of its own, up to the point where ``reach`` ends it."""

    def work() -> None:
        with arena.process(seed, reach) as process:
            process.recover()

    assert in_child(work).signal, "its recovery never came to the point"


def recovered(arena: Arena, seed: int, *, end: Any = None, boot: int = 1) -> Met:
    """A recovery: what must hold before, and after it. With the ``end`` of a whole life it goes on to that."""
    points: list[str] = []
    with in_time(), arena.process(seed, points.append, boot) as process:
        look(process, arena.told.read_bytes())
        process.recover()
        met = Met(tuple(points), _judged(arena, process))
        if end is not None:
            process.live()
            assert _judged(arena, process) == end, "it ends as a life that nobody cut off"
        return met._replace(later=tuple(points[len(met.trace) :]))


def chosen(seed: int, point: str, met: Counter[str]) -> int:
    """Which occurrence of a point is meant, of those that there are."""
    return random.Random(f"{seed} {point}").randint(1, met[point])


def choices(seed: int, trace: Sequence[str]) -> dict[str, Choice]:
    """Which occurrence of each point is meant, so that few of them leave the same and each is among them.

    Between one effect and the next nothing happens, but for a mishap: a kill after the one leaves what a kill before
    the other leaves.
    So of the moments after an effect one is meant, if there is any, that is the moment before another effect that is.
    """
    at: dict[str, list[int]] = defaultdict(list)
    for index, point in enumerate(trace):
        if point != MISHAP:
            at[point].append(index)
    before, followed = dict[str, int](), set[str]()
    for point, found in at.items():
        if point.endswith(".before"):
            new = [index for index in found if trace[index - 1] not in followed]
            before[point] = _one_of(seed, point, new or found)
            followed.add(trace[before[point] - 1])
    moments = set(before.values())
    after = {
        point: _one_of(seed, point, [index for index in found if index + 1 in moments] or found)
        for point, found in at.items()
        if point not in before
    }
    meant = before | after
    return {
        point: Choice(found.index(meant[point]) + 1, point in before or meant[point] + 1 not in moments)
        for point, found in at.items()
    }


def _one_of(seed: int, point: str, found: Sequence[int]) -> int:
    return random.Random(f"{seed} {point}").choice(found)


def _judged(arena: Arena, process: Process) -> Any:
    """What stands, if it is as it has to be."""
    with process.clock.standing():
        look(process, arena.told.read_bytes())
        verified(process)
        nothing_left(process)
        stands = standing(process)
        nothing_to_add(process, stands)
    return stands
