"""Run the benchmarks and print their tables: `python -m benchmarks [FIGURE]... [--json FILE]`.

They write below the directory for temporary files; TMPDIR chooses another filesystem.
"""

import platform
import tempfile
from pathlib import Path

import click
import msgspec
from rich.console import Console

from benchmarks import append, purge, replay, run
from benchmarks.measure import show

SCRIPTS = {"append": append.measure, "replay": replay.measure, "purge": purge.measure, "run": run.measure}


@click.command()
@click.argument("figures", nargs=-1, type=click.Choice(list(SCRIPTS)))
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures here too."
)
def main(figures: tuple[str, ...], json_file: Path | None) -> None:
    """Measure FIGURES, or all of them, each beside its peer."""
    console, measured = Console(), []
    for name in figures or SCRIPTS:
        with tempfile.TemporaryDirectory(prefix="trailkeep-bench-") as directory:
            figure = SCRIPTS[name](Path(directory))
        show(console, figure)
        measured.append(figure)
    if json_file:
        document = {"python": platform.python_version(), "machine": platform.machine(), "figures": measured}
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


if __name__ == "__main__":
    main()
