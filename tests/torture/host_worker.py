"""A worker of the takeover campaign: `run`, but with segments that take milliseconds and no ffmpeg.

    python -m tests.torture.host_worker URL DIRECTORY

Every worker has the same four channels below two media roots. It ends in order on SIGTERM.
"""

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from application.generation import Terms
from application.pace import Pace
from application.ports import BatchPlan, EncodedSegment
from application.producer import ProducerSettings
from domain.errors import EncoderFailed, StoreUnavailable, TrailkeepError
from domain.events import Availability, Policy
from domain.segments import DEFAULT_PATTERN
from entrypoints.bootstrap import App, opened
from entrypoints.cli.production import sessions_for
from entrypoints.worker import Production, Worker

CHANNELS = ("c0", "c1", "c2", "c3")
BATCH_SIZE = 2
WRAP = 8
SEGMENT_S = 0.02


class SlowEncoder:
    """Writes small real files, no two alike, and takes its time."""

    def describe(self, batch: int, segments_before: int, segment_ms: int) -> tuple[str, str]:
        return "noise", f"{segments_before * segment_ms} ms"

    def encode(
        self, plan: BatchPlan, stopped: Callable[[], bool], on_segment: Callable[[EncodedSegment], None]
    ) -> tuple[EncodedSegment, ...]:
        made = []
        for one in plan.files:
            time.sleep(SEGMENT_S)
            if stopped():
                raise EncoderFailed("stopped")
            path = Path(plan.directory, one.file)
            path.unlink(missing_ok=True)
            path.write_bytes(random.randbytes(random.randint(100, 2000)))
            made.append(EncodedSegment(one.rendition, one.number, plan.segment_ms))
            on_segment(made[-1])
        return tuple(made)


def terms(directory: Path) -> list[Terms]:
    return [
        Terms(
            channel=channel,
            root=str(directory / f"disk{number % 2}"),
            batch_size=BATCH_SIZE,
            renditions=("v",),
            pattern=DEFAULT_PATTERN,
            wrap=WRAP,
            segment_ms=2000,
            playlist_window=4,
            policy=Policy(availability=Availability.OFF),
        )
        for number, channel in enumerate(CHANNELS)
    ]


def work(app: App, directory: Path) -> None:
    """As `run`: open what is not open, end what was left open, and produce until told to stop."""
    app.read_model_projector.catch_up()
    sessions = sessions_for(app, terms(directory))
    app.recoverer.recover()
    settings = ProducerSettings(pace=Pace.ASAP, max_failures=10**6, first_wait_s=0.05)
    productions = [Production(one.session_id, one.terms.channel, settings, SlowEncoder()) for one in sessions]
    gave_up = Worker(app).run(productions, None, lambda _: None)
    assert not gave_up, gave_up


def main() -> None:
    url, directory = sys.argv[1], Path(sys.argv[2])
    while True:
        try:
            with opened(url) as app:
                work(app, directory)
        except StoreUnavailable:
            time.sleep(0.1)  # as a service manager would
        except TrailkeepError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            raise
        else:
            return


if __name__ == "__main__":
    main()
