"""The instrument: tells of each failure point when a process meets it, without any hook in the product.

It wraps the calls of ``os`` through which media/ changes a disk, and the methods of persistence/ that commit; in a
process of the tests, from the first `watching` on, and in nobody else's.

    def reach(point: str) -> None:
        if point == "purge.unlink-segment.after":
            os.kill(os.getpid(), signal.SIGKILL)

    with watching(Watch(root, reach)):
        app.retention.run_once()
"""

import errno
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, event

from application.publisher import Publisher
from application.purger import Purger
from domain.events import Recorded
from media.directories import ChannelDirectories
from media.journal_file import JournalFiles
from media.segment_root import SegmentRoots
from persistence.checkpoints import SqlAgenda, SqlSeals
from persistence.event_log import SqlEventLog
from persistence.read_models import SqlReadModels
from persistence.snapshots import SqlSnapshots
from tests.torture.failure_points import EFFECTS, UNNAMED

_ACTS = (
    (SegmentRoots, "adopt", "adopt"),
    (SegmentRoots, "try_writing", "probe"),
    (JournalFiles, "append", "journal"),
    (JournalFiles, "flush", "journal"),
    (JournalFiles, "shorten", "shorten"),
    (ChannelDirectories, "make_channel", "prepare"),
    (ChannelDirectories, "make_rendition", "prepare"),
    (SegmentRoots, "sync", "complete"),
    (SegmentRoots, "delete_each", "purge"),
    (Publisher, "publish", "publish"),
    (Purger, "carry_out_each", "unlist"),
)
_ROWS = (
    (SqlAgenda, "replace", "agenda.replace"),
    (SqlReadModels, "apply", "read-models.apply"),
    (SqlSeals, "save", "seal.save"),
    (SqlSnapshots, "save", "snapshot.save"),
)
_AUDITED = {"os.remove", "os.rename", "os.link", "os.mkdir", "os.rmdir", "os.symlink", "os.truncate", "os.chmod"}
_PLAYLIST = re.compile(r"\.?(master)?[^/]*\.m3u8(\.new)?")
_BELOW = ("root", "channel", "rendition", "segment")


def nothing(_: object) -> None:
    """Reach a point, or hear of an event, and go on."""


class Watch(NamedTuple):
    """Who is told of what happens to a media root and its database.

    ``reach`` hears the name of each point. ``refuses`` says of which files (absolute paths) the system refuses the
    unlink, with EACCES. ``acknowledge`` hears what was recorded, after the append returned.
    """

    root: Path
    reach: Callable[[str], None] = nothing
    refuses: Callable[[str], bool] = lambda _: False
    acknowledge: Callable[[Sequence[Recorded]], None] = nothing


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Tell ``watch`` of everything that this process does inside the block."""
    _instrument.install()
    _instrument.watch = watch
    try:
        yield
    finally:
        _instrument.watch = None


@contextmanager
def unwatched() -> Iterator[None]:
    """Do something that is nobody's effect."""
    before, _instrument.watch = _instrument.watch, None
    try:
        yield
    finally:
        _instrument.watch = before


def act(name: str) -> Any:
    """Name effects inside the block after this act: for what is not the product's doing."""
    return _instrument.act(name)


class _Instrument:
    """What goes around the calls of this process; it is silent while nobody watches."""

    def __init__(self) -> None:
        self.watch: Watch | None = None
        self._acts: list[str] = []
        self._calling = self._installed = False

    def install(self) -> None:
        if not self._installed:
            self._installed = sys.dont_write_bytecode = True
            for kind, method, name in _ACTS:
                setattr(kind, method, self._during(name, getattr(kind, method)))
            for adapter, method, name in _ROWS:
                setattr(adapter, method, self._commits(name, getattr(adapter, method)))
            self._wrap_append()
            self._wrap_calls()
            self._wrap_writes()
            event.listen(Engine, "connect", lambda connection, _: connection.set_trace_callback(self._statement))
            sys.addaudithook(self._audit)

    @contextmanager
    def act(self, name: str) -> Iterator[None]:
        self._acts.append(name)
        try:
            yield
        finally:
            self._acts.pop()

    def _during(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def within(*arguments: Any, **named: Any) -> Any:
            with self.act(name):
                return method(*arguments, **named)

        return within

    def _commits(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def committing(*arguments: Any, **named: Any) -> Any:
            with self.act(name):
                answer = method(*arguments, **named)
            self._at(name, "after")
            return answer

        return committing

    def _wrap_append(self) -> None:
        append = SqlEventLog.append

        @wraps(append)
        def appending(log: SqlEventLog, envelopes: Any, **named: Any) -> Any:
            kinds = "+".join(type(one.event).__name__ for one in envelopes)
            recorded = self._commits(f"append.{kinds}", append)(log, envelopes, **named)
            if self.watch:
                self.watch.acknowledge(recorded)
            return recorded

        each = SqlEventLog.append_each

        @wraps(each)
        def appending_each(log: SqlEventLog, drafts: Any) -> Any:
            kinds = "+".join(sorted({type(one.event).__name__ for draft in drafts for one in draft.envelopes}))
            answers = self._commits(f"append.{kinds}", each)(log, drafts)
            if self.watch:
                for recorded in answers:
                    self.watch.acknowledge(recorded or ())
            return answers

        SqlEventLog.append = appending  # type: ignore[method-assign]
        SqlEventLog.append_each = appending_each  # type: ignore[method-assign]

    def _statement(self, sql: str) -> None:
        if sql == "COMMIT":
            self._at(self._acts[-1] if self._acts else "commit", "before")

    def _wrap_calls(self) -> None:
        fsync, unlink, rename, link, mkdir = os.fsync, os.unlink, os.rename, os.link, os.mkdir

        def flushing(descriptor: int) -> None:
            self.effect("fsync", _place(descriptor), fsync, descriptor)

        def unlinking(path: Any, *, dir_fd: int | None = None) -> None:
            place = _place(path, dir_fd)
            if self.watch and self.watch.refuses(place):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            self.effect("unlink", place, unlink, path, dir_fd=dir_fd, happens=os.path.lexists(place))

        def renaming(old: Any, new: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
            place = _place(new, dst_dir_fd)
            self.effect("rename", place, rename, old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

        def linking(old: Any, new: Any, *, dst_dir_fd: int | None = None, **named: Any) -> None:
            self.effect("link", _place(new, dst_dir_fd), link, old, new, dst_dir_fd=dst_dir_fd, **named)

        def making(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
            place = _place(path, dir_fd)
            self.effect("mkdir", place, mkdir, path, mode, dir_fd=dir_fd, happens=not os.path.lexists(place))

        os.fsync, os.unlink, os.rename, os.link, os.mkdir = flushing, unlinking, renaming, linking, making

    def _wrap_writes(self) -> None:
        opens, write, truncate = os.open, os.write, os.ftruncate

        def opening(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            if self.watch is None or not flags & os.O_CREAT:
                return opens(path, flags, mode, dir_fd=dir_fd)
            descriptor: int = self.effect("create", _place(path, dir_fd), opens, path, flags, mode, dir_fd=dir_fd)
            return descriptor

        def writing(descriptor: int, content: bytes) -> int:
            if self.watch is None or not (place := _place(descriptor)).startswith(f"{self.watch.root}/"):
                return write(descriptor, content)
            written: int = self.effect("write", place, write, descriptor, content)
            return written

        def truncating(descriptor: int, length: int) -> None:
            self.effect("truncate", _place(descriptor), truncate, descriptor, length)

        os.open, os.write, os.ftruncate = opening, writing, truncating  # type: ignore[assignment]

    def effect(
        self, call: str, place: str, do: Callable[..., Any], *arguments: Any, happens: bool = True, **named: Any
    ) -> Any:
        if self.watch is None:
            return do(*arguments, **named)
        name = f"{self._acts[-1] if self._acts else 'nobody'}.{call}-{_object(place, str(self.watch.root))}"
        if happens:
            self._at(name, "before")
        self._calling = True
        try:
            answer = do(*arguments, **named)
        finally:
            self._calling = False
        if happens:
            self._at(name, "after")
        return answer

    def _at(self, effect: str, side: str) -> None:
        if self.watch:
            if effect not in EFFECTS:
                _end_unnamed(effect)
            self.watch.reach(f"{effect}.{side}")

    def _audit(self, call: str, arguments: tuple[Any, ...]) -> None:
        """What changes the root and did not come through here has no name either."""
        if self.watch is None or self._calling or not (call in _AUDITED or call == "open"):
            return
        if isinstance(arguments[0], int) or (call == "open" and not arguments[2] & (os.O_CREAT | os.O_TRUNC)):
            return
        path = os.fsdecode(arguments[0])
        if not path.startswith("/") or Path(path).is_relative_to(self.watch.root):
            _end_unnamed(f"{call} {path}")


def _place(path: Any, directory: int | None = None) -> str:
    """The absolute path of a descriptor, or of a name in the directory that a descriptor is open on."""
    if isinstance(path, int):
        return str(Path(f"/proc/self/fd/{path}").readlink())
    return os.fspath(path) if directory is None else f"{Path(f'/proc/self/fd/{directory}').readlink()}/{path}"


def _object(place: str, root: str) -> str:
    """What that is, below a media root."""
    if place != root and not place.startswith(f"{root}/"):
        return "parent"
    below = place.removeprefix(root).split("/")[1:]
    if below and below[0].startswith(".trailkeep-root"):
        return "marker" if below == [".trailkeep-root"] else "temporary"
    if below and below[0].startswith(".trailkeep-journal"):
        return "journal" if below == [".trailkeep-journal"] else "copy"
    if below and below[-1] == ".trailkeep-probe":
        return "probe"
    if below and (playlist := _PLAYLIST.fullmatch(below[-1])):
        return "master" if playlist[1] else "playlist"
    return _BELOW[len(below)]


def _end_unnamed(effect: str) -> None:
    os.write(2, f"{effect} has no name in tests/torture/failure_points.py\n".encode())
    os._exit(UNNAMED)


_instrument = _Instrument()
