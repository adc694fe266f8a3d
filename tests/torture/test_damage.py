"""Bytes, rows and files are harmed: `verify` finds it or refuses, and nothing goes that the log does not authorise.

After each harm `verify`, `project` and `recover` are called, with a batch that is due, one whose players are waited
for, one that is kept by an operator's word, and a purge that is authorised and without an outcome. With
TRAILKEEP_TORTURE=1 every case runs, else some of every kind.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from entrypoints.cli import main
from tests.integration.media_tree import NOBODY, mode, unprivileged
from tests.torture.campaign import FULL
from tests.torture.damage import CASES, SLICE, Arena, arena


@pytest.fixture(scope="module")
def damaged() -> Iterator[Arena]:
    with arena() as made:
        yield made


@pytest.mark.rule("R10", "R15", "R17", "R19")
@pytest.mark.parametrize(
    ("kind", "seed"), CASES if FULL else SLICE, ids=[f"{kind}-{seed}" for kind, seed in (CASES if FULL else SLICE)]
)
def test_harm_is_found_or_refused_and_deletes_nothing(damaged: Arena, kind: str, seed: int) -> None:
    """R10, R15, R17, R19."""
    damaged.judge(kind, seed)


def test_there_are_two_hundred_cases_and_the_slice_has_every_kind() -> None:
    assert len(CASES) >= 200
    assert {kind for kind, _ in SLICE} == {kind for kind, _ in CASES}


LOCKED: dict[str, tuple[Callable[[Path], Path], int]] = {
    "the database": (lambda store: store / "log.db", 1),
    "a marker": (lambda store: store / "media" / ".trailkeep-root", 3),
    "a root": (lambda store: store / "media", 3),
    "a channel": (lambda store: store / "media" / "news", 3),
    "a rendition": (lambda store: store / "media" / "news" / "v", 3),
    "a playlist": (lambda store: store / "media" / "news" / "v" / "v.m3u8", 3),
    "a segment": (lambda store: store / "media" / "news" / "v" / "v_segment_009.ts", 0),
}


@pytest.mark.rule("R7", "R17", "R20")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read")
@pytest.mark.parametrize("what", LOCKED)
def test_what_may_not_be_read_is_found_or_refused_and_deletes_nothing(damaged: Arena, what: str) -> None:
    """R7, R17, R20: a segment's content is nobody's business, so its name, size, time and inode are enough."""
    ground = damaged.ground
    ground.restore()
    place, code = LOCKED[what]
    ground.directory.parent.chmod(0o755)
    for path in (ground.directory, *ground.directory.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    before = ground.segments_now()
    with mode(place(ground.directory), 0o000), unprivileged():
        results = [
            CliRunner().invoke(main, ["--database", ground.url, command])
            for command in ("verify", "project", "recover")
        ]
    assert [one.exception for one in results if not isinstance(one.exception, SystemExit | None)] == []
    assert results[0].exit_code == code
    assert before - ground.segments_now() <= damaged.authorised
