"""The playlists of one channel beside what its sessions want listed: publishing them now should change nothing."""

from collections.abc import Sequence

from application.playlist_content import has_shown, media_playlist, publication_of
from application.ports import MediaFiles, PlaylistDifference, Playlists
from domain.decisions import decide
from domain.events import PlaylistPublished
from domain.segments import relative_file
from domain.session import Session

SHOWN = 3
"""How many names of a playlist are told."""


def playlist_faults(playlists: Playlists, files: MediaFiles, sessions: Sequence[Session]) -> list[str]:
    """What is wrong with the playlists of a channel's sessions on one root, oldest first; each a sentence with a path.

    Raises:
        RootSuspect: the root is missing.

    """
    shown = [session for session in sessions if has_shown(session)]
    if not shown:
        return []
    showing, terms = shown[-1], shown[-1].terms
    root, channel = terms.media_root.path, terms.channel
    wanted = [media_playlist(showing, rendition) for rendition in terms.renditions]
    retired = {rendition for earlier in shown for rendition in earlier.terms.renditions} - set(terms.renditions)
    going = {
        file.file
        for session in sessions
        for batch in session.batches.values()
        if batch.purge
        for file in batch.purge.files
    }
    faults = [
        f"{files.path(root, channel, difference.file)}: {_told(difference, going)}"
        for difference in playlists.differences(root, channel, wanted, sorted(retired))
    ]
    publication = publication_of(showing)
    unknown = decide(showing, publication) if publication and not faults else ()
    for event in unknown:
        assert isinstance(event, PlaylistPublished)
        path = files.path(root, channel, "")
        faults.append(
            f"{path}: its playlists list segments {event.first_segment} to {event.last_segment}, which was not recorded"
        )
    return faults


def _told(difference: PlaylistDifference, going: set[str]) -> str:
    rendition = difference.file.partition("/")[0]
    purging = [name for name in difference.unwanted if relative_file(rendition, name) in going]
    absent = [name for name in difference.absent if name not in purging]
    others = [name for name in difference.unwanted if name not in {*purging, *absent}]
    parts = [
        f"it lists {_names(names)}, {what}"
        for names, what in (
            (purging, "whose purge is authorised"),
            (absent, "which is not there"),
            (others, "which the log does not want listed"),
        )
        if names
    ]
    if difference.lacking:
        parts.append(f"it does not list {_names(difference.lacking)}")
    return "; ".join(parts) or difference.reason


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
