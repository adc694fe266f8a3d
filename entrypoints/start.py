"""The program `trailkeep`: the command line, imported without looking for garbage.

Nothing that is imported is garbage. Without the search the program starts and ends in two thirds of the time; later the
search passes over all of this.
"""

import gc


def main() -> None:
    """Run the command line."""
    gc.disable()
    from entrypoints.cli import main as command_line  # noqa: PLC0415 what takes the time

    gc.freeze()
    gc.enable()
    command_line()
