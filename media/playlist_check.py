"""How the playlists on disk differ from those that would be written: read, compared, and nothing is touched."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress

from application.ports import MediaPlaylist, PlaylistDifference, Shown
from domain.errors import RootUnavailable
from domain.segments import relative_file
from media.directories import ChannelDirectories
from media.durable import suspecting
from media.playlist_draft import media_draft, read_playlist
from media.playlist_text import MASTER_PLAYLIST, Listing, media_playlist_name, parse_media, render_master

MISSING = "it is missing"
OTHER_TEXT = "its text is not what the log wants"


def differences(
    root: str, channel: str, playlists: Sequence[MediaPlaylist], retired: Sequence[str]
) -> tuple[PlaylistDifference, ...]:
    """What `PlaylistFiles.publish` would change; ``retired`` are renditions whose playlists are to list nothing.

    Raises:
        RootUnavailable: the root is missing.

    """
    with ChannelDirectories(root, channel) as directories:
        found = [_of_media(directories, channel, playlist) for playlist in playlists]
        if any(playlist.segments for playlist in playlists):
            found.append(_of_master(directories, channel, playlists))
        found += [_of_retired(directories, channel, rendition) for rendition in retired]
    return tuple(difference for difference in found if difference is not None)


def shown(root: str, channel: str) -> dict[str, Shown]:
    """What the media playlists in the channel's directories show, by rendition.

    Raises:
        RootSuspect: the root is missing, or a playlist cannot be read.

    """
    found: dict[str, Shown] = {}
    with ChannelDirectories(root, channel) as directories:
        with suspecting(root, f"{channel} cannot be listed"):
            try:
                top: int = directories.channel()
            except FileNotFoundError:
                return found
            names = sorted(os.listdir(top))
        for name in names:
            with suppress(OSError):
                directory = directories.inner(name)  # anybody may have made it
                text = read_playlist(root, directory, f"{channel}/{name}", media_playlist_name(name))
                if text is not None:
                    listing = parse_media(text)
                    found[name] = Shown(listing.names, listing.end)
    return found


def _of_media(directories: ChannelDirectories, channel: str, playlist: MediaPlaylist) -> PlaylistDifference | None:
    if not playlist.segments:
        return _of_retired(directories, channel, playlist.rendition)
    file = _file(playlist.rendition)
    try:
        draft = media_draft(directories, channel, playlist)
    except RootUnavailable as suspect:
        return PlaylistDifference(file, reason=suspect.reason)
    if draft.before is None:
        return PlaylistDifference(file, reason=MISSING)
    if draft.before == draft.text:
        return None
    shown, wanted = parse_media(draft.before), parse_media(draft.text)
    known = {segment.name for segment in playlist.segments}
    absent = tuple(name for name in shown.names if not _is_file(draft.directory, name))
    unwanted = tuple(name for name in shown.names if name not in known)
    lacking = tuple(name for name in wanted.names if name not in shown.names)
    return PlaylistDifference(
        file, absent, unwanted, lacking, "" if absent or unwanted or lacking else _reason(shown, wanted)
    )


def _reason(shown: Listing, wanted: Listing) -> str:
    if shown.names != wanted.names:
        return "it lists its segments in another order, or more than once"
    if shown.media_sequence != wanted.media_sequence:
        return f"its media sequence number is {shown.media_sequence}, it should be {wanted.media_sequence}"
    return OTHER_TEXT


def _of_master(
    directories: ChannelDirectories, channel: str, playlists: Sequence[MediaPlaylist]
) -> PlaylistDifference | None:
    try:
        before = read_playlist(directories.path, directories.channel(), channel, MASTER_PLAYLIST)
    except OSError:
        before = None
    except RootUnavailable as suspect:
        return PlaylistDifference(MASTER_PLAYLIST, reason=suspect.reason)
    if before is None:
        return PlaylistDifference(MASTER_PLAYLIST, reason=MISSING)
    text = render_master(playlists)
    if before == text:
        return None
    named, wanted = list(_named(before)), list(_named(text))
    reason = OTHER_TEXT if named == wanted else f"it names {', '.join(named) or 'nothing'}, not {', '.join(wanted)}"
    return PlaylistDifference(MASTER_PLAYLIST, reason=reason)


def _of_retired(directories: ChannelDirectories, channel: str, rendition: str) -> PlaylistDifference | None:
    """Of a playlist that is to list nothing, if it is there at all."""
    file = _file(rendition)
    try:
        directory = directories.rendition(rendition)
        before = read_playlist(directories.path, directory, f"{channel}/{rendition}", media_playlist_name(rendition))
    except OSError:
        return None
    except RootUnavailable as suspect:
        return PlaylistDifference(file, reason=suspect.reason)
    names = parse_media(before or "").names
    return PlaylistDifference(file, unwanted=names) if names else None


def _file(rendition: str) -> str:
    return relative_file(rendition, media_playlist_name(rendition))


def _named(text: str) -> Iterator[str]:
    return (line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


def _is_file(directory: int, name: str) -> bool:
    """Whether a name that a playlist lists is that of a file; whoever wrote the playlist may have listed anything."""
    with suppress(OSError, ValueError):
        return "/" not in name and stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    return False
