"""What a life is made of: its two sessions as the seed has them, and an encoder whose files are a function of both."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from application.generation import Terms
from application.ports import BatchPlan, EncodedSegment
from domain.errors import EncoderFailed
from domain.events import Availability, Disposition, Policy
from domain.segments import DEFAULT_PATTERN
from domain.session import Session
from tests.torture.instrument import act

CHANNEL = "news"
SEGMENT_MS = 2000


class Chapter(NamedTuple):
    """One session of the life: what it is opened with, how far it goes, and how it ends.

    By number: the batch that ``fails`` at first, the one before which the marker goes ``astray``, the one of which a
    file ``refuses`` to go at first, and the one that ``loses`` most of its files before it is purged; None for none.
    """

    terms: Terms
    batches: int
    fails: int
    astray: int | None
    refuses: int
    loses: int | None
    end: Disposition | None


def chapters(seed: int, root: Path) -> tuple[Chapter, Chapter]:
    """The two sessions of a life.

    One of them purges at once, from under a playlist that is as long as the disk is full; the other waits as RFC 8216
    wants. Names come again after as few segments as the terms allow, or a batch later.
    """
    choice = random.Random(seed)
    size, keep = choice.choice((2, 2, 3)), choice.choice((1, 1, 2))
    wrap = (keep + 2 + choice.randint(0, 1)) * size
    renditions = choice.choice((("v",), ("v", "a")))
    availabilities = choice.sample((Availability.OFF, Availability.RFC8216), 2)
    end = choice.choice((None, Disposition.KEEP, Disposition.PURGE))
    found: list[Chapter] = []
    for availability, batches, ends in zip(availabilities, (keep + 3, keep + 2), (Disposition.PURGE, end), strict=True):
        window = (keep + 2 if availability is Availability.OFF else 2) * size
        terms = Terms(
            channel=CHANNEL,
            root=str(root),
            batch_size=size,
            renditions=renditions,
            pattern=DEFAULT_PATTERN,
            wrap=wrap,
            segment_ms=SEGMENT_MS,
            playlist_window=window,
            policy=Policy(keep_previous=keep, availability=availability),
        )
        found.append(
            Chapter(
                terms,
                batches,
                fails=choice.randrange(batches),
                astray=None if found else choice.randrange(batches),
                refuses=choice.randrange(batches - keep - 1),
                loses=choice.randrange(batches - keep - 1) if availability is Availability.RFC8216 else None,
                end=ends,
            )
        )
        renditions = choice.choice((("v",), ("v", "b")))
    return found[0], found[1]


def content(seed: int, rendition: str, name: str, media_number: int) -> bytes:
    """A segment's bytes, fewer from one to the next, so that a playlist's peak is its oldest segment."""
    line = f"{seed} {rendition}/{name} {media_number}\n".encode()
    return (line * 60)[: 1200 - 8 * media_number]


class ByteEncoder:
    """An encoder that writes small files; it fails once, with a part of the first file written, where it is told to."""

    def __init__(self, seed: int, session: Callable[[], Session], fails: int) -> None:
        self._seed, self._session, self._fails = seed, session, fails

    def describe(self, batch: int, segments_before: int, segment_ms: int) -> tuple[str, str]:
        """See `Encoder.describe`."""
        return "bytes", f"{segments_before * segment_ms} ms"

    def encode(
        self, plan: BatchPlan, stopped: Callable[[], bool], on_segment: Callable[[EncodedSegment], None]
    ) -> tuple[EncodedSegment, ...]:
        """See `Encoder.encode`."""
        session = self._session()
        fails = plan.batch == self._fails and session.batches[plan.batch].attempt == 1
        made = []
        with act("encode"):
            for one in plan.files:
                number = session.terms.naming.offset + one.number
                written = content(self._seed, one.rendition, one.name, number)
                _write(Path(plan.directory, one.file), written[:100] if fails else written)
                if fails:
                    raise EncoderFailed("the camera went away", exit_code=1, stderr_tail="no signal")
                made.append(EncodedSegment(one.rendition, one.number, plan.segment_ms))
                on_segment(made[-1])
        return tuple(made)


def _write(path: Path, written: bytes) -> None:
    if path.exists():
        os.unlink(path)  # noqa: PTH108 - the instrument goes around this call
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    os.write(descriptor, written)
    os.close(descriptor)
