"""The harms that can be done to a store: to its bytes, to its rows, to its files.

Each is a function of the ground that it is done on and of a random number generator: so a seed tells it whole.
"""

import random
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from domain.merkle import leaf_hash
from tests.torture.harmed_store import GUARDS, PAGE, Ground

Harm = Callable[[Ground, random.Random], object]
HARMS: dict[str, Harm] = {}
ANYWHERE: set[str] = set()
"""Those that may strike what nothing is stored in, or what is stored once more: then they do no harm."""


def harm(function: Harm) -> Harm:
    HARMS[function.__name__] = function
    return function


def harm_anywhere(function: Harm) -> Harm:
    ANYWHERE.add(function.__name__)
    return harm(function)


# -- the bytes of the database ---------------------------------------------------------------------------------------


def overwritten(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def flipped(path: Path, rng: random.Random, at: int) -> None:
    before = path.read_bytes()[at]
    overwritten(path, at, bytes([before ^ (1 << rng.randrange(8))]))


def a_page(ground: Ground, rng: random.Random) -> int:
    """Where a page begins."""
    return rng.randrange(ground.database.stat().st_size // PAGE) * PAGE


@harm_anywhere
def flipped_bit(ground: Ground, rng: random.Random) -> None:
    flipped(ground.database, rng, rng.randrange(ground.database.stat().st_size))


@harm_anywhere
def flipped_bit_of_an_event(ground: Ground, rng: random.Random) -> None:
    """Somewhere in what a line says."""
    _, line = rng.choice(ground.events())
    inside = line[: rng.randrange(40, 120)]
    found = ground.database.read_bytes().find(inside)
    assert found > 0
    flipped(ground.database, rng, found + rng.randrange(len(inside)))


@harm_anywhere
def overwritten_bytes(ground: Ground, rng: random.Random) -> None:
    overwritten(
        ground.database, rng.randrange(ground.database.stat().st_size - 64), rng.randbytes(rng.randrange(2, 64))
    )


@harm_anywhere
def zeroed_page(ground: Ground, rng: random.Random) -> None:
    overwritten(ground.database, a_page(ground, rng), bytes(PAGE))


@harm_anywhere
def page_of_noise(ground: Ground, rng: random.Random) -> None:
    overwritten(ground.database, a_page(ground, rng), rng.randbytes(PAGE))


@harm_anywhere
def swapped_pages(ground: Ground, rng: random.Random) -> None:
    content, one, other = ground.database.read_bytes(), a_page(ground, rng), a_page(ground, rng)
    while content[one : one + PAGE] == content[other : other + PAGE]:
        other = a_page(ground, rng)
    overwritten(ground.database, one, content[other : other + PAGE])
    overwritten(ground.database, other, content[one : one + PAGE])


@harm_anywhere
def page_of_an_old_copy(ground: Ground, rng: random.Random) -> None:
    """As a write that was lost leaves it."""
    content, old = ground.database.read_bytes(), rng.choice(ground.stale[:-1])
    pages = [at for at in range(0, min(len(old), len(content)), PAGE) if old[at : at + PAGE] != content[at : at + PAGE]]
    at = rng.choice(pages)
    overwritten(ground.database, at, old[at : at + PAGE])


@harm_anywhere
def truncated_database(ground: Ground, rng: random.Random) -> None:
    with ground.database.open("r+b") as file:
        file.truncate(rng.randrange(ground.database.stat().st_size))


@harm
def old_copy(ground: Ground, rng: random.Random) -> None:
    ground.database.write_bytes(rng.choice(ground.stale[:-1]))


# -- the write-ahead log ---------------------------------------------------------------------------------------------


def put_write_ahead(ground: Ground, wal: bytes, database: bytes | None = None) -> None:
    ground.database.write_bytes(ground.write_ahead[0] if database is None else database)
    ground.wal.write_bytes(wal)


@harm_anywhere
def truncated_write_ahead_log(ground: Ground, rng: random.Random) -> None:
    wal = ground.write_ahead[1]
    put_write_ahead(ground, wal[: rng.randrange(len(wal))])


@harm_anywhere
def flipped_bit_of_the_write_ahead_log(ground: Ground, rng: random.Random) -> None:
    put_write_ahead(ground, ground.write_ahead[1])
    flipped(ground.wal, rng, rng.randrange(len(ground.write_ahead[1])))


@harm
def lost_write_ahead_log(ground: Ground, _: random.Random) -> None:
    put_write_ahead(ground, b"")


@harm
def write_ahead_log_over_another_copy(ground: Ground, rng: random.Random) -> None:
    put_write_ahead(ground, ground.write_ahead[1], rng.choice(ground.stale[:-2]))


# -- the rows of the log ---------------------------------------------------------------------------------------------


def altered(line: bytes, rng: random.Random) -> bytes:
    """The line with another digit or another word in it, which can still be read."""
    kinds = [
        (rb'"disposition":"keep"', b'"disposition":"purge"'),
        (rb'"availability":"rfc8216"', b'"availability":"off"'),
        (rb'"keep_previous":[0-9]', b'"keep_previous":1'),
        (rb'"recorded_at":[0-9]', b'"recorded_at":1'),
        (rb'"duration_ms":[0-9]', b'"duration_ms":1'),
        (rb'"batch":[0-9]', b'"batch":%d' % rng.randrange(6)),
        (rb'"size":[0-9]', b'"size":%d' % rng.randrange(1, 10)),
        (rb'"number":[0-9]', b'"number":%d' % rng.randrange(10)),
        (rb'"actor":"[a-z]', b'"actor":"x'),
    ]
    rng.shuffle(kinds)
    for old, new in kinds:
        other = re.sub(old, new, line, count=1)
        if other != line:
            return other
    return line.replace(b'"worker":"', b'"worker":"x', 1)


@harm
def deleted_row(ground: Ground, rng: random.Random) -> None:
    position, _ = rng.choice(ground.events())
    ground.sql("DELETE FROM events WHERE position = ?", position)


@harm
def altered_line(ground: Ground, rng: random.Random) -> None:
    position, line = rng.choice(ground.events())
    ground.sql("UPDATE events SET line = ? WHERE position = ?", altered(line, rng), position)


@harm
def altered_line_with_its_hash(ground: Ground, rng: random.Random) -> None:
    position, line = rng.choice(ground.events())
    other = altered(line, rng)
    ground.sql("UPDATE events SET line = ?, leaf_hash = ? WHERE position = ?", other, leaf_hash(other), position)


@harm
def kept_no_more(ground: Ground, _: random.Random) -> None:
    """What would make most files go: the session that is closed to be kept is closed to be purged, with its hash."""
    position, line = next(one for one in ground.events() if b'"disposition":"keep"' in one[1])
    other = line.replace(b'"disposition":"keep"', b'"disposition":"purge"')
    ground.sql("UPDATE events SET line = ?, leaf_hash = ? WHERE position = ?", other, leaf_hash(other), position)


@harm
def never_closed(ground: Ground, _: random.Random) -> None:
    """The same by a row that goes to another session: its own would be open again, and its batch due."""
    position, _line = next(one for one in ground.events() if b'"disposition":"keep"' in one[1])
    ground.sql("UPDATE events SET session_id = randomblob(16) WHERE position = ?", position)


@harm
def swapped_versions(ground: Ground, rng: random.Random) -> None:
    position, _ = rng.choice(ground.events()[:-4])
    rows = ground.sql(
        """SELECT position, version FROM events WHERE position >= ? AND session_id =
            (SELECT session_id FROM events WHERE position = ?) ORDER BY version LIMIT 2""",
        position,
        position,
    )
    if len(rows) < 2:
        return altered_line(ground, rng)
    (one, version), (other, later) = rows
    ground.sql("UPDATE events SET version = -1 WHERE position = ?", one)
    ground.sql("UPDATE events SET version = ? WHERE position = ?", version, other)
    ground.sql("UPDATE events SET version = ? WHERE position = ?", later, one)
    return None


@harm
def swapped_lines(ground: Ground, rng: random.Random) -> None:
    """Two rows in each other's place, each whole."""
    (one, _), (other, _) = rng.sample(ground.events(), 2)
    ground.sql("UPDATE events SET position = -1 WHERE position = ?", one)
    ground.sql("UPDATE events SET position = ? WHERE position = ?", one, other)
    ground.sql("UPDATE events SET position = ? WHERE position = -1", other)


@harm
def altered_column(ground: Ground, rng: random.Random) -> None:
    position, _ = rng.choice(ground.events())
    column = rng.choice(
        [
            "version = version + 1000",
            "session_id = randomblob(16)",
            "event_id = randomblob(16)",
            "leaf_hash = randomblob(32)",
            "leaf_hash = x''",
            "position = position + 1000",
        ]
    )
    ground.sql(f"UPDATE events SET {column} WHERE position = ?", position)


@harm
def cut_tail(ground: Ground, rng: random.Random) -> None:
    """The newest rows are gone, and the head says that they never were."""
    head = ground.events()[-1][0] - rng.randrange(1, 12)
    ground.sql("DELETE FROM events WHERE position > ?", head)
    ground.sql("UPDATE log_head SET position = ?", head)


@harm
def altered_head(ground: Ground, rng: random.Random) -> None:
    ground.sql(f"UPDATE log_head SET position = {rng.choice(['0', 'position - 5', 'position + 5', '1 << 60', '-1'])}")


@harm
def altered_seal(ground: Ground, rng: random.Random) -> None:
    change = rng.choice(["size = size - 1", "size = size + 1", "root = randomblob(32)", "frontier = x''", "size = -9"])
    ground.sql(f"UPDATE seal SET {change}")


@harm
def lost_guard(ground: Ground, rng: random.Random) -> None:
    with closing(sqlite3.connect(ground.database)) as connection:
        connection.execute(f"DROP TRIGGER {rng.choice(connection.execute(GUARDS).fetchall())[0]}")


@harm
def newer_schema(ground: Ground, _: random.Random) -> None:
    ground.sql("UPDATE alembic_version SET version_num = 'v9999'")


@harm
def newer_event(ground: Ground, rng: random.Random) -> None:
    position, line = rng.choice(ground.events())
    other = line.replace(b'"schema":1,', b'"schema":99,')
    ground.sql("UPDATE events SET line = ?, leaf_hash = ? WHERE position = ?", other, leaf_hash(other), position)


@harm
def another_store(ground: Ground, _: random.Random) -> None:
    ground.sql("UPDATE store SET store_id = '00000000-0000-4000-8000-000000000000'")


@harm
def lying_agenda(ground: Ground, rng: random.Random) -> None:
    """Every batch is said to be due since long."""
    ground.sql("DELETE FROM agenda")
    ground.sql("INSERT INTO agenda SELECT session_id, batch, 1 FROM batch_ledger")
    if rng.random() < 0.5:
        ground.sql("INSERT INTO agenda VALUES ('nobody', 0, 1)")


@harm
def lying_read_models(ground: Ground, rng: random.Random) -> None:
    change = rng.choice(
        [
            "UPDATE batch_ledger SET state = 'purged'",
            "UPDATE batch_ledger SET positions = 'none'",
            "DELETE FROM session_summaries WHERE channel = 'news'",
            "UPDATE session_summaries SET root = '/nowhere', state = 'closed'",
            "UPDATE checkpoints SET position = 100000",
            "UPDATE checkpoints SET position = 0",
            "DELETE FROM batch_ledger",
        ]
    )
    ground.sql(change)


# -- files -----------------------------------------------------------------------------------------------------------


def a_segment(ground: Ground, rng: random.Random) -> Path:
    """One that a batch keeps: what is to be purged anyway may be whatever it likes (R11)."""
    going = {ground.root / "loop" / "v" / f"v_segment_00{number}.ts" for number in (4, 5)}
    return rng.choice(sorted(ground.segments - going))


@harm
def truncated_segment(ground: Ground, rng: random.Random) -> None:
    path = a_segment(ground, rng)
    with path.open("r+b") as file:
        file.truncate(rng.randrange(path.stat().st_size))


@harm
def replaced_segment(ground: Ground, rng: random.Random) -> None:
    path = a_segment(ground, rng)
    path.unlink()
    path.write_bytes(rng.randbytes(20))


@harm
def deleted_segment(ground: Ground, rng: random.Random) -> None:
    a_segment(ground, rng).unlink()


@harm
def link_for_a_segment(ground: Ground, rng: random.Random) -> None:
    path, other = a_segment(ground, rng), a_segment(ground, rng)
    path.unlink()
    path.symlink_to(other)


@harm
def deleted_batch_directory(ground: Ground, rng: random.Random) -> None:
    shutil.rmtree(a_segment(ground, rng).parent)


def a_playlist(ground: Ground, rng: random.Random) -> Path:
    return rng.choice(sorted(ground.directory.rglob("*.m3u8")))


@harm
def truncated_playlist(ground: Ground, rng: random.Random) -> None:
    path = a_playlist(ground, rng)
    with path.open("r+b") as file:
        file.truncate(rng.randrange(path.stat().st_size))


@harm
def replaced_playlist(ground: Ground, rng: random.Random) -> None:
    a_playlist(ground, rng).write_bytes(rng.choice([b"", rng.randbytes(200), b"#EXTM3U\nv_segment_000.ts\n"]))


@harm
def deleted_playlist(ground: Ground, rng: random.Random) -> None:
    a_playlist(ground, rng).unlink()


@harm
def other_marker(ground: Ground, rng: random.Random) -> None:
    marker = ground.root / ".trailkeep-root"
    marker.unlink()
    content = rng.choice([None, b"", b"{}", b'{"store_id":"another","root_id":"one"}\n'])
    if content is not None:
        marker.write_bytes(content)


@harm
def other_root(ground: Ground, rng: random.Random) -> None:
    """The disk is not mounted, or another one is."""
    shutil.rmtree(ground.root)
    if rng.random() < 0.5:
        ground.root.mkdir()
