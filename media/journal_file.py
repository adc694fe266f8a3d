"""The journal of a media root: one line of JSON for each event that matters to its files, appended and flushed.

It says on the disk of the media what the log said, so that a log that lost events is found out. The caller holds the
root while it writes (`locks.exclusive`); who reads holds nothing, and takes a line that is not ended for none.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import msgspec

from application.ports import BEGINNING, JournalLine, JournalPlace, Journals
from domain.errors import RootSuspect
from media.directories import opened_root
from media.durable import flush, flush_new, open_to_read, read_at, suspecting, write_new

JOURNAL_FILE = ".trailkeep-journal"
_TEMPORARY = f"{JOURNAL_FILE}.new"
_BEGINNING = 256
"""Bytes by which a journal is known again: an inode's number is soon used for another file."""

_WINDOWS = (2**13, 2**20)
"""Bytes within which the last two lines usually are, for one is of some hundred; and in any case."""

_DECODER = msgspec.json.Decoder(JournalLine)


class JournalFiles(Journals):
    """`Journals` on directories of this machine."""

    def read(self, root: str, after: JournalPlace = BEGINNING) -> tuple[list[JournalLine], JournalPlace]:
        """See `Journals.read`."""
        with opened_root(root) as directory, suspecting(root, f"its journal {JOURNAL_FILE} cannot be read"):
            try:
                descriptor = open_to_read(directory, JOURNAL_FILE)
            except FileNotFoundError:
                return [], BEGINNING
            try:
                place, content = _content_after(descriptor, after)
            finally:
                os.close(descriptor)
        texts = content[: _sound(content)].splitlines()
        lines = [_understood(root, number, text) for number, text in enumerate(texts, place.lines + 1)]
        offset = place.offset + sum(map(len, texts)) + len(texts)
        return lines, msgspec.structs.replace(place, offset=offset, lines=place.lines + len(lines))

    def append(self, root: str, lines: Sequence[JournalLine]) -> None:
        """See `Journals.append`."""
        what = f"its journal {JOURNAL_FILE} cannot be written"
        with opened_root(root) as directory, suspecting(root, what), _opened(directory) as descriptor:
            end = _sound_end(descriptor)
            if end < _size(descriptor):
                os.ftruncate(descriptor, end)
            try:
                _write(descriptor, _text(lines))
                flush_new(descriptor)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, end)
                raise
            if end == 0:
                flush(directory, root, "its directory")

    def flush(self, root: str) -> None:
        """See `Journals.flush`."""
        with opened_root(root) as directory, suspecting(root, f"its journal {JOURNAL_FILE} cannot be opened"):
            try:
                descriptor = open_to_read(directory, JOURNAL_FILE)
            except FileNotFoundError:
                return
            try:
                flush(descriptor, root, "its journal")
            finally:
                os.close(descriptor)
            flush(directory, root, "its directory")

    def shorten(self, root: str, keep: int) -> None:
        """See `Journals.shorten`."""
        lines, _ = self.read(root)
        what = f"its journal {JOURNAL_FILE} cannot be shortened"
        with opened_root(root) as directory, suspecting(root, what):
            with suppress(FileNotFoundError):
                os.unlink(_TEMPORARY, dir_fd=directory)
            write_new(directory, _TEMPORARY, _text(lines[-keep:]))
            os.rename(_TEMPORARY, JOURNAL_FILE, src_dir_fd=directory, dst_dir_fd=directory)
            flush(directory, root, "its directory")


def _text(lines: Sequence[JournalLine]) -> bytes:
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def _understood(root: str, number: int, text: bytes) -> JournalLine:
    try:
        return _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = f"line {number} of its journal {JOURNAL_FILE} cannot be understood: {error}; look, then move it away"
        raise RootSuspect(root, reason) from error


@contextmanager
def _opened(directory: int) -> Iterator[int]:
    """The journal, open to be appended to; made if it is missing.

    Raises:
        OSError: it cannot be opened; ELOOP for a link, EINVAL for what is no regular file.

    """
    flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(JOURNAL_FILE, flags, dir_fd=directory)
    except FileNotFoundError:
        descriptor = os.open(JOURNAL_FILE, flags | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=directory)
    try:
        _size(descriptor)
        yield descriptor
    finally:
        os.close(descriptor)


def _size(descriptor: int) -> int:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    return status.st_size


def _content_after(descriptor: int, after: JournalPlace) -> tuple[JournalPlace, bytes]:
    """From where the journal is to be read, and its bytes from there on."""
    size, inode = _size(descriptor), os.fstat(descriptor).st_ino
    beginning = read_at(descriptor, 0, _BEGINNING)
    same = after.inode == inode and after.beginning == beginning[: len(after.beginning)] != b""
    if not same or size < after.offset:
        after = JournalPlace(inode)
    content = read_at(descriptor, after.offset, size - after.offset)
    return msgspec.structs.replace(after, beginning=beginning), content


def _sound_end(descriptor: int) -> int:
    """The size of the journal without a last line that was torn."""
    end = os.fstat(descriptor).st_size
    for window in _WINDOWS:
        start = max(0, end - window)
        content = os.pread(descriptor, end - start, start)
        if content.count(b"\n") > 1:
            break
    return start + _sound(content)


def _sound(content: bytes) -> int:
    """How much of it is whole: a power cut leaves the last line without its end, or with nothing in its middle."""
    end = content.rfind(b"\n") + 1
    start = content.rfind(b"\n", 0, end - 1) + 1
    try:
        _DECODER.decode(content[start:end])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return start
    return end


def _write(descriptor: int, text: bytes) -> None:
    while text:
        text = text[os.write(descriptor, text) :]
