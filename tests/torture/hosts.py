"""Hosts on one machine: a name and a network of their own, workers on them, and what can befall both.

As root each host is a network namespace behind a pair of virtual interfaces, and a UTS namespace with its name; when
its network is cut, packets are lost and nobody is told. Otherwise a host is only a proxy to the database, which hangs
up. All of it is gone with this process, however that ends: the namespaces belong to one that the kernel kills then.
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
    missing = [program for program in ("ip", "unshare", "nsenter", "setpriv") if shutil.which(program) is None]
    return f"it takes {missing[0]}" if missing else ""


class Host:
    """A machine that reaches the database over a network that can be cut."""

    def __init__(self, number: int, url: str) -> None:
        self.name = f"host{number}"
        self._number, self._server_url = number, url
        self._stack = ExitStack()
        self._apart = not namespaces_missing()
        self._link = f"tk{os.getpid() % 10**7}n{number}"
        self._inside: list[str] = []

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
        worker = [sys.executable, "-m", "tests.torture.host_worker", self._proxy.url, str(directory)]
        command = [*_WITH_US, *self._inside, *worker] if self._apart else worker
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
        ours, theirs = _addresses(2 * os.getpid() + self._number)
        named = f"echo {self.name} > /proc/sys/kernel/hostname && echo ready && exec sleep infinity"
        command = [*_WITH_US, "unshare", "--net", "--uts", "sh", "-c", named]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as owner:
            try:
                assert owner.stdout is not None
                assert owner.stdout.readline() == b"ready\n"
                self._inside = ["nsenter", f"--net=/proc/{owner.pid}/ns/net", f"--uts=/proc/{owner.pid}/ns/uts"]
                peer = ("peer", "name", "eth0", "netns", str(owner.pid))
                _ip("link", "add", self._link, "type", "veth", *peer)
                _ip("address", "add", f"{ours}/30", "dev", self._link)
                _ip("link", "set", self._link, "up")
                for words in (f"address add {theirs}/30 dev eth0", "link set eth0 up", "link set lo up"):
                    _run(*self._inside, "ip", *words.split())
                yield ours
            finally:
                owner.kill()


_WITH_US = ("setpriv", "--pdeathsig", "KILL")


def _addresses(number: int) -> tuple[str, str]:
    """Both ends of a network of four addresses: another one for each host of each campaign that may run just now."""
    third, fourth = divmod(number % 2**14 * 4, 256)
    return f"10.213.{third}.{fourth + 1}", f"10.213.{third}.{fourth + 2}"


def end(worker: "subprocess.Popen[bytes]") -> int:
    """Have a worker end in order, whatever state it is in, and wait for it."""
    worker.send_signal(signal.SIGCONT)
    worker.terminate()
    return worker.wait(timeout=120)


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
