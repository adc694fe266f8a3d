"""Numbers, names and identity of segments."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Invalid
from domain.events import Naming
from domain.segments import (
    DEFAULT_PATTERN,
    DEFAULT_WRAP,
    ExpectedFile,
    batch_numbers,
    check_label,
    check_naming,
    expected_files,
    file_name,
    file_number,
    identity_of,
    media_sequence,
    newest_number,
    relative_file,
)
from tests.builders import a_segment_file

PATTERNS = [DEFAULT_PATTERN, "{rendition}%d.ts", "{rendition}-9%05d.m4s", "{rendition}.%01d"]
namings = st.builds(Naming, pattern=st.sampled_from(PATTERNS), wrap=st.integers(0, 40), offset=st.integers(0, 200))


def naming(pattern: str = DEFAULT_PATTERN, wrap: int = 0, offset: int = 0) -> Naming:
    return Naming(pattern=pattern, wrap=wrap, offset=offset)


@pytest.mark.rule("R1")
@pytest.mark.parametrize(
    ("batch", "size", "first", "last"),
    [(0, 1, 0, 0), (0, 20, 0, 19), (1, 20, 20, 39), (7, 1, 7, 7), (50, 20, 1000, 1019)],
)
def test_a_batch_covers_the_segments_from_n_times_b_on(batch: int, size: int, first: int, last: int) -> None:
    """R1: N*B up to and including N*B + B - 1."""
    numbers = batch_numbers(batch, size)
    assert (numbers[0], numbers[-1], len(numbers)) == (first, last, size)


@pytest.mark.rule("R1")
@given(st.integers(0, 1000), st.integers(1, 100))
def test_batches_follow_each_other_without_gap_or_overlap(batch: int, size: int) -> None:
    """R1."""
    assert batch_numbers(batch, size)[-1] + 1 == batch_numbers(batch + 1, size)[0]


@pytest.mark.rule("R1")
def test_a_batch_has_its_segments_in_every_rendition() -> None:
    """R1."""
    assert expected_files(naming(), ["720p", "360p"], range(5, 7)) == (
        ExpectedFile("720p", 5, "720p_segment_005.ts"),
        ExpectedFile("720p", 6, "720p_segment_006.ts"),
        ExpectedFile("360p", 5, "360p_segment_005.ts"),
        ExpectedFile("360p", 6, "360p_segment_006.ts"),
    )


@pytest.mark.rule("R5")
@pytest.mark.parametrize(
    ("number", "wrap", "offset", "name"),
    [
        (999, 1000, 0, "v_segment_999.ts"),
        (1000, 1000, 0, "v_segment_000.ts"),
        (1000, 0, 0, "v_segment_1000.ts"),
        (0, 1000, 1015, "v_segment_015.ts"),
        (7, 10, 25, "v_segment_002.ts"),
    ],
)
def test_names_wrap_where_they_are_told_to(number: int, wrap: int, offset: int, name: str) -> None:
    """R5: names repeat; numbers never do."""
    assert file_name(naming(wrap=wrap, offset=offset), "v", number) == name


@pytest.mark.rule("R5")
def test_a_name_has_three_digits_and_repeats_after_a_thousand_unless_told_otherwise() -> None:
    """R5."""
    default = naming(DEFAULT_PATTERN, DEFAULT_WRAP)
    names = [file_name(default, "v", number) for number in (999, 1000)]
    assert names == ["v_segment_999.ts", "v_segment_000.ts"]


def test_the_media_sequence_number_goes_on_where_the_names_wrap() -> None:
    wrapping = naming(wrap=10, offset=25)
    assert [file_number(wrapping, number) for number in (4, 5)] == [9, 0]
    assert [media_sequence(wrapping, number) for number in (4, 5)] == [29, 30]


@given(namings, st.integers(0, 300), st.integers(0, 300))
def test_the_newest_number_that_bears_a_name_is_found_from_the_name(naming: Naming, number: int, after: int) -> None:
    last = number + after
    name = file_name(naming, "v", number)
    bearers = [other for other in range(last + 1) if file_name(naming, "v", other) == name]
    assert newest_number(naming, "v", name, last) == bearers[-1]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("v_segment_020.ts", "it is newer than the newest"),
        ("v_segment_3.ts", "the number is not padded"),
        ("v_segment_0003.ts", "the number is padded too far"),
        ("w_segment_003.ts", "it is of another rendition"),
        ("v_segment_003.tsx", "it goes on after the pattern"),
        ("xv_segment_003.ts", "it begins before the pattern"),
        ("v_segment_٣.ts", "only ASCII digits count"),
        ("v_segment_-01.ts", "numbers have no sign"),
        ("v.m3u8", "it is a playlist"),
        ("", "it is no name"),
    ],
)
def test_a_name_that_no_segment_ever_bore_has_no_number(name: str, why: str) -> None:
    assert newest_number(naming(), "v", name, last=19) is None, why


@pytest.mark.parametrize(
    ("wrap", "name"), [(10, "v_segment_010.ts"), (10, "v_segment_008.ts"), (0, "v_segment_008.ts")]
)
def test_a_name_outside_the_wrap_or_before_the_session_has_no_number(wrap: int, name: str) -> None:
    assert newest_number(naming(wrap=wrap, offset=9), "v", name, last=8 if wrap else 20) is None


@pytest.mark.rule("R20")
@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "segment_%03d.ts",
        "{rendition}.ts",
        "{rendition}_%d_%d.ts",
        "{rendition}_%s.ts",
        "{rendition}_%03d%%.ts",
        "{rendition}/%03d.ts",
        "{rendition}\\%03d.ts",
        "{rendition} %03d.ts",
        "{rendition}_%03d\n",
        "{rendition}_%03d\0",
        "{rendition}_{other}_%03d.ts",
        "{rendition}_{rendition}_%03d.ts",
        "seg_{rendition}_%03d.ts",
        ".{rendition}_%03d.ts",
    ],
)
def test_a_pattern_that_cannot_name_every_segment_is_not_allowed(pattern: str) -> None:
    """R20."""
    with pytest.raises(Invalid) as error:
        check_naming(naming(pattern))
    assert (error.value.field, error.value.value) == ("naming.pattern", pattern)


@pytest.mark.rule("R20")
@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("{rendition}_%3d.ts", "numbers would be padded with spaces"),
        ("{rendition}_%00d.ts", "a width of nothing"),
        ("{rendition}_%03d.m3u8", "it would be a playlist, which no purge deletes"),
        ("{rendition}_\x01_%03d.ts", "a name that nobody can type"),
        ("{rendition}_\ud800_%03d.ts", "text that is not Unicode"),
        ("{rendition}_%099d.ts", "wider than any number"),
        ("{rendition}" + "x" * 65 + "%03d.ts", "longer than a file name may be"),
    ],
)
def test_a_pattern_whose_names_would_fail_later_is_not_allowed(pattern: str, why: str) -> None:
    """R20: refused when the session is opened, not when its first batch is written or purged."""
    with pytest.raises(Invalid) as error:
        check_naming(naming(pattern))
    assert error.value.field == "naming.pattern", why


@pytest.mark.parametrize("pattern", [*PATTERNS, "{rendition}" + "x" * 64 + "%09d" + "x" * 64])
def test_a_pattern_with_a_rendition_and_a_number_is_allowed(pattern: str) -> None:
    assert check_naming(naming(pattern)).pattern == pattern


@pytest.mark.rule("R20")
@pytest.mark.parametrize(("field", "bad"), [("wrap", naming(wrap=-1)), ("naming.offset", naming(offset=-1))])
def test_numbers_below_zero_are_not_allowed(field: str, bad: Naming) -> None:
    """R20."""
    with pytest.raises(Invalid) as error:
        check_naming(bad)
    assert (error.value.field, error.value.value) == (field, -1)


@pytest.mark.rule("R20")
@pytest.mark.parametrize("label", ["", ".", "..", "-v", "_v", "a.b", "a/b", "a b", "é", "x" * 64, "v\n", "%d"])
def test_a_label_that_is_no_safe_directory_name_is_not_allowed(label: str) -> None:
    """R20."""
    with pytest.raises(Invalid) as error:
        check_label("channel", label)
    assert (error.value.field, error.value.value) == ("channel", label)


@pytest.mark.parametrize("label", ["v", "720p", "News_at-10", "x" * 63])
def test_a_label_of_letters_and_digits_is_allowed(label: str) -> None:
    assert check_label("channel", label) == label


@pytest.mark.rule("R20")
@pytest.mark.parametrize(
    ("refused", "field", "rule"),
    [
        (
            lambda: check_label("rendition", "a b"),
            "rendition",
            "1 to 63 letters a-z A-Z, digits, '_' and '-', beginning with a letter or a digit",
        ),
        (
            lambda: check_naming(naming("%d.ts")),
            "naming.pattern",
            "{rendition}, then letters, digits, '.', '_', '-' and one number such as %d or %03d; not ending in .m3u8",
        ),
        (
            lambda: check_naming(naming(wrap=-1)),
            "wrap",
            "0 (names never repeat) or the count of numbers before they do",
        ),
        (lambda: check_naming(naming(offset=-1)), "naming.offset", "0 or more"),
    ],
)
def test_whoever_gives_what_is_not_allowed_is_told_what_is(
    refused: Callable[[], object], field: str, rule: str
) -> None:
    """R20."""
    with pytest.raises(Invalid) as error:
        refused()
    assert (error.value.field, error.value.rule) == (field, rule)


@pytest.mark.rule("R11")
def test_a_file_is_more_than_its_name() -> None:
    """R11: size, time of change and inode tell whether it still is that file."""
    file = a_segment_file(7)
    identity = identity_of(file)
    assert identity.file == relative_file("v", "v_segment_007.ts") == "v/v_segment_007.ts"
    assert (identity.size, identity.mtime_ns, identity.inode) == (file.size, file.mtime_ns, file.inode)
