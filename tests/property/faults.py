"""Disks that fail on command: real files, with a kill or a failed flush at a named point, and files that stay."""

from collections.abc import Sequence

from msgspec.structs import replace

from application.ports import ChannelFiles, Deletion, FoundFile, MediaPlaylist
from domain.errors import FlushFailed
from domain.events import FileIdentity, RemainingFile
from media.playlist import PlaylistFiles
from media.segment_root import SegmentRoots


class Killed(BaseException):
    """The process dies here."""


class Points:
    """Where the process is to die, or a flush to fail: at most once, at the point that is armed."""

    PUBLISH, PUBLISHED, DELETE, UNLINKED, DELETED = POINTS = ("publish", "published", "delete", "unlinked", "deleted")
    SYNCED = "synced"
    FLUSHES = (SYNCED, PUBLISHED, DELETED)

    def __init__(self) -> None:
        self.armed: str | None = None
        self.unflushed: str | None = None

    def flush(self, point: str, root: str) -> None:
        if self.unflushed == point:
            self.unflushed = None
            raise FlushFailed(root, "it cannot be flushed to disk: EIO")

    def reach(self, point: str) -> None:
        if self.armed == point:
            self.armed = None
            raise Killed(point)


class FailingRoots(SegmentRoots):
    """Real media roots; files whose absolute path is ``denied`` cannot be deleted."""

    def __init__(self, points: Points, denied: set[str]) -> None:
        super().__init__()
        self._points, self._denied = points, denied

    def sync(self, root: str, channel: str, files: Sequence[str]) -> dict[str, FoundFile]:
        found = super().sync(root, channel, files)
        self._points.flush(Points.SYNCED, root)
        return found

    def delete_each(self, root: str, batches: Sequence[ChannelFiles]) -> list[Deletion]:
        self._points.reach(Points.DELETE)
        allowed = [
            (channel, [file for file in files if not self._is_denied(root, channel, file)])
            for channel, files in batches
        ]
        if self._points.armed == Points.UNLINKED:
            super().delete_each(root, [(channel, files[: len(files) // 2]) for channel, files in allowed])
        self._points.reach(Points.UNLINKED)
        deletions = super().delete_each(root, allowed)
        self._points.reach(Points.DELETED)
        self._points.flush(Points.DELETED, root)
        left = [
            tuple(
                RemainingFile(name=file.file, errno="EACCES") for file in files if self._is_denied(root, channel, file)
            )
            for channel, files in batches
        ]
        return [replace(one, remaining=(*one.remaining, *some)) for one, some in zip(deletions, left, strict=True)]

    def _is_denied(self, root: str, channel: str, file: FileIdentity) -> bool:
        return self.path(root, channel, file.file) in self._denied


class FailingPlaylists(PlaylistFiles):
    """Real playlists."""

    def __init__(self, points: Points) -> None:
        self._points = points

    def publish(
        self, root: str, channel: str, playlists: Sequence[MediaPlaylist], retired: Sequence[MediaPlaylist] = ()
    ) -> None:
        self._points.reach(Points.PUBLISH)
        super().publish(root, channel, playlists, retired)
        self._points.reach(Points.PUBLISHED)
        self._points.flush(Points.PUBLISHED, root)
