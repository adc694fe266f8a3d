"""R15: before anything is deleted the whole log is examined, each event once in the life of a process."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from application import log_check
from application.log_check import LogCheck
from application.ports import LogLine, Seal
from domain import merkle
from domain.errors import LogDamaged
from domain.events import Recorded
from persistence.memory import MemorySeals
from tests.memory_app import App, Channel, Store, TestLog


class WatchedLog(TestLog):
    """A log that remembers which lines were read as they are stored, and that can lose or alter some."""

    def __init__(self) -> None:
        super().__init__()
        self.examined: list[int] = []
        self.lost: set[int] = set()
        self.faults: list[str] = []

    def read_lines(self, *, after: int = 0, limit: int = 1000) -> list[LogLine]:
        lines = [line for line in super().read_lines(after=after, limit=limit) if line.position not in self.lost]
        self.examined += [line.position for line in lines]
        return lines

    def read(self, *, after: int = 0, limit: int = 1000) -> list[Recorded]:
        return [self.examine(line) for line in super().read_lines(after=after, limit=limit)]

    def storage_faults(self) -> Iterator[str]:
        return iter(self.faults)

    def alter(self, position: int, *, hashed: bool = False) -> Callable[[], None]:
        """Change a line that is stored; return what puts it back."""
        before = self._lines[position - 1]
        line = before.line.replace(b'"actor":"tester"', b'"actor":"nobody"')
        assert line != before.line
        self._lines[position - 1] = replace(
            before, line=line, leaf_hash=merkle.leaf_hash(line) if hashed else before.leaf_hash
        )
        return lambda: self._lines.__setitem__(position - 1, before)


@pytest.fixture
def log() -> WatchedLog:
    return WatchedLog()


@pytest.fixture
def store(log: WatchedLog) -> Store:
    store = Store()
    store.log = log
    return store


@pytest.fixture
def sound(channel: Channel, log: WatchedLog) -> Channel:
    """Three batches, the first due; all of it is sealed."""
    channel.open()
    channel.generate(3)
    channel.app.sealer.catch_up()
    log.examined.clear()
    return channel


def damage(app: App) -> LogDamaged:
    with pytest.raises(LogDamaged) as error:
        app.log_check.require_intact()
    return error.value


class TestReading:
    @pytest.mark.rule("R15")
    @pytest.mark.invariant(11)
    @pytest.mark.parametrize("page", [1, 2, 3, 7, 5000])
    def test_each_line_is_read_once(
        self, sound: Channel, log: WatchedLog, page: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """R15: all of them, in their order, up to the head."""
        monkeypatch.setattr(log_check, "PAGE", page)
        sound.app.log_check.require_intact()
        assert log.examined == list(range(1, log.head() + 1))
        sound.app.log_check.require_intact()
        assert log.examined == list(range(1, log.head() + 1))

    @pytest.mark.rule("R15")
    @pytest.mark.invariant(11)
    @pytest.mark.parametrize("sealed", [True, False])
    def test_later_only_what_came_since_is_read(self, sound: Channel, log: WatchedLog, sealed: bool) -> None:
        """R15: whether it is sealed by then or not."""
        sound.app.log_check.require_intact()
        before = log.head()
        sound.generate(2)
        if sealed:
            sound.app.sealer.catch_up()
        log.examined.clear()
        sound.app.log_check.require_intact()
        assert log.examined == list(range(before + 1, log.head() + 1))

    def test_an_empty_log_is_whole(self, app: App) -> None:
        app.log_check.require_intact()

    @pytest.mark.parametrize("size", range(8))
    def test_the_seal_may_be_behind(self, sound: Channel, log: WatchedLog, size: int) -> None:
        leaves = [line.leaf_hash for line in log.read_lines()[:size]]
        size, frontier = merkle.extend(0, (), leaves)
        sound.app.seals.save(Seal(size, frontier), merkle.root(frontier))
        sound.app.log_check.require_intact()

    def test_who_waits_hears_how_far_it_is(
        self, sound: Channel, log: WatchedLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(log_check, "PAGE", 3)
        heard: list[tuple[int, int]] = []
        sound.app.log_check.require_intact(lambda done, of: heard.append((done, of)))
        assert log.head() == 7
        assert heard == [(3, 7), (6, 7), (7, 7)]

    def test_what_is_recorded_and_sealed_meanwhile_is_no_damage(self, sound: Channel, log: WatchedLog) -> None:
        """Another process appends and seals between the look at the head and the look at the seal."""

        class RivalSeals(MemorySeals):
            def load(self) -> Seal:
                sound.generate()
                return sound.app.sealer.catch_up()

        head = log.head()
        LogCheck(log, RivalSeals()).require_intact()
        assert log.head() > head


class TestDamage:
    @pytest.mark.rule("R15")
    @pytest.mark.parametrize("position", range(1, 8))
    def test_an_event_that_is_missing_is_damage(self, sound: Channel, log: WatchedLog, position: int) -> None:
        """R15: at the beginning, in the middle, at the end."""
        log.lost = {position}
        found = damage(sound.app)
        assert found.position == position
        assert "missing" in found.reason
        assert "nothing is deleted on the word of a damaged log" in str(found)

    @pytest.mark.rule("R15")
    @pytest.mark.parametrize("page", [2, 5000])
    def test_a_line_that_was_altered_is_damage(
        self, sound: Channel, log: WatchedLog, page: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """R15: wherever it is, also in a session that nothing is due in."""
        monkeypatch.setattr(log_check, "PAGE", page)
        log.alter(4)
        found = damage(sound.app)
        assert (found.position, found.reason) == (4, "the line does not have its leaf hash any more")

    @pytest.mark.rule("R15")
    def test_a_line_that_was_altered_with_its_hash_is_seen_by_the_seal(self, sound: Channel, log: WatchedLog) -> None:
        """R15: whoever can rewrite a line and its hash cannot rewrite the root over all of them."""
        log.alter(4, hashed=True)
        found = damage(sound.app)
        assert found.position == log.head()
        assert found.reason == f"the root over the first {log.head()} events is not the one that was sealed"

    @pytest.mark.rule("R15")
    def test_a_seal_over_another_history_is_damage(self, sound: Channel, log: WatchedLog) -> None:
        """R15."""
        sound.app.seals.save(Seal(log.head(), (bytes(32),) * 3), bytes(32))
        assert "is not the one that was sealed" in damage(sound.app).reason

    @pytest.mark.rule("R15")
    @pytest.mark.parametrize("events", [1, 100])
    def test_a_seal_over_more_than_there_is_is_damage(self, sound: Channel, log: WatchedLog, events: int) -> None:
        """R15: the end of the log is missing, and its head does not know of it."""
        sealed = sound.app.seals.load()
        leaves = [bytes(32)] * events
        size, frontier = merkle.extend(sealed.size, sealed.frontier, leaves)
        sound.app.seals.save(Seal(size, frontier), merkle.root(frontier))
        found = damage(sound.app)
        assert (found.position, found.reason) == (log.head() + 1, "the event is missing")

    @pytest.mark.rule("R15")
    def test_what_the_storage_says_of_itself_counts_before_a_line_is_read(
        self, sound: Channel, log: WatchedLog
    ) -> None:
        """R15."""
        log.faults = ["row 3 missing from index events_by_session", "and another"]
        assert damage(sound.app).reason == "row 3 missing from index events_by_session"
        assert log.examined == []

    @pytest.mark.rule("R15")
    @pytest.mark.parametrize("kind", ["lost", "altered"])
    def test_damage_to_what_came_since_is_found(self, sound: Channel, log: WatchedLog, kind: str) -> None:
        """R15: after the whole was found intact; as often as it is asked."""
        sound.app.log_check.require_intact()
        position = log.head() + 1
        sound.generate()
        if kind == "lost":
            log.lost = {position}
        else:
            log.alter(position)
        for _ in range(2):
            assert damage(sound.app).position == position

    @pytest.mark.rule("R15")
    def test_a_log_that_was_put_in_order_is_examined_from_the_beginning(self, sound: Channel, log: WatchedLog) -> None:
        """R15."""
        mend = log.alter(4)
        damage(sound.app)
        damage(sound.app)
        mend()
        log.examined.clear()
        sound.app.log_check.require_intact()
        assert log.examined == list(range(1, log.head() + 1))


class TestPurging:
    """R15: nothing is deleted on the word of a damaged log."""

    @pytest.mark.rule("R10", "R15")
    @pytest.mark.invariant(11)
    @pytest.mark.parametrize("authorised", [False, True])
    def test_nothing_goes_that_is_due_or_authorised(
        self, sound: Channel, log: WatchedLog, tmp_path: Path, authorised: bool
    ) -> None:
        """R10, R15: here on the word of a sound session beside a damaged one."""
        other = Channel(sound.app, tmp_path / "other", "sport")
        other.open()
        if authorised:
            sound.app.purger.issue(sound.id, 0)
        sound.app.retention.catch_up()
        head, there = log.head(), sound.segments()
        mend = log.alter(next(one.position for one in log.read() if one.envelope.session_id == other.id))
        for app in (sound.app, App(sound.app.store)):
            with pytest.raises(LogDamaged):
                app.retention.run_once()
        assert (log.head(), sound.segments()) == (head, there)
        mend()
        sound.app.retention.run_once()
        assert len(sound.segments()) == 4

    @pytest.mark.rule("R15")
    def test_where_nothing_is_due_nobody_waits_for_an_examination(self, channel: Channel, log: WatchedLog) -> None:
        channel.open()
        channel.generate(2)
        channel.app.retention.run_once()
        assert log.examined == []
        channel.generate(1)
        head = log.head()
        channel.app.retention.run_once()
        assert log.examined == list(range(1, head + 1))
