"""The clock, fresh ids and the name of this process: what the domain must never reach for by itself."""

import hashlib
import os
import resource
import socket
import time
from contextlib import suppress
from pathlib import Path

import uuid_utils

from domain.events import Uptime

DESCRIPTORS = 65_536
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PID_NAMESPACE = Path("/proc/self/ns/pid")


class SystemClock:
    """The wall clock and the machine's uptime."""

    def __init__(self) -> None:
        self._boot, self._host = BOOT_ID.read_text(encoding="ascii").strip(), host_name()

    def now(self) -> int:
        """Microseconds since the epoch, UTC."""
        return time.time_ns() // 1000

    def uptime(self) -> Uptime:
        """Time since the kernel started, with what it slept: no process and no operator can set it."""
        return Uptime(boot=self._boot, us=time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000, host=self._host)


class Uuids:
    """UUIDs in their canonical text form."""

    def new(self) -> str:
        """A UUIDv7 (RFC 9562 section 5.7)."""
        return str(uuid_utils.uuid7())

    def derive(self, namespace: str, name: str) -> str:
        """A UUIDv5 (RFC 9562 section 5.5); what is not Unicode in the name, which somebody typed, counts as escapes."""
        of = uuid_utils.UUID(namespace)
        return str(uuid_utils.uuid5(of, name.encode(errors="backslashreplace").decode()))


def allow_descriptors() -> None:
    """Let this process open as many files as it may, up to `DESCRIPTORS`, and not as few as shells begin with.

    A channel of many renditions takes a dozen while it is produced, and batches that are purged together one for each
    of their directories. Who may not raise the limit lives with it: what lacks a descriptor is tried again.
    """
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if most == resource.RLIM_INFINITY else min(most, DESCRIPTORS)
    if now != resource.RLIM_INFINITY and now < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def host_name() -> str:
    """What this machine calls itself."""
    return socket.gethostname()


class Lives:
    """Names the lives of processes, and tells which have ended: of those whose ids mean the same as here."""

    def __init__(self) -> None:
        boot, namespace = BOOT_ID.read_text(encoding="ascii").strip(), PID_NAMESPACE.readlink()
        self._here = hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:8]

    def name(self, once: str) -> str:
        """The name of this life; ``once`` tells it from that of a later process with the same id."""
        return f"{worker_name()}:{self._here}:{once}"

    def gone(self, name: str) -> bool:
        """Whether that process has ended, for sure. Of another machine, or another container, nobody knows here."""
        match name.rsplit(":", 3):
            case [_, pid, where, _] if where == self._here and pid.isdigit():
                return not Path("/proc", pid).exists()
        return False


def worker_name() -> str:
    """Host and process id: what events call this process."""
    return f"{host_name()}:{os.getpid()}"
