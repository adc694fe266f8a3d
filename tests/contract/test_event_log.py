"""What every event log promises, whatever keeps it."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import msgspec
import pytest
from msgspec.structs import replace

from application.ports import EventLog, LogLine, Share
from domain.errors import ConcurrencyConflict, EventIdConflict, Invalid
from domain.events import Envelope, PlaylistPublished, Recorded
from domain.merkle import leaf_hash
from domain.session import replay
from tests.builders import an_id
from tests.contract.log_events import (
    a_failure,
    a_whole_life,
    an_event,
    fill,
    found,
    session,
    some_events,
    the_life_of,
)


def positions(recorded: list[Recorded] | tuple[Recorded, ...]) -> list[int]:
    return [one.position for one in recorded]


def everything(log: EventLog, limit: int = 1000) -> list[Recorded]:
    found: list[Recorded] = []
    while page := log.read(after=len(found), limit=limit):
        found += page
    return found


# appending


def test_an_appended_event_is_read_back_as_it_was(log: EventLog) -> None:
    (recorded,) = log.append([an_event()], expected_version=0)
    assert recorded == Recorded(1, an_event())
    assert log.read() == [recorded]
    assert list(log.read_session(session(1))) == [recorded]
    assert found(log, an_event().event_id) == recorded


def test_nothing_appended_is_nothing_recorded(log: EventLog, told: list[str]) -> None:
    assert log.append([], expected_version=0) == ()
    assert log.append([], expected_version=7) == ()
    assert log.head() == 0
    assert told == []


def test_an_empty_log_has_nothing(log: EventLog) -> None:
    assert log.head() == 0
    assert log.read() == []
    assert log.read_lines() == []
    assert list(log.read_session(session(1))) == []
    assert found(log, an_id(5)) is None


@pytest.mark.rule("R15")
def test_r15_positions_count_from_one_without_gaps_over_all_sessions(log: EventLog) -> None:
    fill(log, 3, of=1)
    assert positions(log.append(some_events(2, of=2), expected_version=0)) == [4, 5]
    assert positions(log.append(some_events(2, of=1, after=3), expected_version=3)) == [6, 7]
    assert positions(everything(log)) == [1, 2, 3, 4, 5, 6, 7]
    assert log.head() == 7


def test_two_sessions_in_turns_each_keep_their_own_versions(log: EventLog) -> None:
    for version in range(5):
        for of in (1, 2):
            log.append(some_events(1, of=of, after=version), expected_version=version)
    for of in (1, 2):
        found = list(log.read_session(session(of)))
        assert [one.envelope.version for one in found] == [1, 2, 3, 4, 5]
        assert positions(found) == [of + 2 * turn for turn in range(5)]


def test_who_waits_for_the_log_is_told_of_each_append(log: EventLog, told: list[str]) -> None:
    fill(log, 4, each=2)
    assert len(told) == 2


def test_who_waits_is_not_told_of_an_append_that_was_refused(log: EventLog, told: list[str]) -> None:
    with pytest.raises(ConcurrencyConflict):
        log.append(some_events(1, after=5), expected_version=5)
    assert told == []


# expected versions


@pytest.mark.parametrize("expected", [0, 1, 3])
def test_an_append_on_another_version_than_the_session_has_is_a_conflict(log: EventLog, expected: int) -> None:
    fill(log, 2)
    late = an_event(version=expected + 1, event_id=an_id(5))
    with pytest.raises(ConcurrencyConflict) as caught:
        log.append([late], expected_version=expected)
    assert (caught.value.session_id, caught.value.expected_version) == (session(1), expected)
    assert log.head() == 2
    assert found(log, an_id(5)) is None


def test_after_a_conflict_the_same_log_goes_on(log: EventLog) -> None:
    fill(log, 2)
    with pytest.raises(ConcurrencyConflict):
        log.append([an_event(version=2, event_id=an_id(5))], expected_version=1)
    assert positions(log.append(some_events(1, after=2), expected_version=2)) == [3]


def test_an_append_is_recorded_whole_or_not_at_all(log: EventLog) -> None:
    fill(log, 1, of=2)
    stolen = an_event(version=3, event_id=an_event(of=2).event_id)
    with pytest.raises(EventIdConflict):
        log.append([*some_events(2), stolen], expected_version=0)
    assert log.head() == 1
    assert list(log.read_session(session(1))) == []


def test_of_writers_that_decided_on_the_same_version_one_wins(log: EventLog) -> None:
    barrier = Barrier(4)

    def write(number: int) -> int:
        event = an_event(a_failure(f"writer {number}"), event_id=an_id(50 + number))
        barrier.wait()
        try:
            return len(log.append([event], expected_version=0))
        except ConcurrencyConflict:
            return 0

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(write, range(4))) == 1
    assert log.head() == 1


@pytest.mark.rule("R15")
def test_r15_what_many_threads_append_is_gapless_and_in_order(log: EventLog) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda of: fill(log, 25, of=of), range(1, 5)))
    found = everything(log, limit=7)
    assert positions(found) == list(range(1, 101))
    for of in range(1, 5):
        versions = [one.envelope.version for one in found if one.envelope.session_id == session(of)]
        assert versions == list(range(1, 26))


# event ids


def test_the_same_events_again_return_their_first_positions(log: EventLog) -> None:
    first = log.append(some_events(2), expected_version=0)
    assert log.append(some_events(2), expected_version=0) == first
    fill(log, 3, of=2)
    assert log.append(some_events(2), expected_version=0) == first
    assert log.head() == 5


def test_one_of_several_events_again_returns_its_first_position(log: EventLog) -> None:
    first = log.append(some_events(3), expected_version=0)
    assert log.append([an_event(version=2)], expected_version=1) == first[1:2]


@pytest.mark.parametrize("expected", [0, 1], ids=["late", "in time"])
def test_an_event_id_with_other_content_is_a_conflict(log: EventLog, expected: int) -> None:
    fill(log, 1)
    other = an_event(a_failure("something else"), version=expected + 1, event_id=an_event().event_id)
    with pytest.raises(EventIdConflict) as caught:
        log.append([other], expected_version=expected)
    assert (caught.value.event_id, caught.value.position) == (an_event().event_id, 1)
    assert log.head() == 1


def test_an_event_id_of_another_session_is_a_conflict(log: EventLog) -> None:
    fill(log, 1, of=1)
    with pytest.raises(EventIdConflict):
        log.append([an_event(of=2, event_id=an_event(of=1).event_id)], expected_version=0)
    assert list(log.read_session(session(2))) == []


def test_events_of_which_a_part_is_recorded_were_no_append_and_are_a_conflict(log: EventLog) -> None:
    fill(log, 2)
    with pytest.raises(ConcurrencyConflict):
        log.append(some_events(2, after=1), expected_version=1)
    assert log.head() == 2


# what can never be appended (R20)


@pytest.mark.rule("R20")
@pytest.mark.parametrize(
    ("envelopes", "expected", "field"),
    [
        ([an_event(version=2)], 0, "version"),
        ([an_event(version=1), an_event(version=3)], 0, "version"),
        ([an_event(version=2), an_event(version=1)], 0, "version"),
        ([an_event(version=1), an_event(version=2, of=2)], 0, "session_id"),
        ([an_event(version=1), an_event(version=2, event_id=an_event().event_id)], 0, "event_id"),
        ([an_event(event_id="1")], 0, "event_id"),
        ([an_event(event_id=an_id(0xABC).upper())], 0, "event_id"),
        ([an_event(version=0)], -1, "expected_version"),
        ([an_event(at=2**63)], 0, "event"),
        ([an_event(schema=2)], 0, "schema"),
        ([an_event(schema=0)], 0, "schema"),
        ([an_event(actor=None)], 0, "event"),
        ([an_event(PlaylistPublished(first_segment=0, last_segment=1, duration_ms=0.5))], 0, "event"),  # type: ignore[arg-type]
    ],
)
def test_r20_envelopes_that_make_no_append_are_refused(
    log: EventLog, envelopes: list[Envelope], expected: int, field: str
) -> None:
    with pytest.raises(Invalid) as caught:
        log.append(envelopes, expected_version=expected)
    assert caught.value.field == field
    assert log.head() == 0


@pytest.mark.rule("R20")
def test_r20_a_session_id_that_is_no_uuid_is_refused(log: EventLog) -> None:
    with pytest.raises(Invalid, match="session_id: 'news' is not allowed: an id is a UUID"):
        log.append([msgspec.structs.replace(an_event(), session_id="news")], expected_version=0)


def test_no_event_is_found_under_what_is_no_id(log: EventLog) -> None:
    fill(log, 1)
    assert found(log, "news") is None
    assert list(log.read_session("news")) == []


# reading


@pytest.mark.parametrize("limit", [1, 3, 5, 10, 11])
def test_pages_follow_one_another_without_loss(log: EventLog, limit: int) -> None:
    fill(log, 10, each=10)
    found = everything(log, limit)
    lines: list[LogLine] = []
    while page := log.read_lines(after=len(lines), limit=limit):
        assert len(page) <= limit
        lines += page
    assert positions(found) == [line.position for line in lines] == list(range(1, 11))


@pytest.mark.parametrize("after", [10, 11, 2**63, -1])
def test_a_page_may_begin_anywhere(log: EventLog, after: int) -> None:
    fill(log, 10, each=10)
    expected = 10 if after < 0 else 0
    assert len(log.read(after=after)) == len(log.read_lines(after=after)) == expected


@pytest.mark.parametrize("of", [1, 2, 3])
def test_each_line_is_in_one_share_and_counted_in_the_others(log: EventLog, of: int) -> None:
    for number in range(1, 6):
        fill(log, 7, of=number)
    whole = log.read_lines()
    shares = [log.read_share(Share(number, of)) for number in range(of)]
    for line, *told in zip(whole, *shares, strict=True):
        mine = [one for one in told if isinstance(one, LogLine)]
        assert mine == [line]
        assert all((one.position, one.leaf_hash) == (line.position, line.leaf_hash) for one in told)
    assert [len(log.read_share(Share(0, of), after=30, limit=limit)) for limit in (3, 9)] == [3, 5]


def test_lines_are_found_by_position_in_any_number(log: EventLog) -> None:
    fill(log, 1200, each=100)
    every = {line.position: line for line in log.read_lines(limit=1200)}
    wanted = (3, 1, 1200, 700)
    assert log.lines_at(wanted) == {position: every[position] for position in wanted}
    assert log.lines_at(range(1201)) == every
    assert log.lines_at((0, -1, 1201, 2**62)) == log.lines_at(()) == {}


def test_lines_are_found_by_id_in_any_number(log: EventLog) -> None:
    fill(log, 1200, each=100)
    every = {line.event_id: line for line in log.read_lines(limit=1200)}
    wanted = list(every)[700::-300]
    assert log.lines_of(wanted) == {event_id: every[event_id] for event_id in wanted}
    assert log.lines_of([an_id(5), *every, "news"]) == every
    assert log.lines_of([an_id(5)]) == log.lines_of(()) == {}


def test_a_session_is_read_after_a_version(log: EventLog) -> None:
    fill(log, 5, of=2)
    fill(log, 5, of=1)
    assert [one.envelope.version for one in log.read_session(session(1), after_version=3)] == [4, 5]
    assert list(log.read_session(session(1), after_version=5)) == []
    assert len(list(log.read_session(session(1), after_version=-1))) == 5


def test_a_long_session_is_read_to_its_end(log: EventLog) -> None:
    fill(log, 1001, each=1001)
    assert [one.envelope.version for one in log.read_session(session(1))] == list(range(1, 1002))


def test_events_appended_while_a_session_is_read_disturb_nothing(log: EventLog) -> None:
    fill(log, 3)
    reading = log.read_session(session(1))
    first = next(reading)
    log.append(some_events(1, after=3), expected_version=3)
    assert positions([first, *reading])[:3] == [1, 2, 3]


# lines


def test_a_line_is_stored_verbatim_with_its_leaf_hash(log: EventLog) -> None:
    log.append([an_event(a_failure("straße"), version=1)], expected_version=0)
    (line,) = log.read_lines()
    assert (
        line.line
        == (
            '{"event_id":"00000000-0000-7000-8000-000001000001","session_id":"00000000-0000-7000-8000-00000000a001",'
            '"version":1,"recorded_at":1800000000000001,"actor":"tester","worker":"here:1",'
            '"correlation_id":"00000000-0000-7000-8000-000000000001","causation_id":null,'
            '"policy":"keep_previous=1 availability=off","schema":1,"type":"BatchFailed",'
            '"data":{"batch":0,"attempt":1,"reason":"straße","exit_code":null,"stderr_tail":"","files_left":[]}}'
        ).encode()
    )
    assert line.leaf_hash == leaf_hash(line.line)


def test_the_columns_beside_a_line_tell_what_it_tells(log: EventLog) -> None:
    fill(log, 1, of=2)
    fill(log, 3)
    line = log.read_lines(after=2, limit=1)[0]
    told = an_event(version=2)
    assert (line.position, line.event_id, line.session_id) == (3, told.event_id, told.session_id)
    assert line.version == 2
    assert log.examine(line) == Recorded(3, told)


@pytest.mark.rule("R15")
def test_r15_a_line_that_is_not_what_was_stored_is_seen_without_reading_it(log: EventLog) -> None:
    log.append(the_life_of(1, a_whole_life()), expected_version=0)
    lines = log.read_lines()
    assert [log.fault_of(line) for line in lines] == [None] * len(lines)
    other = replace(lines[0], line=lines[0].line + b" ")
    assert log.fault_of(other) == "the line does not have its leaf hash any more"
    assert log.fault_of(replace(other, leaf_hash=leaf_hash(other.line))) is None
    for column in ({"event_id": session(9)}, {"session_id": session(9)}, {"version": 2}):
        fault = log.fault_of(replace(lines[0], **column))
        assert fault == "the columns beside the line do not tell what the line tells"


@pytest.mark.parametrize(
    "text",
    ["", "\x00", "a\nb\r\n", '"quoted" \\ back', "\u2028\u2029", "\U0001f3ac Tagesschau 新闻", "e\u0301 é", "\ufeff"],
)
def test_any_unicode_text_comes_back_as_it_was(log: EventLog, text: str) -> None:
    event = an_event(a_failure(text, stderr_tail=text, files_left=(text,)), actor=text)
    log.append([event], expected_version=0)
    assert [one.envelope for one in log.read()] == [event]
    assert b"\n" not in log.read_lines()[0].line


def test_text_that_is_not_unicode_is_recorded_with_escapes_and_reads_the_same_ever_after(log: EventLog) -> None:
    event = an_event(a_failure("ok", stderr_tail="caf\udce9", files_left=("v/\udcff.ts",)), worker="h\ud800")
    (recorded,) = log.append([event], expected_version=0)
    assert recorded.event == a_failure("ok", stderr_tail="caf\\udce9", files_left=("v/\\udcff.ts",))
    assert recorded.envelope.worker == "h\\ud800"
    assert log.read() == [recorded]
    assert log.append([event], expected_version=0) == (recorded,)


def test_an_event_of_a_megabyte_is_one_event(log: EventLog) -> None:
    event = an_event(a_failure(stderr_tail="x" * 2**20))
    log.append([event], expected_version=0)
    assert found(log, event.event_id) == Recorded(1, event)


# the store


def test_a_store_has_one_id_of_its_own(log: EventLog) -> None:
    assert log.store_id() == log.store_id()
    assert len(log.store_id()) == 36


@pytest.mark.rule("R14")
def test_r14_a_replay_of_the_log_gives_the_state_byte_for_byte(log: EventLog) -> None:
    fill(log, 4, of=2)
    life = the_life_of(1, a_whole_life())
    log.append(life, expected_version=0)
    told = replay(session(1), [Recorded(position, one) for position, one in enumerate(life, 5)])
    read = replay(session(1), log.read_session(session(1)))
    assert msgspec.msgpack.encode(read) == msgspec.msgpack.encode(told)
    paged = replay(session(1), [one for one in everything(log, 3) if one.envelope.session_id == session(1)])
    assert paged == told


@pytest.mark.rule("R15")
def test_r15_a_sound_storage_has_no_faults(log: EventLog) -> None:
    assert list(log.storage_faults()) == []
    fill(log, 300, each=100)
    assert list(log.storage_faults()) == []


# one session alone


def test_the_version_of_a_session_is_that_of_its_newest_event(log: EventLog) -> None:
    fill(log, 3, of=1)
    fill(log, 2, of=2)
    assert [log.version_of(session(number)) for number in (1, 2, 3)] == [3, 2, 0]
    assert log.version_of("news") == 0


def test_the_lines_of_a_session_are_those_of_the_log(log: EventLog) -> None:
    fill(log, 3, of=1)
    fill(log, 2, of=2)
    fill_again = the_life_of(1, a_whole_life())[3:5]
    log.append(fill_again, expected_version=3)
    own = [line for line in log.read_lines() if line.session_id == session(1)]
    assert [line.version for line in own] == [1, 2, 3, 4, 5]
    assert log.read_session_lines(session(1)) == own
    assert log.read_session_lines(session(1), after_version=3) == own[3:]
    assert log.read_session_lines(session(1), after_version=1, limit=2) == own[1:3]
    assert log.read_session_lines(session(1), after_version=-1, limit=1) == own[:1]
    assert log.read_session_lines(session(1), after_version=2**63 - 1) == []
    assert log.read_session_lines("news") == []
