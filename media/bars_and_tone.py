"""Material out of nothing: colour bars with the session's clock in them, and a tone of 1 kHz.

Everything is a function of the session's time, so a batch goes on exactly where the one before ended. The clock is
drawn with boxes, digit by digit as on a seven-segment display: the text filter needs a font that a server may lack.
"""

from collections.abc import Iterator

from media.graph import SOUND_FORMAT, Graph, Size
from media.grid import SAMPLE_RATE, BatchGrid

TONE_HZ = 1000

# left, top, width and height of each stroke of a digit on a raster of 3 x 7, and the digits that show it
_STROKES = (
    (0, 0, 3, 1, "02356789"),
    (2, 0, 1, 4, "01234789"),
    (2, 3, 1, 4, "013456789"),
    (0, 6, 3, 1, "0235689"),
    (0, 3, 1, 4, "0268"),
    (0, 0, 1, 4, "045689"),
    (0, 3, 3, 1, "2345689"),
)
_PLACES = (1, 5, 11, 15, 21, 25, 31, 35)  # left of each digit of hh mm ss ff on a raster of 39 columns
_COLUMNS, _ROWS = 39, 11


class BarsAndTone:
    """The generated material. It never changes and never ends."""

    def refresh(self) -> None:
        """Nothing can have changed."""

    def check(self) -> None:
        """Nothing can have changed."""

    def title(self) -> str:
        """What it is."""
        return "bars and tone"

    def facts(self) -> tuple[str, ...]:
        """It is always the same."""
        return (self.title(),)

    def position(self, at_ms: int) -> str:
        """What the clock in the picture shows, to the millisecond."""
        seconds, ms = divmod(at_ms, 1000)
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ms:03}"

    def graph(self, grid: BatchGrid, size: Size) -> Graph:
        """Bars with the clock, and the tone with a beep at each full second."""
        frames = grid.end_frame - grid.first_frame
        into_second = grid.encoded_from % SAMPLE_RATE  # the tone's generator always begins at a full second
        picture = ",".join(
            (
                f"smptehdbars=size={size.width}x{size.height}:rate={grid.frame_rate}",
                f"trim=end_frame={frames}",
                "format=yuv420p",
                *_clock(grid, size),
            )
        )
        sound = (
            f"sine=frequency={TONE_HZ}:beep_factor=4:sample_rate={SAMPLE_RATE},"
            f"atrim=start_sample={into_second}:end_sample={into_second + grid.encoded_samples},{SOUND_FORMAT}"
        )
        return Graph((), (f"{picture}[picture]", f"{sound}[sound]"))


def _clock(grid: BatchGrid, size: Size) -> Iterator[str]:
    """Boxes that show the session's time of each frame as hh mm ss ff."""
    unit = max(1, size.width // (_COLUMNS * 2))
    left, top = (size.width - _COLUMNS * unit) // 2, (size.height - _ROWS * unit) // 2
    yield f"drawbox=x={left}:y={top}:w={_COLUMNS * unit}:h={_ROWS * unit}:color=black:t=fill"
    for place, digit in zip(_PLACES, _digits(grid), strict=True):
        for x, y, width, height, shown_by in _STROKES:
            mask = sum(1 << int(shown) for shown in shown_by)
            yield (
                f"drawbox=x={left + (place + x) * unit}:y={top + (2 + y) * unit}:w={width * unit}:h={height * unit}"
                f":color=white:t=fill:enable='bitand({mask},pow(2,{digit}))'"
            )


def _digits(grid: BatchGrid) -> Iterator[str]:
    """An expression for each digit of the clock, in the number ``n`` of the frame within the batch."""
    rate, frame = grid.frame_rate, f"(n+{grid.first_frame})"
    for unit, base in ((rate * 3600, 100), (rate * 60, 60), (rate, 60), (1, rate)):
        value = f"mod(floor({frame}/{unit}),{base})"
        yield f"floor({value}/10)"
        yield f"mod({value},10)"
