"""The stages of a case, each in a process of its own: a whole life, a life up to its death, and what comes after."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.torture.arena import Arena
from tests.torture.campaign import in_child, in_time
from tests.torture.judgement import look, nothing_left, nothing_to_add, standing, verified
from tests.torture.mistakes import MISTAKES
from tests.torture.scenario import Process

Reach = Callable[[str], None]


class Met(NamedTuple):
    """How often a process met each point, in the order in which it first did, and what stood in the end.

    ``later`` is what it met from there on, when it went on.
    """

    points: Counter[str]
    standing: Any
    later: Counter[str]


def lived(arena: Arena, seed: int) -> Met:
    """The life of this seed from its beginning to its end."""
    arena.begin()
    points: Counter[str] = Counter()
    with in_time(), arena.process(seed, _counting(points)) as process:
        process.live()
        return Met(points.copy(), _judged(arena, process), Counter())


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
    points: Counter[str] = Counter()
    with in_time(), arena.process(seed, _counting(points), boot) as process:
        look(process, arena.told.read_bytes())
        process.recover()
        met = Met(points.copy(), _judged(arena, process), Counter())
        if end is not None:
            process.live()
            assert _judged(arena, process) == end, "it ends as a life that nobody cut off"
        return met._replace(later=points - met.points)


def chosen(seed: int, point: str, met: Counter[str]) -> int:
    """Which occurrence of a point is meant, of those that there are."""
    return random.Random(f"{seed} {point}").randint(1, met[point])


def _judged(arena: Arena, process: Process) -> Any:
    """What stands, if it is as it has to be."""
    with process.clock.standing():
        look(process, arena.told.read_bytes())
        verified(process)
        nothing_left(process)
        stands = standing(process)
        nothing_to_add(process, stands)
    return stands


def _counting(points: Counter[str]) -> Reach:
    def reach(point: str) -> None:
        points[point] += 1

    return reach
