"""Disks that fail on command: real files, with a kill at a named point and permissions that root cannot lose."""

from collections.abc import Sequence

from msgspec.structs import replace

from application.ports import Deletion, MediaPlaylist
from domain.events import FileIdentity, RemainingFile
from media.playlist import PlaylistFiles
from media.segment_root import SegmentRoots


class Killed(BaseException):
    """The process dies here."""


class Points:
    """Where the process is to die: at most once, at the point that is armed."""

    PUBLISH, PUBLISHED, DELETE, UNLINKED, DELETED = POINTS = ("publish", "published", "delete", "unlinked", "deleted")

    def __init__(self) -> None:
        self.armed: str | None = None

    def reach(self, point: str) -> None:
        if self.armed == point:
            self.armed = None
            raise Killed(point)


class FailingRoots(SegmentRoots):
    """Real media roots; files whose absolute path is ``denied`` cannot be deleted."""

    def __init__(self, points: Points, denied: set[str]) -> None:
        self._points, self._denied = points, denied

    def delete(self, root: str, channel: str, files: Sequence[FileIdentity]) -> Deletion:
        self._points.reach(Points.DELETE)
        denied = [file for file in files if self.path(root, channel, file.file) in self._denied]
        allowed = [file for file in files if file not in denied]
        if self._points.armed == Points.UNLINKED:
            super().delete(root, channel, allowed[: len(allowed) // 2])
        self._points.reach(Points.UNLINKED)
        deletion = super().delete(root, channel, allowed)
        self._points.reach(Points.DELETED)
        left = tuple(RemainingFile(name=file.file, errno="EACCES") for file in denied)
        return replace(deletion, remaining=(*deletion.remaining, *left))


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
