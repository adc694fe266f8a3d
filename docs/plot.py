"""Draws explanation/scale.svg from explanation/scale.json, the figures of `python -m benchmarks.growth`.

The same figures give the same text: a test holds the committed picture to it.
"""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
FIGURES, PICTURE = DOCS / "explanation" / "scale.json", DOCS / "explanation" / "scale.svg"

WIDTH, HEIGHT, LEFT, TOP, GAP = 340, 260, 60, 40, 70
COLOURS = {
    "append": "#0b7285",
    "replay": "#868e96",
    "projection": "#5f3dc4",
    "load": "#e67700",
    "batch": "#2b8a3e",
    "purge": "#c92a2a",
}
LOWEST, HIGHEST = 0, 5
"""Powers of ten that the vertical axis has, in microseconds."""

Point = tuple[float, float]


def drawn(figures: dict[str, Any]) -> str:
    """The picture: cost against the size of the log on the left, against the number of channels on the right."""
    rows = figures["rows"]
    channels = min(row["channels"] for row in rows)
    events = sorted(row["events"] for row in rows)[1]
    by_size = [row for row in rows if row["channels"] == channels]
    by_channels = [row for row in rows if 0.5 < row["events"] / events < 2.5]
    size = f'width="{2 * WIDTH + LEFT + 2 * GAP}" height="{HEIGHT + 3 * TOP}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        *_panel(LEFT, f"events in the log, {channels} channels", "events", by_size),
        *_panel(LEFT + WIDTH + GAP, "channels, 100,000 to 220,000 events", "channels", by_channels),
        *_legend(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _panel(left: int, title: str, axis: str, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    powers = [math.log10(row[axis]) for row in rows]
    first, last = math.floor(min(powers) + 0.05), math.ceil(max(powers) - 0.05)
    yield f'<text x="{left}" y="{TOP - 14}">microseconds of the processor: {title}</text>'
    for power in range(LOWEST, HIGHEST + 1):
        y = _y(10**power)
        yield f'<line x1="{left}" y1="{y}" x2="{left + WIDTH}" y2="{y}" stroke="#dee2e6"/>'
        yield f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{10**power:,}</text>'
    for power in range(first, last + 1):
        x = _x(left, 10**power, first, last)
        yield f'<text x="{x}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{10**power:,}</text>'
    for name, colour in COLOURS.items():
        points = sorted((_x(left, row[axis], first, last), _y(row[name])) for row in rows)
        line = " ".join(f"{x},{y}" for x, y in points)
        yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield from (f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in points)


def _legend() -> Iterator[str]:
    for number, (name, colour) in enumerate(COLOURS.items()):
        x, y = LEFT + number * 130, TOP + HEIGHT + 52
        yield f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{colour}"/>'
        yield f'<text x="{x + 18}" y="{y}">{name}</text>'


def _x(left: int, value: float, first: int, last: int) -> float:
    return round(left + WIDTH * (math.log10(value) - first) / max(1, last - first), 1)


def _y(microseconds: float) -> float:
    return round(TOP + HEIGHT * (HIGHEST - math.log10(microseconds)) / (HIGHEST - LOWEST), 1)


if __name__ == "__main__":
    PICTURE.write_text(drawn(json.loads(FIGURES.read_text(encoding="utf-8"))), encoding="utf-8")
    sys.stdout.write(f"{PICTURE.relative_to(DOCS.parent)}\n")
