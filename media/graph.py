"""The filter graph of a batch: from the material's one picture and one sound to those of every rendition."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from media.grid import SAMPLE_RATE, BatchGrid

SOUND_FORMAT = f"aformat=sample_fmts=fltp:sample_rates={SAMPLE_RATE}:channel_layouts=stereo"


class Size(NamedTuple):
    """Width and height in square pixels."""

    width: int
    height: int

    def fit(self) -> str:
        """Filters that fit any picture into this size, with black bars where its shape differs."""
        width, height = self
        return (
            f"scale=w='max(2,2*round(min({width},{height}*dar)/2))':h='max(2,2*round(min({height},{width}/dar)/2))',"
            f"pad={width}:{height}:-1:-1,setsar=1,format=yuv420p"
        )


class Graph(NamedTuple):
    """Input arguments for the command line, and filter chains that end in ``[picture]`` and ``[sound]``."""

    inputs: tuple[str, ...]
    chains: tuple[str, ...]


class Material(Protocol):
    """What batches are made from, at any time of the session."""

    def refresh(self) -> None:
        """Look at the material again; what cannot be used now is taken to be as it was."""
        ...

    def check(self) -> None:
        """Make sure that the material is as it was at the last look.

        Raises:
            Invalid: it is not.

        """
        ...

    def title(self) -> str:
        """A few words that a person knows it by."""
        ...

    def facts(self) -> tuple[str, ...]:
        """What must stay the same for the material to be the same."""
        ...

    def position(self, at_ms: int) -> str:
        """Where in the material a time of the session lies, in words."""
        ...

    def graph(self, grid: BatchGrid, size: Size) -> Graph:
        """The picture of the grid's frames in this size, and the sound of the samples that are encoded for it.

        Raises:
            Invalid: no graph can be made of it.

        """
        ...


def render(graph: Graph, grid: BatchGrid, canvas: Size, sizes: Sequence[Size]) -> str:
    """The whole filter graph: output ``i`` has its picture at ``[v<i>]`` and its sound at ``[a<i>]``.

    Timestamps begin with 0 at the first frame of the picture; sound begins before it by the run-up.
    """
    pictures = "".join(f"[p{i}]" for i in range(len(sizes)))
    sounds = "".join(f"[a{i}]" for i in range(len(sizes)))
    start = grid.timestamp(grid.encoded_from)
    return ";\n".join(
        (
            *graph.chains,
            f"[picture]settb=1/{grid.frame_rate},setpts=N,fps={grid.frame_rate},split={len(sizes)}{pictures}",
            f"[sound]asettb=1/{SAMPLE_RATE},asetpts=N+{start},asplit={len(sizes)}{sounds}",
            *(f"[p{i}]{'null' if size == canvas else size.fit()}[v{i}]" for i, size in enumerate(sizes)),
        )
    )
