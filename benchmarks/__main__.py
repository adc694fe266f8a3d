"""Run the benchmarks and print their tables: `python -m benchmarks [FIGURE]... [--json FILE]`.

They write below the directory for temporary files; TMPDIR chooses another filesystem.
"""

import platform
import tempfile
from pathlib import Path

import click
import msgspec
from rich.console import Console

from benchmarks import append, latency, load, postgres, purge, replay, run, size
from benchmarks.measure import count_cpu_time, quiet, show

SCRIPTS = {
    "append": append.measure,
    "append-grouped": append.measure_grouped,
    "replay": replay.measure,
    "replay-short": replay.measure_short,
    "load": load.measure,
    "load-longer": load.measure_longer,
    "size": size.measure,
    "purge": purge.measure,
    "latency": latency.measure,
    "latency-postgres": latency.measure_postgres,
    "postgres": postgres.measure,
    "postgres-slow-flush": postgres.measure_slow,
    "run": run.measure,
    "run-longer": run.measure_longer,
    "run-large": run.measure_large,
}
SLOW = {"load-longer", "run-longer", "run-large"}


@click.command()
@click.argument("figures", nargs=-1, type=click.Choice(list(SCRIPTS)))
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures here too."
)
@click.option("--cpu", is_flag=True, help="Count the time of the processor alone, in append, replay and load.")
def main(figures: tuple[str, ...], json_file: Path | None, *, cpu: bool) -> None:
    """Measure FIGURES, or all of them but the slow ones, each beside its peer."""
    if cpu:
        count_cpu_time()
    quiet()
    console, measured = Console(), []
    for name in figures or [name for name in SCRIPTS if name not in SLOW]:
        with tempfile.TemporaryDirectory(prefix="trailkeep-bench-") as directory:
            figure = SCRIPTS[name](Path(directory))
        show(console, figure)
        measured.append(figure)
    if json_file:
        document = {"python": platform.python_version(), "machine": platform.machine(), "figures": measured}
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


if __name__ == "__main__":
    main()
