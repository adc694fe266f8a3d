"""Where a batch lies on its session's clock, in whole frames of picture and of sound: so batches join without a seam.

The clock starts with segment 0. A frame belongs to the segment in whose time it begins; both grids are those of the
session, not of the batch, so a batch takes up the frame after the last one of the batch before, whatever the lengths.
"""

from typing import NamedTuple

SAMPLE_RATE = 48_000
SAMPLES_PER_MS = SAMPLE_RATE // 1000
AAC_FRAME = 1024  # samples per channel in one access unit of AAC-LC (ISO/IEC 14496-3)
RUN_UP = 4 * AAC_FRAME  # samples encoded before a batch and dropped: each AAC frame needs the one before it to decode


class BatchGrid(NamedTuple):
    """The segments ``numbers`` of ``segment_ms`` each, at ``frame_rate`` frames a second.

    Frames and samples are counted from the start of the session, where nothing else is said.
    """

    numbers: range
    segment_ms: int
    frame_rate: int

    @property
    def holds_frames(self) -> bool:
        """Whether every segment has a frame in it."""
        return self.segment_ms * self.frame_rate >= 1000

    @property
    def first_frame(self) -> int:
        """The first frame of the batch."""
        return self._frame_at(self.numbers.start)

    @property
    def end_frame(self) -> int:
        """The first frame after the batch."""
        return self._frame_at(self.numbers.stop)

    @property
    def cuts(self) -> tuple[int, ...]:
        """The frames at which a segment follows another, counted from the first of the batch."""
        return tuple(self._frame_at(number) - self.first_frame for number in self.numbers[1:])

    @property
    def start_us(self) -> int:
        """The session's time of the first frame: all timestamps of the batch are relative to it."""
        return round(self.first_frame * 1_000_000 / self.frame_rate)

    def duration_ms(self, number: int) -> int:
        """How long a segment must last."""
        return round((self._frame_at(number + 1) - self._frame_at(number)) * 1000 / self.frame_rate)

    @property
    def first_sample(self) -> int:
        """The first sample of the batch's sound."""
        return self._aac_frame_at(self.numbers.start) * AAC_FRAME

    @property
    def end_sample(self) -> int:
        """The first sample after the batch's sound."""
        return self._aac_frame_at(self.numbers.stop) * AAC_FRAME

    @property
    def encoded_from(self) -> int:
        """The first sample that the encoder is given."""
        return self.first_sample - RUN_UP

    @property
    def encoded_samples(self) -> int:
        """How many it is given: the last frame of the batch reaches one frame beyond its end."""
        return self.end_sample + AAC_FRAME - self.encoded_from

    def timestamp(self, sample: int) -> int:
        """The sample's timestamp in units of a sample, relative to the first frame of the picture."""
        return sample - self.sample_at(self.first_frame)

    def sample_at(self, frame: int) -> int:
        """The sample at which a frame of the picture begins."""
        return round(frame * SAMPLE_RATE / self.frame_rate)

    def frame_after(self, sample: int) -> int:
        """The first frame of the picture that begins at or after a sample."""
        return -(-sample * self.frame_rate // SAMPLE_RATE)

    def _frame_at(self, number: int) -> int:
        return -(-number * self.segment_ms * self.frame_rate // 1000)

    def _aac_frame_at(self, number: int) -> int:
        return -(-number * self.segment_ms * SAMPLES_PER_MS // AAC_FRAME)
