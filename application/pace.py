"""The pace of a producer: how long the next batch has time, and what ends every wait."""

from enum import StrEnum
from typing import Protocol

from domain.session import Session


class Pace(StrEnum):
    """How fast batches follow each other."""

    ASAP = "asap"
    WALLCLOCK = "wallclock"


class Stop(Protocol):
    """A request to stop, and a sleep that ends with it."""

    def is_set(self) -> bool:
        """Whether it was asked for."""
        ...

    def wait(self, timeout: float) -> bool:
        """Sleep for ``timeout`` seconds, or until it is asked for; tell which."""
        ...


def seconds_ahead(session: Session, threshold: int, now: int) -> float:
    """How long it is until fewer than ``threshold`` segments are left ahead of the clock; ``now`` in microseconds."""
    threshold_us = threshold * session.terms.segment_ms * 1000
    return (session.program_end - threshold_us - now) / 1e6
