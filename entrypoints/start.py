"""The program `trailkeep`: the command line, imported without looking for garbage.

Nothing that is imported is garbage. Without the search the program starts and ends in two thirds of the time; later the
search passes over all of this.
"""

import gc
import sys

INTERRUPTED = 130
"""What shells expect of a program that SIGINT ended."""


def main() -> None:
    """Run the command line."""
    gc.disable()
    try:
        from entrypoints.cli import main as command_line  # noqa: PLC0415 what takes the time
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)  # nothing has begun, so there is nothing to say
    gc.freeze()
    gc.enable()
    command_line()
