"""The takeover campaign: four workers on two hosts share a log in Postgres, and nothing around them can be relied on.

    python -m tests.torture.takeovers --seeds 0 --takeovers 500

Workers are stopped for a while (SIGSTOP), killed, cut off from the database; the database is stopped at once, or
killed. Work goes on wherever somebody is left. A takeover is a lease that another worker gets. In the end everything is
let go on, ended in order, and judged by the log, the disk and `verify`. Each seed that fails is a line of JSON on
stdout; the last line says what was done, with how long takeovers took, in leases.
"""

import argparse
import contextlib
import random
import signal
import statistics
import subprocess
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from persistence.engine import open_engine
from persistence.leases import SqlLeases
from tests.postgres_databases import Databases
from tests.postgres_server import PostgresServer
from tests.torture.campaign import Failure, Tally, arena_directory, numbers, tell
from tests.torture.hosts import Host, end
from tests.torture.takeover_judge import judge

LEASE_S = 1.0
HOSTS, WORKERS_EACH = 2, 2
LONGEST_S = 1800.0


class Fleet:
    """The hosts, their workers, and the database that they share."""

    def __init__(self, server: PostgresServer, url: str, directory: Path, hosts: Sequence[Host]) -> None:
        self.server, self.url, self.directory, self._hosts = server, url, directory, hosts
        self._workers = [self._start(host) for host in hosts for _ in range(WORKERS_EACH)]

    def befall(self, chance: random.Random, tally: Tally) -> None:
        """One of the things that happen, and time to get over it."""
        what = chance.choice(["kill"] * 4 + ["stop"] * 3 + ["cut"] * 2 + ["database"])
        tally.cases[what] += 1
        getattr(self, f"_{what}")(chance)

    def settle(self) -> None:
        """Let every worker end in order."""
        for host in self._hosts:
            host.join()
        for _, worker in self._workers:
            end(worker)

    def said(self) -> str:
        return "".join(path.read_text(errors="replace")[-4000:] for path in sorted(self.directory.glob("*.log")))

    def _start(self, host: Host) -> tuple[Host, "subprocess.Popen[bytes]"]:
        return host, host.start(self.directory, LEASE_S, self.directory / f"{host.name}.log")

    def _kill(self, chance: random.Random) -> None:
        at = chance.randrange(len(self._workers))
        host, worker = self._workers[at]
        worker.kill()
        worker.wait()
        time.sleep(LEASE_S * chance.uniform(0.5, 2))
        self._workers[at] = self._start(host)

    def _stop(self, chance: random.Random) -> None:
        _, worker = chance.choice(self._workers)
        worker.send_signal(signal.SIGSTOP)
        time.sleep(LEASE_S * chance.uniform(0.2, 3))
        worker.send_signal(signal.SIGCONT)

    def _cut(self, chance: random.Random) -> None:
        host = chance.choice(self._hosts)
        host.cut()
        time.sleep(LEASE_S * chance.uniform(0.2, 3))
        host.join()

    def _database(self, chance: random.Random) -> None:
        self.server.order("stop", chance.choice(["QUIT", "KILL"]))
        time.sleep(LEASE_S * chance.uniform(0, 1))
        self.server.order("start")


class Watcher:
    """Sees leases change hands; by the database's clock, and so in whatever state this process is."""

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url)
        self._leases = SqlLeases(self._engine)
        self._known: dict[str, tuple[str, int]] = {}
        self.takeovers = 0
        self.took: list[float] = []

    def look(self) -> None:
        with contextlib.suppress(Exception):  # the database may be away
            for lease in self._leases.all():
                before = self._known.get(lease.resource)
                if before and before[0] != lease.owner:
                    self.takeovers += 1
                    self.took.append((lease.acquired_at - before[1]) / 1e6 / LEASE_S)
                # When it was renewed last: from then on its owner may have been gone.
                if not before or before[0] != lease.owner or lease.live:
                    self._known[lease.resource] = (lease.owner, lease.expires_at - int(LEASE_S * 1e6))

    def close(self) -> None:
        self._engine.dispose()


class Takeovers:
    """One case a seed: a fleet that goes on until so many takeovers were seen."""

    def __init__(self, directory: Path, takeovers: int) -> None:
        self._directory, self._takeovers = directory, takeovers
        self.tally = Tally()
        self.took: list[float] = []

    def run(self, seeds: Sequence[int]) -> Iterator[Failure]:
        server = PostgresServer()
        try:
            databases = Databases(server.url())
            databases.make_template()
            for seed in seeds:
                try:
                    with databases.database() as url:
                        self._case(seed, server, url)
                except Exception:
                    command = f"python -m tests.torture.takeovers --seeds {seed} --takeovers {self._takeovers}"
                    yield Failure(seed, command, traceback.format_exc())
        finally:
            server.close()

    def _case(self, seed: int, server: PostgresServer, url: str) -> None:
        chance, directory = random.Random(seed), self._directory / str(seed)
        directory.mkdir()
        with contextlib.ExitStack() as stack:
            hosts = [stack.enter_context(Host(number, url)) for number in range(HOSTS)]
            fleet = Fleet(server, url, directory, hosts)
            watcher = Watcher(url)
            stack.callback(watcher.close)
            try:
                began = time.monotonic()
                time.sleep(2 * LEASE_S)
                while watcher.takeovers < self._takeovers:
                    assert time.monotonic() - began < LONGEST_S, f"only {watcher.takeovers} takeovers: {fleet.said()}"
                    watcher.look()
                    fleet.befall(chance, self.tally)
                    for _ in range(5):
                        watcher.look()
                        time.sleep(LEASE_S * chance.uniform(0.02, 0.2))
            finally:
                fleet.settle()
        self.tally.cases["takeovers"] += watcher.takeovers
        self.took += watcher.took
        for what, count in judge(url, directory).items():
            self.tally.cases[what] += count
        if self.took:
            self.tally.cases["median takeover, thousandths of a lease"] = round(1000 * statistics.median(self.took))
            self.tally.cases["slowest takeover, thousandths of a lease"] = round(1000 * max(self.took))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.takeovers", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=numbers, default="0", help="such as 0-4,7")
    parser.add_argument("--takeovers", type=int, default=500, help="how many each seed goes on for")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trailkeep-torture-", dir=arena_directory()) as directory:
        campaign = Takeovers(Path(directory), given.takeovers)
        tell(campaign.run(given.seeds), campaign.tally)


if __name__ == "__main__":
    main()
