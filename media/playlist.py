"""The playlists of a channel on local disk: replaced atomically and durably, never listing a file that is not there."""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from application.ports import MediaPlaylist, Playlists
from domain.errors import RootSuspect
from domain.segments import check_label, relative_file
from media.directories import ChannelDirectories, split_file
from media.durable import flush, read_regular, suspecting, write_new
from media.playlist_text import (
    Listing,
    media_playlist_name,
    parse_media,
    playable,
    render_master,
    render_media,
)

MASTER_PLAYLIST = "master.m3u8"
_LONGEST = 16 * 2**20


class PlaylistFiles(Playlists):
    """`Playlists` on directories of this machine. Who publishes holds the root (`MediaFiles.exclusive`)."""

    def publish(
        self, root: str, channel: str, playlists: Sequence[MediaPlaylist], retired: Sequence[MediaPlaylist] = ()
    ) -> None:
        """Replace the media playlists, then the master playlist, then the retired ones; each atomically and durably.

        A segment whose file is missing is not listed, nor are those before it. What has the same text is not written
        again. Nothing is written before every playlist is known to be acceptable.

        Raises:
            Invalid: the name of a rendition or a segment is not one.
            RootSuspect: a playlist on disk is ahead of this one (its log was lost or put back), is not a regular file,
                or cannot be read, written or flushed.

        """
        with ChannelDirectories(root, channel) as directories:
            drafts = [_media_draft(directories, channel, playlist) for playlist in playlists]
            with suspecting(root, f"{channel} cannot be opened"):
                top = directories.channel()
            before = _read(root, top, channel, MASTER_PLAYLIST)
            drafts.append(_Draft(top, channel, MASTER_PLAYLIST, before, render_master(playlists)))
            # What the channel no longer has, an operator may have removed.
            still_there = [playlist for playlist in retired if _has_directory(directories, channel, playlist.rendition)]
            drafts += [_media_draft(directories, channel, playlist) for playlist in still_there]
            for draft in drafts:
                _replace(root, draft)

    def listed(self, root: str, channel: str, rendition: str) -> tuple[str, ...] | None:
        """The names that the rendition's playlist lists now; None if there is no playlist.

        Raises:
            RootSuspect: the root is missing, or the playlist cannot be read.

        """
        with ChannelDirectories(root, channel) as directories:
            with suspecting(root, f"the playlist of {channel}/{rendition} cannot be read"):
                try:
                    directory = directories.rendition(rendition)
                except FileNotFoundError:
                    return None
            text = _read(root, directory, f"{channel}/{rendition}", media_playlist_name(rendition))
            return None if text is None else parse_media(text).names


class _Draft(NamedTuple):
    """A playlist that is to stand in an open directory: its name, what it says now, and what it is to say."""

    directory: int
    folder: str
    name: str
    before: str | None
    text: str


def _has_directory(directories: ChannelDirectories, channel: str, rendition: str) -> bool:
    with suspecting(directories.path, f"{channel}/{rendition} cannot be opened"):
        try:
            directories.rendition(rendition)
        except FileNotFoundError:
            return False
    return True


def _media_draft(directories: ChannelDirectories, channel: str, playlist: MediaPlaylist) -> _Draft:
    rendition = check_label("rendition", playlist.rendition)
    segments = [split_file(relative_file(rendition, segment.name))[1] for segment in playlist.segments]
    root, folder, name = directories.path, f"{channel}/{rendition}", media_playlist_name(rendition)
    with suspecting(root, f"{folder} cannot be opened"):
        directory = directories.rendition(rendition)
    before = _read(root, directory, folder, name)
    shown = parse_media(before or "")
    _check_onward(root, f"{folder}/{name}", shown, playlist)
    with suspecting(root, f"{folder} cannot be looked at"):
        present = {segment for segment in segments if _is_there(directory, segment)}
    return _Draft(directory, folder, name, before, render_media(playable(playlist, present, shown.media_sequence)))


def _check_onward(root: str, file: str, shown: Listing, playlist: MediaPlaylist) -> None:
    """Viewers have seen what the playlist on disk lists: what takes it back does not know all that happened here."""
    end = playlist.media_sequence + len(playlist.segments)
    if end < shown.end:
        raise RootSuspect(
            root,
            f"{file} lists segments up to media sequence number {shown.end - 1}, the log only up to {end - 1}: was the "
            "database put back? The number must not decrease (RFC 8216 6.2.2); to begin anew, remove that playlist",
        )


def _is_there(directory: int, name: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _read(root: str, directory: int, folder: str, name: str) -> str | None:
    with suspecting(root, f"{folder}/{name} cannot be read"):
        content = read_regular(directory, name, _LONGEST)
    return None if content is None else content.decode(errors="replace")


def _replace(root: str, draft: _Draft) -> None:
    """Write the playlist if it changed; flush its directory in any case, for who wrote it may have died before that."""
    if draft.text != draft.before:
        temporary = f".{draft.name}.new"
        with suspecting(root, f"{draft.folder}/{draft.name} cannot be written"):
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=draft.directory)
            write_new(draft.directory, temporary, draft.text.encode())
            os.rename(temporary, draft.name, src_dir_fd=draft.directory, dst_dir_fd=draft.directory)
    flush(draft.directory, root, draft.folder)
