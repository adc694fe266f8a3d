"""A process that appends to sessions of its own and says so when it is ready: URL, first session, threads, events."""

import sys
from concurrent.futures import ThreadPoolExecutor

from persistence.engine import open_engine
from persistence.event_log import SqlEventLog
from tests.contract.log_events import fill


def main(url: str, first: str, threads: str, count: str) -> None:
    engine = open_engine(url)
    log = SqlEventLog(engine)
    log.head()
    print("ready", flush=True)
    sys.stdin.readline()
    sessions = range(int(first), int(first) + int(threads))
    with ThreadPoolExecutor(int(threads)) as pool:
        list(pool.map(lambda of: fill(log, int(count), of=of), sessions))
    engine.dispose()


if __name__ == "__main__":
    main(*sys.argv[1:])
