"""A playlist that is to be written, beside the one that is there: only segments are listed whose files are there."""

import os
import stat
from typing import NamedTuple

from application.ports import MediaPlaylist
from domain.errors import RootSuspect
from domain.segments import check_label, relative_file
from media.directories import ChannelDirectories, split_file
from media.durable import read_regular, suspecting
from media.playlist_text import Listing, media_playlist_name, parse_media, playable, render_media

_LONGEST = 16 * 2**20


class Draft(NamedTuple):
    """A playlist that is to stand in an open directory: its name, what it says now, and what it is to say."""

    directory: int
    folder: str
    name: str
    before: str | None
    text: str


def media_draft(directories: ChannelDirectories, channel: str, playlist: MediaPlaylist) -> Draft:
    """What a media playlist is to say, with those of its segments that are there.

    Raises:
        Invalid: the name of a rendition or a segment is not one.
        RootSuspect: the one on disk is ahead of it, or cannot be read.

    """
    rendition = check_label("rendition", playlist.rendition)
    segments = [split_file(relative_file(rendition, segment.name))[1] for segment in playlist.segments]
    root, folder, name = directories.path, f"{channel}/{rendition}", media_playlist_name(rendition)
    with suspecting(root, f"{folder} cannot be opened"):
        directory = directories.rendition(rendition)
    before = read_playlist(root, directory, folder, name)
    shown = parse_media(before or "")
    _check_onward(root, f"{folder}/{name}", shown, playlist)
    with suspecting(root, f"{folder} cannot be looked at"):
        present = {segment for segment in segments if is_there(directory, segment)}
    return Draft(directory, folder, name, before, render_media(playable(playlist, present, shown)))


def _check_onward(root: str, file: str, shown: Listing, playlist: MediaPlaylist) -> None:
    """Viewers have seen what the playlist on disk lists: what takes it back does not know all that happened here."""
    end = max(playlist.next_sequence, playlist.media_sequence + len(playlist.segments))
    if end < shown.end:
        raise RootSuspect(
            root,
            f"{file} lists segments up to media sequence number {shown.end - 1}, the log only up to {end - 1}: was the "
            "database put back? The number must not decrease (RFC 8216 6.2.2); to begin anew, remove that playlist",
        )


def is_there(directory: int, name: str) -> bool:
    """Whether a regular file of that name is in an open directory."""
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def read_playlist(root: str, directory: int, folder: str, name: str) -> str | None:
    """The text of a playlist in an open directory; None if there is none.

    Raises:
        RootSuspect: it cannot be read, or is no regular file.

    """
    with suspecting(root, f"{folder}/{name} cannot be read"):
        content = read_regular(directory, name, _LONGEST)
    return None if content is None else content.decode(errors="replace")
