"""The playlists of a channel on local disk: replaced atomically and durably, never listing a file that is not there."""

import os
from collections.abc import Sequence
from contextlib import suppress

from application.ports import MediaPlaylist, PlaylistDifference, Playlists, Shown
from domain.errors import Refused, RootSuspect
from domain.segments import check_label, relative_file
from media.directories import ChannelDirectories
from media.durable import flush, suspecting, write_new
from media.playlist_check import differences, shown
from media.playlist_draft import Draft, is_there, media_draft, read_playlist
from media.playlist_text import MASTER_PLAYLIST, media_playlist_name, parse_media, render_master


class PlaylistFiles(Playlists):
    """`Playlists` on directories of this machine. Who publishes holds the root (`MediaFiles.exclusive`)."""

    def publish(
        self, root: str, channel: str, playlists: Sequence[MediaPlaylist], retired: Sequence[MediaPlaylist] = ()
    ) -> None:
        """Replace the media playlists, then the master playlist, then the retired ones; each atomically and durably.

        A segment whose file is missing is not listed, nor are those before it. What has the same text is not written
        again. Nothing is written before every playlist is known to be acceptable. A directory that somebody removed is
        made again: what was in it is absent, and that alone must not keep the channel from being published (R7).

        Raises:
            Invalid: the name of a rendition or a segment is not one.
            RootSuspect: a playlist on disk is ahead of this one (its log was lost or put back), is not a regular file,
                or cannot be read, written or flushed.
            RootUnavailable: one cannot be written now; those that were not replaced are what they were.

        """
        with ChannelDirectories(root, channel) as directories:
            for playlist in playlists:
                _make_again(directories, channel, playlist.rendition)
            drafts = [media_draft(directories, channel, playlist) for playlist in playlists]
            with suspecting(root, f"{channel} cannot be opened"):
                top = directories.channel()
            before = read_playlist(root, top, channel, MASTER_PLAYLIST)
            drafts.append(Draft(top, channel, MASTER_PLAYLIST, before, render_master(playlists)))
            # What the channel no longer has, an operator may have removed.
            still_there = [playlist for playlist in retired if _has_directory(directories, channel, playlist.rendition)]
            drafts += [media_draft(directories, channel, playlist) for playlist in still_there]
            for draft in drafts:
                _replace(root, draft)

    def differences(
        self, root: str, channel: str, playlists: Sequence[MediaPlaylist], retired: Sequence[str]
    ) -> tuple[PlaylistDifference, ...]:
        """See `playlist_check.differences`."""
        return differences(root, channel, playlists, retired)

    def shown(self, root: str, channel: str) -> dict[str, Shown]:
        """See `playlist_check.shown`."""
        return shown(root, channel)

    def listed(self, root: str, channel: str, rendition: str) -> tuple[str, ...] | None:
        """The names that the rendition's playlist lists now; None if there is no playlist.

        No power cut brings back a playlist from before: its directory is flushed.

        Raises:
            RootSuspect: the root is missing, or the playlist cannot be read.

        """
        with ChannelDirectories(root, channel) as directories:
            with suspecting(root, f"the playlist of {channel}/{rendition} cannot be read"):
                try:
                    directory = directories.rendition(rendition)
                except FileNotFoundError:
                    return None
            text = read_playlist(root, directory, f"{channel}/{rendition}", media_playlist_name(rendition))
            flush(directory, root, f"{channel}/{rendition}")
            return None if text is None else parse_media(text).names

    def find(self, root: str, channel: str, renditions: Sequence[str]) -> tuple[str, ...]:
        """Those of the channel's playlists that are there, relative to its directory; the master playlist is first.

        Raises:
            RootSuspect: the root is missing, or a directory is not accessible.

        """
        found = []
        with ChannelDirectories(root, channel) as directories, suspecting(root, f"{channel} cannot be looked at"):
            with suppress(FileNotFoundError):
                if is_there(directories.channel(), MASTER_PLAYLIST):
                    found.append(MASTER_PLAYLIST)
            for rendition in renditions:
                name = media_playlist_name(rendition)
                with suppress(FileNotFoundError):
                    if is_there(directories.rendition(rendition), name):
                        found.append(relative_file(rendition, name))
        return tuple(found)


def _make_again(directories: ChannelDirectories, channel: str, rendition: str) -> None:
    if _has_directory(directories, channel, check_label("rendition", rendition)):
        return
    try:
        directories.make_channel()
        directories.make_rendition(rendition)
        flush(directories.channel(), directories.path, channel)
        flush(directories.root, directories.path, "its directory")
    except Refused as refused:
        raise RootSuspect(directories.path, f"{channel}/{rendition}: {refused.reason}") from refused


def _has_directory(directories: ChannelDirectories, channel: str, rendition: str) -> bool:
    with suspecting(directories.path, f"{channel}/{rendition} cannot be opened"):
        try:
            directories.rendition(rendition)
        except FileNotFoundError:
            return False
    return True


def _replace(root: str, draft: Draft) -> None:
    """Write the playlist if it changed; flush its directory in any case, for who wrote it may have died before that."""
    if draft.text != draft.before:
        temporary = f".{draft.name}.new"
        with suspecting(root, f"{draft.folder}/{draft.name} cannot be written"):
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=draft.directory)
            write_new(draft.directory, temporary, draft.text.encode())
            os.rename(temporary, draft.name, src_dir_fd=draft.directory, dst_dir_fd=draft.directory)
    flush(draft.directory, root, draft.folder)
