"""Hosts on one machine: a name and a network of their own, workers on them, and what can befall both.

As root each host is a network namespace behind a pair of virtual interfaces, and a UTS namespace with its name; when
its network is cut, packets are lost and nobody is told. Otherwise a host is only a proxy to the database, which hangs
up.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.contract.tcp_proxy import TcpProxy
from tests.torture.campaign import TOP


def namespaces_missing() -> str:
    """Why hosts cannot have networks of their own here; nothing if they can."""
    if os.geteuid() != 0:
        return "it takes root"
    missing = [program for program in ("ip", "unshare") if shutil.which(program) is None]
    return f"it takes {missing[0]}" if missing else ""


class Host:
    """A machine that reaches the database over a network that can be cut."""

    def __init__(self, number: int, url: str) -> None:
        self.name = f"host{number}"
        self._number, self._server_url = number, url
        self._stack = ExitStack()
        self._apart = not namespaces_missing()
        self._namespace = f"trailkeep-{os.getpid()}-{number}"
        self._link = f"tk{os.getpid() % 100000}n{number}"

    def __enter__(self) -> Self:
        address = "127.0.0.1"
        if self._apart:
            address = self._stack.enter_context(self._network())
        self._proxy = self._stack.enter_context(TcpProxy(self._server_url, address))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def cut(self) -> None:
        """Cut the host off from the database."""
        if self._apart:
            _ip("link", "set", self._link, "down")
        else:
            self._proxy.go_away()

    def join(self) -> None:
        """Let it reach the database again."""
        if self._apart:
            _ip("link", "set", self._link, "up")
        else:
            self._proxy.come_back()

    def start(self, directory: Path, lease_s: float, log: Path) -> "subprocess.Popen[bytes]":
        """A worker on this host."""
        command = [sys.executable, "-m", "tests.torture.host_worker", self._proxy.url, str(directory)]
        if self._apart:
            named = f'echo {self.name} > /proc/sys/kernel/hostname && exec "$0" "$@"'
            command = ["ip", "netns", "exec", self._namespace, "unshare", "--uts", "sh", "-c", named, *command]
        with log.open("ab") as said:
            return subprocess.Popen(
                command,
                cwd=TOP,
                env={**os.environ, "TRAILKEEP_LEASE_SECONDS": str(lease_s)},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    @contextmanager
    def _network(self) -> Iterator[str]:
        """A namespace with an interface; the address of our end of it."""
        ours, theirs = (f"10.213.{self._number}.{end}" for end in (1, 2))
        inside = f"{self._link}i"
        _ip("netns", "add", self._namespace)
        try:
            _ip("link", "add", self._link, "type", "veth", "peer", "name", inside, "netns", self._namespace)
            _ip("address", "add", f"{ours}/30", "dev", self._link)
            _ip("link", "set", self._link, "up")
            for words in (("address", "add", f"{theirs}/30", "dev", inside), ("link", "set", inside, "up")):
                _ip("-n", self._namespace, *words)
            _ip("-n", self._namespace, "link", "set", "lo", "up")
            yield ours
        finally:
            _ip("netns", "delete", self._namespace)  # and its interface with it


def end(worker: "subprocess.Popen[bytes]") -> int:
    """Have a worker end in order, whatever state it is in, and wait for it."""
    worker.send_signal(signal.SIGCONT)
    worker.terminate()
    return worker.wait(timeout=120)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
