from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from media.grid import SAMPLES_PER_MS
from media.material import Piece, play
from media.probe import Clip


def a_clip(name: str, duration_ms: int) -> Clip:
    return Clip(f"/clips/{name}", 1, 1, duration_ms, has_sound=True, indexed=True)


A, B = a_clip("a", 1000), a_clip("b", 300)


def pieces(*clips: Clip, at_ms: int, length_ms: int) -> list[tuple[str, int, int]]:
    """Name, start and length in milliseconds."""
    played = play(clips, at_ms * SAMPLES_PER_MS, length_ms * SAMPLES_PER_MS)
    return [(p.clip.name, p.start // SAMPLES_PER_MS, p.length // SAMPLES_PER_MS) for p in played]


def test_a_loop_begins_with_its_first_clip() -> None:
    assert pieces(A, B, at_ms=0, length_ms=400) == [("a", 0, 400)]


def test_the_next_clip_follows_and_after_the_last_one_the_first() -> None:
    assert pieces(A, B, at_ms=900, length_ms=600) == [("a", 900, 100), ("b", 0, 300), ("a", 0, 200)]


def test_a_batch_that_ends_with_a_clip_does_not_open_the_next() -> None:
    assert pieces(A, B, at_ms=0, length_ms=1000) == [("a", 0, 1000)]
    assert pieces(A, B, at_ms=1000, length_ms=300) == [("b", 0, 300)]


def test_a_short_loop_is_played_several_times() -> None:
    assert pieces(B, at_ms=700, length_ms=800) == [("b", 100, 200), ("b", 0, 300), ("b", 0, 300)]


def test_the_time_before_the_first_segment_is_the_end_of_the_loop() -> None:
    assert pieces(A, B, at_ms=-50, length_ms=100) == [("b", 250, 50), ("a", 0, 50)]


clips = st.lists(st.integers(100, 5000), min_size=1, max_size=5)


@given(clips, st.integers(-10_000, 10**9), st.integers(1, 10**6))
def test_pieces_fill_the_time_without_a_gap(durations: list[int], at: int, length: int) -> None:
    played = list(play([a_clip(str(i), ms) for i, ms in enumerate(durations)], at, length))
    assert played[0].played_at == at
    assert sum(piece.length for piece in played) == length
    assert all(one.played_at + one.length == next_.played_at for one, next_ in pairwise(played))
    assert all(piece.start + piece.length <= piece.clip.duration_ms * SAMPLES_PER_MS for piece in played)


@given(clips, st.integers(-10_000, 10**9), st.integers(1, 10**6))
def test_what_is_played_at_a_time_does_not_depend_on_where_the_batch_began(
    durations: list[int], at: int, length: int
) -> None:
    files = [a_clip(str(i), ms) for i, ms in enumerate(durations)]
    starts = [0, *accumulate(ms * SAMPLES_PER_MS for ms in durations)]

    def place(piece: Piece) -> int:
        return (starts[int(piece.clip.name)] + piece.start - piece.played_at) % starts[-1]

    assert {place(piece) for piece in play(files, at, length)} == {0}
