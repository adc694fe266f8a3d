from hypothesis import given
from hypothesis import strategies as st

from media.grid import AAC_FRAME, SAMPLE_RATE, BatchGrid

frame_rates = st.integers(1, 120)
segment_lengths = st.integers(1000, 20_000)


def a_grid(batch: int, batch_size: int = 5, segment_ms: int = 2000, frame_rate: int = 25) -> BatchGrid:
    return BatchGrid(range(batch * batch_size, (batch + 1) * batch_size), segment_ms, frame_rate)


def test_segments_of_whole_frames_are_cut_at_their_multiples() -> None:
    grid = a_grid(3)
    assert (grid.first_frame, grid.end_frame, grid.cuts) == (750, 1000, (50, 100, 150, 200))
    assert (grid.start_us, grid.duration_ms(15)) == (30_000_000, 2000)


def test_a_batch_of_one_segment_has_no_cut() -> None:
    assert a_grid(7, batch_size=1).cuts == ()


def test_a_frame_belongs_to_the_segment_in_whose_time_it_begins() -> None:
    """Segments of 1.01 s at 25 frames a second begin at frames 0, 25.25, 50.5, 75.75 and 101."""
    grid = a_grid(0, batch_size=4, segment_ms=1010)
    assert (0, *grid.cuts, grid.end_frame) == (0, 26, 51, 76, 101)
    assert [grid.duration_ms(number) for number in grid.numbers] == [1040, 1000, 1000, 1000]


def test_a_segment_shorter_than_a_frame_holds_none() -> None:
    assert a_grid(0, segment_ms=40).holds_frames
    assert not a_grid(0, segment_ms=39).holds_frames


@given(st.integers(0, 10**7), st.integers(1, 50), segment_lengths, frame_rates)
def test_a_batch_takes_up_the_frame_after_the_last_one_of_the_batch_before(
    batch: int, size: int, segment_ms: int, frame_rate: int
) -> None:
    grid, after = a_grid(batch, size, segment_ms, frame_rate), a_grid(batch + 1, size, segment_ms, frame_rate)
    assert grid.end_frame == after.first_frame
    assert grid.end_sample == after.first_sample
    assert grid.first_sample % AAC_FRAME == 0


@given(st.integers(0, 10**7), st.integers(1, 50), segment_lengths, frame_rates)
def test_picture_and_sound_begin_with_the_batch_and_no_frame_later(
    batch: int, size: int, segment_ms: int, frame_rate: int
) -> None:
    grid = a_grid(batch, size, segment_ms, frame_rate)
    start_ms = grid.numbers.start * segment_ms
    assert 0 <= grid.first_frame * 1000 - start_ms * frame_rate < 1000
    assert 0 <= grid.first_sample * 1000 - start_ms * SAMPLE_RATE < AAC_FRAME * 1000


@given(st.integers(0, 10**7), st.integers(1, 50), segment_lengths, frame_rates)
def test_what_is_encoded_covers_every_frame_of_the_picture(
    batch: int, size: int, segment_ms: int, frame_rate: int
) -> None:
    grid = a_grid(batch, size, segment_ms, frame_rate)
    assert grid.frame_after(grid.encoded_from) <= grid.first_frame
    assert grid.frame_after(grid.encoded_from + grid.encoded_samples) >= grid.end_frame
