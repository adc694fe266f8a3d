"""Each mutant of the protocol is caught by a campaign; so the campaigns can fail, and for the right reasons."""

from pathlib import Path

import pytest

from tests.torture.campaign import FULL
from tests.torture.mutants import MUTANTS, Mutant, judge, plant

SLICE = ("most of a batch may be gone",)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mutant", [one for one in MUTANTS if FULL or one.name in SLICE], ids=lambda one: one.name)
def test_a_broken_promise_is_caught(mutant: Mutant) -> None:
    verdict = judge(mutant)
    assert verdict.campaign, f"{mutant.name}: not caught by {', '.join(verdict.passed)}"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_every_mutant_can_be_made_of_the_code_as_it_is(mutant: Mutant, arena: Path) -> None:
    plant(mutant, arena)


def test_no_two_mutants_have_one_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 20
