"""The clock, fresh ids and the name of this process: what the domain must never reach for by itself."""

import os
import socket
import time
import uuid

import uuid_utils


class SystemClock:
    """The wall clock."""

    def now(self) -> int:
        """Microseconds since the epoch, UTC."""
        return time.time_ns() // 1000


class Uuids:
    """UUIDs in their canonical text form."""

    def new(self) -> str:
        """A UUIDv7 (RFC 9562 section 5.7)."""
        return str(uuid_utils.uuid7())

    def derive(self, namespace: str, name: str) -> str:
        """A UUIDv5 (RFC 9562 section 5.5)."""
        return str(uuid.uuid5(uuid.UUID(namespace), name))


def worker_name() -> str:
    """Host and process id: what events call this process."""
    return f"{socket.gethostname()}:{os.getpid()}"
