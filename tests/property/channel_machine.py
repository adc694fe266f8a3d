"""The whole life of one channel, through the real application, on real files, with everything that can go wrong."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from application.generation import nominal
from application.recovery import OWN_PRODUCER
from application.verify import Level
from domain.errors import FlushFailed, Refused, RootSuspect
from domain.events import Availability, Disposition, Policy, Source
from domain.session import replay
from persistence.memory_read_models import MemoryReadModels
from tests.builders import CAMERA
from tests.memory_app import OURS, TESTER, App, Channel, Store
from tests.property.faults import FailingPlaylists, FailingRoots, Killed, Points
from tests.property.oracle import Oracle, Run, identity

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
MARKER = ".trailkeep-root"
TEN_YEARS = 10 * 365 * 24 * 3600
FOREIGN = b'{"store_id":"00000000-0000-4000-8000-00000000000f","root_id":"00000000-0000-7000-8000-00000000000f"}\n'
ROOT_EVENTS = {"RootSuspected", "RootTrusted"}


class Terms(NamedTuple):
    """What a session is opened with; ``spare`` names more than it needs at least, None for names that never repeat."""

    batch_size: int
    window: int
    waits: bool
    renditions: tuple[str, ...]
    spare: int | None

    def enough(self) -> int:
        """R5: names for three batches, and for those that a playlist holds beside the next one."""
        listed = -(-self.window // self.batch_size) if self.waits else 0
        return max(3, listed + 1) * self.batch_size

    def fields(self, spare: int | None) -> dict[str, Any]:
        return {
            "batch_size": self.batch_size,
            "renditions": self.renditions,
            "segment_ms": 1000,
            "playlist_window": self.window,
            "policy": Policy(availability=Availability.RFC8216 if self.waits else Availability.OFF),
            "wrap": 0 if spare is None else self.enough() + spare,
        }


terms = st.integers(1, 3).flatmap(
    lambda size: st.builds(
        Terms,
        st.just(size),
        st.sampled_from([0, size, 2 * size + 1]),
        st.booleans(),
        st.sampled_from([("v",), ("v", "a")]),
        st.sampled_from([None, 0, 1]),
    )
)
kills = st.sampled_from([None, None, None, *Points.POINTS])
pick = st.integers(0, 10**6)


class ChannelMachine(RuleBasedStateMachine):
    """Rules are what operators, encoders, disks and crashes do; the oracle looks after each.

    ``always`` are terms that every session of the channel has; ``most_sessions`` is how many it has at most.
    """

    always: ClassVar[dict[str, Any]] = {}
    most_sessions = 4

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp(prefix="trailkeep-", dir=MEMORY))
        self.root = self.base / "root"
        self.oracle, self.store, self.points = Oracle(self.root), Store(), Points()
        self.written = self.behind = 0
        self.ours = b""
        self.aside: dict[str, Path] = {}
        self.begin()

    def begin(self) -> None:
        """A new process over what the last one left."""
        self.points.armed = self.points.unflushed = None
        self.app, self.other = self.process("here:1"), self.process("here:2")
        self.channel = Channel(self.app, self.root)

    def process(self, name: str) -> App:
        roots, playlists = FailingRoots(self.points, self.oracle.denied), FailingPlaylists(self.points)
        return App(self.store, roots, playlists, name)

    @rule()
    def go_on_in_the_other_process(self) -> None:
        """Two live side by side over one log; what one remembers is behind when its turn comes."""
        self.app, self.other = self.other, self.app
        self.channel = Channel(self.app, self.root)

    def look(self) -> list[dict[str, Any]]:
        lines = self.store.log.read_lines(after=self.oracle.position, limit=10**6)
        assert [line.position for line in lines] == list(range(self.oracle.position + 1, self.store.log.head() + 1))
        return self.oracle.observe([line.line for line in lines], self.now)

    @property
    def run(self) -> Run | None:
        """The open session."""
        newest = next(reversed(self.oracle.runs.values()), None)
        return newest if newest and newest.end is None else None

    @contextmanager
    def refusing(self, *expected: type[Exception]) -> Iterator[None]:
        """What is refused leaves no trace in the log (R20), but for what was seen of the root (R17)."""
        self.look()
        try:
            yield
        except expected:
            assert {event["type"] for event in self.look()} <= ROOT_EVENTS, "R20: nothing is half-done"
        else:
            assert not expected, f"{expected} was expected"

    @contextmanager
    def dying(self, point: str | None, recover: bool = True) -> Iterator[None]:
        """The process may die inside; then a new one begins and recovers."""
        self.points.armed = point
        try:
            yield
            self.points.armed = None
        except Killed:
            self.look()
            self.begin()
            if recover:
                self.recover()

    # Sessions.

    @initialize(terms=terms, batches=st.sampled_from([3, 4, 5, 2, 1, 0]), late=st.booleans())
    def open_first(self, terms: Terms, batches: int, late: bool) -> None:
        self.open(terms)
        self.generate(batches, late)

    @precondition(lambda self: not self.run)
    @rule(terms=terms, batches=st.integers(0, 2), late=st.booleans())
    def open_next(self, terms: Terms, batches: int, late: bool) -> None:
        self.open(terms)
        self.generate(batches, late)

    @precondition(lambda self: self.run and len(self.oracle.runs) < self.most_sessions)
    @rule(disposition=st.sampled_from(Disposition), terms=terms, batches=st.integers(0, 2), late=st.booleans())
    def open_anew(self, disposition: Disposition, terms: Terms, batches: int, late: bool) -> None:
        self.close(disposition)
        self.open(terms)
        self.generate(batches, late)

    @precondition(lambda self: self.run and len(self.oracle.runs) < self.most_sessions)
    @rule(disposition=st.sampled_from(Disposition))
    def close(self, disposition: Disposition) -> None:
        if self.run.running:
            with self.refusing(Refused):
                self.app.generation.close(self.run.id, "the end", disposition, TESTER)
            self.fail()
        self.app.generation.close(self.run.id, "the end", disposition, TESTER)
        self.look()

    @precondition(lambda self: any(run.end for run in self.oracle.runs.values()))
    @rule(which=pick, disposition=st.sampled_from(Disposition))
    def settle_anew(self, which: int, disposition: Disposition) -> None:
        ended = [run for run in self.oracle.runs.values() if run.end]
        run = ended[which % len(ended)]
        with self.refusing(*([Refused] if run.end == disposition else [])):
            self.app.generation.close(run.id, "on second thoughts", disposition, TESTER)
        self.look()

    def open(self, terms: Terms) -> None:
        """R5: first with one name too few, if names are to be just enough."""
        terms = terms._replace(**self.always)
        if terms.spare == 0:
            with self.refusing(Refused):
                self.channel.open(**terms.fields(-1))
        if self.oracle.is_suspect():
            with self.refusing(RootSuspect):
                self.channel.open(**terms.fields(terms.spare))
            self.mend()
        self.channel.open(**terms.fields(terms.spare))
        self.look()

    # Batches.

    @precondition(lambda self: self.run)
    @rule(batches=st.sampled_from([1, 2, 3, 4]), late=st.booleans(), kill=kills)
    def generate(self, batches: int, late: bool, kill: str | None = None) -> None:
        """As `run` does it: a projector that is never late, or one that is. First somebody sees to the root."""
        if self.oracle.is_suspect():
            self.start(OURS)
            self.mend()
        for more in reversed(range(batches)):
            self.start(OURS)
            self.complete(None if more else kill)
            if not late:
                self.purge(None)

    @precondition(lambda self: self.run and not self.run.running)
    @rule(source=st.sampled_from([OURS, Source(label="other", producer=OWN_PRODUCER), CAMERA]))
    def start(self, source: Source) -> None:
        """R5, R17: refused exactly if a name is still needed, or the root is not trusted."""
        if not self.run.running:
            collides = self.run.names(self.run.completed) & self.oracle.needed()
            expected = RootSuspect if self.oracle.is_suspect() else Refused if collides else None
            with self.refusing(*([expected] if expected else [])):
                self.channel.start(source)
            self.look()

    @precondition(lambda self: self.run and self.run.running)
    @rule(kill=kills)
    def complete(self, kill: str | None) -> None:
        if self.run.running:
            self.write(None)
            with self.dying(kill), self.refusing(*([RootSuspect] if self.oracle.is_suspect() else [])):
                self.app.generation.complete(self.run.id, nominal(1000, {}), "tester")
            self.look()

    @precondition(lambda self: self.run and self.run.running)
    @rule(which=pick, empty=st.booleans())
    def complete_too_early(self, which: int, empty: bool) -> None:
        """R9: all files but one, or one that is empty; then it fails."""
        paths = self.write(None)
        path = paths[which % len(paths)]
        path.write_bytes(b"") if empty else path.unlink()
        with self.refusing(RootSuspect if self.oracle.is_suspect() else Refused):
            self.app.generation.complete(self.run.id, nominal(1000, {}), "tester")
        self.fail()

    @precondition(lambda self: self.run and self.run.running and not self.oracle.is_suspect())
    @rule()
    def complete_with_old_files(self) -> None:
        """R9: the encoder of the second attempt wrote nothing, and the first had left everything."""
        self.write(None)
        self.fail()
        self.start(OURS)
        with self.refusing(Refused):
            self.app.generation.complete(self.run.id, nominal(1000, {}), "tester")
        self.look()

    @precondition(lambda self: self.run and self.run.running)
    @rule()
    def fail(self) -> None:
        self.app.generation.fail(self.run.id, "the camera went away", "tester")
        self.look()

    def write(self, files: int | None) -> list[Path]:
        self.written += 1
        return self.channel.write(files, b"m" * self.written)

    # Projectors.

    @rule(kill=kills)
    def purge(self, kill: str | None, recover: bool = True) -> None:
        """R18: what the plan lists is what the run does, unless it dies."""
        planned = {
            (row.session_id, row.batch)
            for row in self.app.queries.plan(list(self.oracle.runs))
            if row.blocked_by is None and row.due_at is not None and row.due_at <= self.store.clock.time
        }
        if kill:
            self.mark_interrupted()
        with self.dying(kill, recover):
            self.app.retention.run_once()
        done = {
            (event["session_id"], event["data"]["batch"])
            for event in self.look()
            if event["type"] in {"PurgeIssued", "PurgeRefused", "PurgeFailed", "SegmentsPurged"}
        }
        assert done == planned or (kill and done <= planned), "R18: what a dry run lists is what the run does"

    @precondition(lambda self: self.oracle.waiting())
    @rule(which=pick, wrong=st.booleans(), late=st.booleans(), kill=kills)
    def confirm(self, which: int, wrong: bool, late: bool = False, kill: str | None = None) -> None:
        """R18, R19: what a person looked at is purged, by its plan; if it is another by now, it is asked again."""
        waiting = self.oracle.waiting()
        batch = waiting[which % len(waiting)]
        if late:
            path = self.one_of(sorted(batch.files), which)
            Path(path).unlink(missing_ok=True)
            self.oracle.file_removed(path)
        plan, holds = batch.refused, batch.found == self.oracle.finding(batch) or not self.oracle.is_mostly_gone(batch)
        now = any(
            row.plan_hash == plan and row.due_at <= self.store.clock.time
            for row in self.app.queries.plan([batch.run.id])
        )
        if wrong or not now or self.oracle.is_suspect():
            with self.refusing(RootSuspect if self.oracle.is_suspect() else Refused):
                self.app.purger.issue(batch.run.id, batch.number, confirmed="0" * 64 if wrong else plan)
            return
        self.oracle.confirming = plan
        if kill:
            self.mark_interrupted()
        with self.dying(kill):
            self.app.purger.issue(batch.run.id, batch.number, confirmed=plan)
            self.look()
            self.oracle.confirming = None
            self.app.purger.carry_out(batch.run.id, batch.number)
        self.look()
        assert bool(batch.issued) == holds, "R18: what was confirmed is what happens"

    def mark_interrupted(self) -> None:
        for batch in self.oracle.batches:
            batch.interrupted = not batch.gone

    @rule()
    def project_read_models(self) -> None:
        self.app.read_model_projector.catch_up()
        self.app.sealer.catch_up()

    @rule()
    def crash(self) -> None:
        self.begin()
        self.recover()

    def recover(self) -> None:
        """R14: recovery is a function of the log and the disk, and running it twice adds nothing."""
        self.app.recoverer.recover()
        self.look()
        if self.run:
            ended = not self.run.running or self.run.running["data"]["source"]["producer"] != OWN_PRODUCER
            assert ended or self.oracle.is_suspect(), "what it left there is not known while the disk is in doubt"
            newest = [batch.files.keys() for batch in self.oracle.batches if batch.run is self.run][-1:]
            shown = self.run.window == 0 or all(files <= self.oracle.listed for files in newest)
            assert shown or self.oracle.tampered or self.oracle.is_suspect(), (
                "what completed before the crash is in the playlist"
            )
        head = self.store.log.head()
        assert self.app.recoverer.recover().recorded == ()
        assert self.store.log.head() == head, "R14: a second recovery adds nothing"

    # Disks and clocks.

    @precondition(lambda self: self.oracle.kept())
    @rule(which=pick, content=st.sampled_from([b"", b"somebody else's"]))
    def replace_a_file(self, which: int, content: bytes) -> None:
        path = self.one_of(self.oracle.kept(), which)
        Path(path).unlink(missing_ok=True)
        Path(path).write_bytes(content)
        self.oracle.file_replaced(path)

    @precondition(lambda self: self.oracle.kept())
    @rule(which=pick)
    def remove_a_file(self, which: int) -> None:
        path = self.one_of(self.oracle.kept(), which)
        Path(path).unlink(missing_ok=True)
        self.oracle.file_removed(path)

    @precondition(lambda self: self.oracle.kept())
    @rule(which=pick)
    def deny_a_file(self, which: int) -> None:
        self.oracle.denied.add(self.one_of(self.oracle.kept(), which))

    @precondition(lambda self: self.oracle.denied)
    @rule()
    def allow_all_files(self) -> None:
        self.oracle.denied.clear()

    @precondition(lambda self: self.oracle.kept())
    @rule(which=pick, left=st.integers(0, 1))
    def take_most_of_a_batch_away(self, which: int, left: int) -> None:
        """R19: a mistake with a script, or a backup that was put back in part."""
        kept = [batch for batch in self.oracle.batches if batch.issued is None]
        for path in sorted(kept[which % len(kept)].files)[left:]:
            if identity(path) and path not in self.oracle.replaced:
                self.aside[path] = Path(path).rename(self.base / f"aside {len(self.aside)} {Path(path).name}")
                self.oracle.file_removed(path)

    @precondition(lambda self: self.aside)
    @rule()
    def bring_them_back(self) -> None:
        for path in self.aside.keys() & self.oracle.kept():
            if path in self.oracle.removed:
                self.aside[path].rename(path)
                self.oracle.file_brought_back(path)
        self.aside.clear()

    @precondition(lambda self: self.oracle.runs)
    @rule()
    def note_losses(self) -> None:
        """R16: afterwards nothing that is gone is counted upon."""
        with self.refusing(*([RootSuspect] if self.oracle.is_suspect() else [])):
            self.app.losses.note("news", "a bad disk", TESTER)
            self.look()
            assert not self.oracle.removed & set(self.oracle.kept())

    @precondition(lambda self: self.run)
    @rule()
    def leave_a_file_there(self) -> None:
        """No event explains it; so nothing touches it."""
        path = self.root / "news" / self.run.renditions[0] / f"left {len(self.oracle.strays)}.ts"
        path.write_bytes(b"left")
        self.oracle.file_left_there(str(path))

    @precondition(lambda self: self.oracle.runs)
    @rule()
    def remove_orphans(self) -> None:
        """R10: what no event explains, by authorisation and outcome."""
        with self.refusing(*([RootSuspect] if self.oracle.is_suspect() else [])):
            self.app.orphans.remove("news", "somebody left it", TESTER)
            self.look()
            assert not self.oracle.strays

    @precondition(lambda self: self.oracle.marker == "there")
    @rule(marker=st.sampled_from(["absent", "foreign"]), kill=kills)
    def change_the_marker(self, marker: str, kill: str | None) -> None:
        """R17: absent is not deleted: nothing is purged, started or opened on a root that does not prove to be ours."""
        self.purge(kill, recover=False)
        self.ours = (self.root / MARKER).read_bytes()
        (self.root / MARKER).unlink()
        if marker == "foreign":
            (self.root / MARKER).write_bytes(FOREIGN)
        self.oracle.marker = marker
        self.purge(None)

    @precondition(lambda self: self.oracle.marker != "there")
    @rule()
    def bring_the_marker_back(self) -> None:
        """R17: the root proves itself, and what was only seen is over."""
        self.check_marker()
        (self.root / MARKER).write_bytes(self.ours)
        self.oracle.marker = "there"

    @precondition(lambda self: not self.oracle.is_suspect())
    @rule(point=st.sampled_from(Points.FLUSHES))
    def fail_a_flush(self, point: str) -> None:
        """R10, R17: from then on nothing goes on below the root, in no process, until an operator trusts it."""
        if self.run and not self.run.running:
            self.generate(1, late=True) if point == Points.DELETED else self.start(OURS)
        self.look()
        self.mark_interrupted()
        self.points.unflushed = point
        if self.run and self.run.running:
            self.write(None)
            with suppress(FlushFailed):
                self.app.generation.complete(self.run.id, nominal(1000, {}), "tester")
        self.app.retention.run_once()
        self.oracle.unflushed = self.points.unflushed is None
        self.points.unflushed = None
        failed = self.oracle.unflushed
        self.look()
        assert (self.oracle.held == "flush") == failed

    @precondition(lambda self: self.oracle.runs)
    @rule(crash=st.booleans())
    def trust(self, crash: bool) -> None:
        """R17: an operator looked at the disk; the root gets its marker back, and what was wrong is in the log."""
        if crash:
            self.begin()
        self.look()
        needed = self.oracle.is_suspect() or self.oracle.held
        run = next(iter(self.oracle.runs))
        recorded = self.app.roots.trust(self.app.sessions.load(run).terms.media_root, "looked at the disk", TESTER)
        self.look()
        assert bool(recorded) == bool(needed)
        assert not self.oracle.held
        assert not self.oracle.is_suspect()

    def mend(self) -> None:
        """Somebody sees to the root."""
        if self.oracle.marker != "there":
            self.bring_the_marker_back()
        if self.oracle.held == "flush":
            self.trust(crash=False)

    def check_marker(self) -> None:
        """R17: nobody but an operator gives a root a marker."""
        marker = self.root / MARKER
        found = marker.read_bytes() if marker.exists() else None
        assert found == {"there": self.ours or found, "absent": None, "foreign": FOREIGN}[self.oracle.marker]

    @rule(seconds=st.sampled_from([0.5, 1, 3, 8, 300]))
    def pass_time(self, seconds: float) -> None:
        self.store.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-2, 2, -TEN_YEARS, TEN_YEARS]))
    def set_the_clock(self, seconds: int) -> None:
        """Nobody waits less for it, nor more: players live in real time."""
        self.store.clock.set_by(seconds)
        self.behind -= seconds * 1_000_000

    @property
    def now(self) -> int:
        """The time as it really passed."""
        return self.store.clock.time + self.behind

    @precondition(lambda self: self.oracle.edges())
    @rule(which=pick, too_early=st.booleans())
    def pass_time_to_an_edge(self, which: int, too_early: bool) -> None:
        """R13: to the microsecond."""
        edges = self.oracle.edges()
        self.store.clock.time += max(0, edges[which % len(edges)] - too_early - self.now)
        self.purge(None)

    def one_of(self, paths: list[str], which: int) -> str:
        return paths[which % len(paths)]

    # At the end.

    def teardown(self) -> None:
        try:
            if self.oracle.runs and not self.oracle.broken:
                self.check_the_end()
        finally:
            shutil.rmtree(self.base)

    def check_the_end(self) -> None:
        """With all obstacles gone and time enough, what is due is gone; and everything that is told agrees."""
        self.oracle.denied.clear()
        self.check_marker()
        self.mend()
        self.begin()
        self.recover()
        self.store.clock.advance(24 * 3600)
        self.purge(None)
        for turn in range(2 * len(self.oracle.waiting())):
            if self.oracle.waiting():
                self.confirm(0, wrong=False, late=turn % 2 == 0)
        for batch in self.oracle.batches:
            if self.oracle.is_due(batch) and not self.oracle.must_wait(batch, self.now):
                told = batch.run.has_told_its_playlist() or not batch.run.end
                assert batch.gone or (self.oracle.tampered and batch.run.waits) or not told, "R3: what is due goes"
        self.check_replay()
        self.check_read_models()
        self.check_verifier()

    def check_replay(self) -> None:
        """R14: the same state from the log alone."""
        for session_id in self.oracle.runs:
            live = self.app.sessions.load(session_id)
            assert replay(session_id, self.store.log.read_session(session_id)) == live

    def check_read_models(self) -> None:
        """Rows that grew with the history are those that it gives at once, and tell what the oracle counted."""
        self.app.read_model_projector.catch_up()
        live = rows_of(self.store.read_models)
        self.app.read_model_projector.rebuild()
        assert rows_of(self.store.read_models) == live
        for run in self.oracle.runs.values():
            summary = self.store.read_models.session(run.id)
            assert summary is not None
            own = [batch for batch in self.oracle.batches if batch.run is run]
            kept = [size for batch in own if not batch.issued for size, _, _ in batch.files.values()]
            assert (summary.batches_completed, summary.batches_purged) == (len(own), sum(one.gone for one in own))
            assert summary.bytes_kept == sum(kept)

    def check_verifier(self) -> None:
        """The operator's verifier sees exactly what the test did."""
        report = self.app.verifier.verify(Level.IDENTITY)
        kept = set(self.oracle.kept())
        assert report.log.ok
        assert set(report.lost) == kept & self.oracle.removed
        assert set(report.changed) == kept & self.oracle.replaced.keys()
        assert set(report.orphans) == self.oracle.strays.keys()
        assert not report.suspect_roots


def rows_of(read_models: MemoryReadModels) -> tuple[Any, ...]:
    sessions = read_models.sessions()
    return sessions, [read_models.batches(one.session_id) for one in sessions], read_models.checkpoint()
