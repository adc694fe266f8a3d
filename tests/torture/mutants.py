"""Mutants of the protocol: the product with one promise broken, each of which a campaign has to catch.

`python -m tests.torture.mutants` makes the table of which campaign catches which. A mutant is the tree copied with one
piece of text replaced, so nothing in the product knows of it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.torture.campaign import TOP, arena_directory

CAMPAIGNS = {
    "histories": ("tests/property/test_histories.py",),
    "kills": ("tests/torture/test_kills.py",),
    "power cuts": ("tests/torture/test_power_cuts.py",),
    "faults": ("tests/torture/test_faults.py",),
    "hostile files": ("tests/torture/test_hostile_names.py", "tests/torture/test_racer.py"),
    "damage": ("tests/torture/test_damage.py",),
    "clock jumps": ("tests/torture/test_clock_jumps.py",),
    "unmounted disks": ("tests/integration/test_unmounted_disks.py",),
}
"""Each by its short slice, which is what `make test` runs."""

COPIED = ("domain", "application", "persistence", "media", "entrypoints", "migrations", "tests", "pyproject.toml")
TESTS_FAILED = 1


class Mutant(NamedTuple):
    """What is broken, where, and the campaigns that are asked, the likeliest first."""

    name: str
    file: str
    old: str
    new: str
    asked: tuple[str, ...]


MUTANTS = (
    Mutant(
        "unlink before the authorisation",
        "application/purger.py",
        "        command = IssuePurge(",
        "        self._files.delete_each(session.terms.media_root.path, [(session.terms.channel, identities)])\n"
        "        command = IssuePurge(",
        ("kills", "power cuts", "histories"),
    ),
    Mutant(
        "outcome before the unlink",
        "application/purger.py",
        "                deletions = self._files.delete_each("
        "root.path, [(_channel(one), one.purge.files) for one in going])\n"
        "            return self._record(going, deletions)\n",
        "                done = self._record(going, [Deletion(deleted=one.purge.files) for one in going])\n"
        "                self._files.delete_each(root.path, [(_channel(one), one.purge.files) for one in going])\n"
        "            return done\n",
        ("kills", "power cuts", "histories"),
    ),
    Mutant(
        "unlink before the journal tells of it",
        "application/journal.py",
        "            self._write(root, known, event_ids, lines)\n            self._shorten(root)\n",
        "            full = True\n            self._shorten(root)\n",
        ("kills",),
    ),
    Mutant(
        "a line that another process wrote counts as flushed",
        "application/journal.py",
        "self._journals.flush(root.path)",
        "pass",
        ("power cuts",),
    ),
    Mutant(
        "no flush of a directory after unlinks",
        "media/deletion.py",
        'flush(directory, root, f"a directory of channel {self._channel}")',
        "assert directory",
        ("power cuts",),
    ),
    Mutant(
        "synchronous=NORMAL",
        "persistence/sqlite.py",
        '"synchronous=FULL"',
        '"synchronous=NORMAL"',
        ("power cuts",),
    ),
    Mutant(
        "segments not flushed before BatchCompleted",
        "media/segment_root.py",
        "            flush(descriptor, root, file)\n",
        "            pass\n",
        ("power cuts",),
    ),
    Mutant(
        "directories not flushed before BatchCompleted",
        "media/segment_root.py",
        '                flush(directories.rendition(rendition), root, f"{channel}/{rendition}")\n',
        "                directories.rendition(rendition)\n",
        (
            "power cuts",
            "kills",
        ),  # the flush of a new file takes its name along on ext4 and XFS, which POSIX does not say
    ),
    Mutant(
        "playlist renamed without a flush of its directory",
        "media/playlist.py",
        "    flush(draft.directory, root, draft.folder)\n",
        "",
        ("power cuts",),
    ),
    Mutant(
        "playlist written in place",
        "media/playlist.py",
        "            write_new(draft.directory, temporary, draft.text.encode())\n",
        "            with suppress(FileNotFoundError):\n"
        "                os.unlink(draft.name, dir_fd=draft.directory)\n"
        "            write_new(draft.directory, draft.name, draft.text.encode())\n            return\n",
        ("kills", "power cuts", "faults"),
    ),
    Mutant(
        "a failed flush is tried again",
        "media/durable.py",
        "        os.fsync(descriptor)\n    except OSError as error:\n        raise FlushFailed",
        "        os.fsync(descriptor)\n    except OSError:\n        os.fsync(descriptor)\n        return\n"
        "    except ValueError as error:\n        raise FlushFailed",
        ("faults",),
    ),
    Mutant(
        "identity ignored",
        "media/comparison.py",
        "return stat.S_ISREG(status.st_mode) and identity(recorded.file, status) == recorded",
        "return stat.S_ISREG(status.st_mode)",
        ("histories", "hostile files"),
    ),
    Mutant(
        "links followed",
        "media/directories.py",
        "os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)",
        "os.open(name, _DIRECTORY, dir_fd=parent)",
        ("hostile files",),
    ),
    Mutant(
        "N-1 goes with N-2",
        "domain/retention.py",
        "    return max(0, keep - successor.completed) if _given_up(session) else keep\n",
        "    return max(0, keep - successor.completed) if _given_up(session) else keep - 1\n",
        ("histories", "kills"),
    ),
    Mutant(
        "the last batches of a closed session go at once",
        "domain/retention.py",
        "    return max(0, keep - successor.completed) if _given_up(session) else keep\n",
        "    return 0 if _given_up(session) else keep\n",
        ("histories",),
    ),
    Mutant(
        "an incomplete batch is a success",
        "domain/decisions.py",
        '            raise Refused("R9", "file", expected.file, "it is missing from the batch")\n',
        "            continue\n",
        ("histories", "faults"),
    ),
    Mutant(
        "what was there before counts as made",
        "domain/decisions.py",
        "        if identity_of(file) in stale:\n",
        "        if identity_of(file) in stale and not stale:\n",
        ("histories", "kills"),
    ),
    Mutant(
        "the agenda forgets before the purge",
        "application/retention_projector.py",
        "            together.append(Place(item.session_id, item.batch))\n",
        "            self._agenda.replace({item.session_id: []}, checkpoint=self._agenda.checkpoint())\n"
        "            together.append(Place(item.session_id, item.batch))\n",
        ("kills", "histories"),
    ),
    Mutant(
        "the checkpoint moves before the rows",
        "persistence/read_models.py",
        "        with writing(self._engine).begin() as connection:\n"
        "            if position_of(connection, _PROJECTOR) != after:\n                return False\n",
        "        with writing(self._engine).begin() as connection:\n"
        "            if position_of(connection, _PROJECTOR) != after:\n                return False\n"
        "            move(connection, _PROJECTOR, checkpoint)\n"
        "        with writing(self._engine).begin() as connection:\n",
        ("kills", "faults"),
    ),
    Mutant(
        "remaining files are forgotten",
        "domain/purging.py",
        "    if command.remaining:\n",
        "    if command.remaining and not command.remaining:\n",
        ("histories",),
    ),
    Mutant(
        "listed files go",
        "application/purger.py",
        "            self._publisher.publish_held(root, [one.session for one in going])\n",
        "",
        ("histories", "kills"),
    ),
    Mutant(
        "the wait is forgotten",
        "domain/retention.py",
        "        return now.at + remaining if remaining > 0 else min(self.due_at, now.at)\n",
        "        return min(self.due_at, now.at)\n",
        ("histories", "clock jumps"),
    ),
    Mutant(
        "the wait is read off the wall clock",
        "domain/batch.py",
        "        if self.uptime is None or earlier.uptime is None:\n",
        "        if True:\n",
        ("clock jumps", "histories"),
    ),
    Mutant(
        "names in use are taken",
        "domain/decisions.py",
        "        if expected.file in taken:\n",
        "        if expected.file in taken and not taken:\n",
        ("histories", "kills"),
    ),
    Mutant(
        "any disk will do",
        "application/roots.py",
        "        if finding:\n            raise RootSuspect(root.path, finding[1])\n        _require",
        "        _require",
        ("histories", "hostile files", "damage"),
    ),
    Mutant(
        "a failed flush is forgotten",
        "application/roots.py",
        "            self._suspect(root, Suspicion.FLUSH, failed.reason)\n",
        "",
        ("faults", "histories"),
    ),
    Mutant(
        "most of a batch may be gone",
        "domain/plan.py",
        "    return 2 * (len(absent) + len(changed)) > len(batch.files)\n",
        "    return False\n",
        ("histories",),
    ),
    Mutant(
        "the log is believed",
        "application/purge_round.py",
        "        self._log_check.require_intact()\n",
        "",
        ("damage",),
    ),
    Mutant(
        "an authorisation is taken at its word",
        "domain/soundness.py",
        "    PurgeIssued: _purge,\n",
        "",
        ("hostile files",),
    ),
    Mutant(
        "the disk may be another than the one that was looked at",
        "media/locks.py",
        "        stack.enter_context(working_in(root, descriptor))\n",
        "",
        ("unmounted disks",),
    ),
    Mutant(
        "a crashed batch stays open",
        "application/recovery.py",
        "                recorded += self._end_orphan(session, left)\n",
        "",
        ("kills",),
    ),
)


class Verdict(NamedTuple):
    """The campaign that caught a mutant, and its test; the campaigns that did not, in the order of asking."""

    campaign: str | None
    test: str
    passed: tuple[str, ...]


def judge(mutant: Mutant) -> Verdict:
    """Ask the mutant's campaigns until one catches it.

    Raises:
        AssertionError: a campaign could not be run at all.

    """
    passed = []
    with tempfile.TemporaryDirectory(prefix="trailkeep-mutant-", dir=arena_directory()) as directory:
        plant(mutant, Path(directory))
        for campaign in mutant.asked:
            failed = _ask(Path(directory), CAMPAIGNS[campaign])
            if failed:
                return Verdict(campaign, failed, tuple(passed))
            passed.append(campaign)
    return Verdict(None, "", tuple(passed))


def plant(mutant: Mutant, copy: Path) -> None:
    """Copy the tree and break it."""
    for name in COPIED:
        source = TOP / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, copy / name)
    path = copy / mutant.file
    text = path.read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1, f"{mutant.name}: {mutant.file} does not have its text once any more"
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")


def _ask(copy: Path, tests: tuple[str, ...]) -> str:
    """Run a campaign's slice over the mutant; the first test that failed, or nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", *tests],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "TRAILKEEP_UNSHRUNK": "1", "TRAILKEEP_TORTURE": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return ""
    assert done.returncode == TESTS_FAILED, done.stdout + done.stderr
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].partition(" - ")[0].removeprefix("FAILED ").removeprefix("ERROR ")


def main() -> None:
    """The table, as Markdown."""
    chosen = [mutant for mutant in MUTANTS if mutant.name in sys.argv[1:]] or MUTANTS
    print("| mutant | caught by | test | not by |\n| --- | --- | --- | --- |")
    survivors = 0
    for mutant in chosen:
        verdict = judge(mutant)
        survivors += verdict.campaign is None
        caught, passed = verdict.campaign or "**nobody**", ", ".join(verdict.passed)
        print(f"| {mutant.name} | {caught} | `{verdict.test}` | {passed} |", flush=True)
    sys.exit(survivors)


if __name__ == "__main__":
    main()
