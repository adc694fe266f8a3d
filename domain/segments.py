"""Segments: numbers, names, the wrap, and what a file is.

A segment's number never wraps; its file name may. Every question "is this still that file?" is answered by identity.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from domain.errors import Invalid
from domain.events import FileIdentity, Naming, SegmentFile

DEFAULT_PATTERN = "{rendition}_segment_%03d.ts"
DEFAULT_WRAP = 1000

PLAYLIST_SUFFIX = ".m3u8"

DEEPEST = 50
"""Segments lie one directory deep; each level of what somebody else put there costs a descriptor and a frame."""

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_LITERAL = "[A-Za-z0-9._-]{0,64}"
_PATTERN = re.compile(r"\{rendition\}(" + _LITERAL + ")(%(?:0[1-9])?d)(" + _LITERAL + ")")


def check_label(field: str, value: str) -> str:
    """Return ``value`` if it can be the name of a channel or a rendition, and so of a directory.

    Raises:
        Invalid: it is not 1 to 63 ASCII letters, digits, ``_`` and ``-`` that begin with a letter or a digit.

    """
    if not is_label(value):
        raise Invalid(field, value, "1 to 63 letters a-z A-Z, digits, '_' and '-', beginning with a letter or a digit")
    return value


def is_label(value: str) -> bool:
    """Whether `check_label` returns it."""
    return _LABEL.fullmatch(value) is not None


def check_naming(naming: Naming) -> Naming:
    """Return ``naming`` if it gives every segment of every rendition a name of its own within one wrap.

    Raises:
        Invalid: the pattern or the wrap cannot do that.

    """
    _parts(naming.pattern)
    if naming.wrap < 0:
        raise Invalid("wrap", naming.wrap, "0 (names never repeat) or the count of numbers before they do")
    if naming.offset < 0:
        raise Invalid("naming.offset", naming.offset, "0 or more")
    return naming


def check_inside(file: str) -> str:
    """Return ``file`` if it leads to nothing but what lies below its channel's directory, given relative to that.

    Raises:
        Invalid: a part of it is hidden, or not a name.

    """
    if any(not part or part.startswith(".") or "\0" in part for part in file.split("/")):
        raise Invalid("file", file, "a path below the channel's directory, of names without a leading dot or zero byte")
    return file


def check_below(file: str) -> str:
    """Return ``file`` if it is one that something may be done to now: which that is may change with the years.

    Raises:
        Invalid: as `check_inside`; or it is deeper than `DEEPEST`, or a part of it is not printable.

    """
    if file.count("/") > DEEPEST:
        raise Invalid("file", file, f"a path of at most {DEEPEST} directories below the channel's")
    if not check_inside(file).isprintable():
        raise Invalid("file", file, "a path of printable names")
    return file


def check_deletable(file: str) -> str:
    """Return ``file`` if it is no playlist.

    Raises:
        Invalid: it is one.

    """
    if file.endswith(PLAYLIST_SUFFIX):
        raise Invalid("file", file, "purging deletes segments, never playlists (R8)")
    return file


@cache
def _parts(pattern: str) -> tuple[str, str, str]:
    """What stands between rendition and number, the number's format, and what stands after it.

    Raises:
        Invalid: the pattern gives no names, wherever it comes from: nothing else is ever formatted with it.

    """
    match = _PATTERN.fullmatch(pattern)
    if match is None or pattern.endswith(PLAYLIST_SUFFIX):
        raise Invalid(
            "naming.pattern",
            pattern,
            "{rendition}, then letters, digits, '.', '_', '-' and one number such as %d or %03d; not ending in .m3u8",
        )
    return match[1], match[2], match[3]


def batch_numbers(batch: int, batch_size: int) -> range:
    """The segment numbers of a batch (R1): N*B up to and including N*B + B - 1."""
    return range(batch * batch_size, (batch + 1) * batch_size)


def file_number(naming: Naming, number: int) -> int:
    """The number that stands in the file name of segment ``number``."""
    shifted = naming.offset + number
    return shifted % naming.wrap if naming.wrap else shifted


def file_name(naming: Naming, rendition: str, number: int) -> str:
    """The file name of a segment, without a directory."""
    before, digits, after = _parts(naming.pattern)
    return rendition + before + digits % file_number(naming, number) + after


def media_sequence(naming: Naming, number: int) -> int:
    """The media sequence number of a segment (RFC 8216 section 3): it never wraps, nor starts anew with a session."""
    return naming.offset + number


def relative_file(rendition: str, name: str) -> str:
    """Where a segment's file is, relative to the directory of its channel."""
    return f"{rendition}/{name}"


class ExpectedFile(NamedTuple):
    """A file that a batch must have: its rendition, segment number and name."""

    rendition: str
    number: int
    name: str

    @property
    def file(self) -> str:
        """Where it is, relative to the directory of its channel."""
        return relative_file(self.rendition, self.name)


def expected_files(naming: Naming, renditions: Iterable[str], numbers: range) -> tuple[ExpectedFile, ...]:
    """Every file of the segments ``numbers``: by rendition, then by number."""
    return tuple(map(ExpectedFile._make, expected_names(naming, renditions, numbers)))


def expected_names(naming: Naming, renditions: Iterable[str], numbers: range) -> list[tuple[str, int, str]]:
    """`expected_files` as plain tuples, for who compares with them each time that a log is read."""
    before, digits, after = _parts(naming.pattern)
    ends = [(number, before + digits % file_number(naming, number) + after) for number in numbers]
    return [(rendition, number, rendition + end) for rendition in renditions for number, end in ends]


def identity_of(file: SegmentFile) -> FileIdentity:
    """What a purge must find before it deletes: the identity that BatchCompleted recorded (R11)."""
    return FileIdentity(
        file=relative_file(file.rendition, file.name), size=file.size, mtime_ns=file.mtime_ns, inode=file.inode
    )


def newest_number(naming: Naming, rendition: str, name: str, last: int) -> int | None:
    """The newest segment, up to ``last``, that bears a file name in a rendition; None if none ever did."""
    before, _, after = _parts(naming.pattern)
    match = re.fullmatch(re.escape(rendition + before) + "([0-9]+)" + re.escape(after), name)
    if match is None:
        return None
    number = int(match[1]) - naming.offset
    if naming.wrap:
        number = last - (last - number) % naming.wrap
    if not 0 <= number <= last or file_name(naming, rendition, number) != name:
        return None
    return number
