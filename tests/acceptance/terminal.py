"""A terminal: what a command shows to somebody who sits at one, and what stays on the screen in the end."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

COLUMNS, ROWS = 200, 100
CONTROL = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")


def at_a_terminal(
    command: Sequence[str], *, stdout: Path | None = None, stderr: Path | None = None, **environment: str
) -> tuple[int, str]:
    """Run the command at a terminal, or with one of its streams in a file; its exit code, and what the terminal got."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    inherited = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "COLUMNS", "LINES"}}
    with ExitStack() as files:
        process = files.enter_context(
            subprocess.Popen(
                command,
                stdin=slave,
                stdout=files.enter_context(stdout.open("w")) if stdout else slave,
                stderr=files.enter_context(stderr.open("w")) if stderr else slave,
                env={**inherited, "TERM": "xterm-256color", **environment},
            )
        )
        os.close(slave)
        shown = _read(master)
        return process.wait(timeout=60), shown


def _read(master: int) -> str:
    """All that is written until nobody has the terminal open any more, which reading tells as an error."""
    written = b""
    with suppress(OSError):
        while data := os.read(master, 65536):
            written += data
    os.close(master)
    return written.decode()


def screen(written: str) -> list[str]:
    """The lines that are on the screen in the end."""
    lines, row, column = [""], 0, 0
    at = 0
    while at < len(written):
        if control := CONTROL.match(written, at):
            at = control.end()
            if control[2] == "A":
                row = max(0, row - int(control[1] or 1))
            elif control[2] == "K":
                lines[row] = "" if control[1] == "2" else lines[row][:column]
            else:
                assert control[2] in "mhl", f"the screen does not know {control[0]!r}"
            continue
        character = written[at]
        at += 1
        if character == "\r":
            column = 0
        elif character == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        else:
            lines[row] = lines[row].ljust(column)[:column] + character + lines[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]
