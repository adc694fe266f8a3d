"""Playlists as witnesses of the log: what viewers were shown is recorded, or the log is not the newest there was.

A database that was put back, or that lost what was committed last, is whole in itself: nothing in it tells. But what it
does not know may be that a session was closed to be kept. So nothing is deleted on its word, below whatever root.
"""

from contextlib import suppress

from application.ports import Playlists, ReadModels, SessionSummary
from application.sessions import Sessions
from domain.errors import Invalid, ReadModelsDamaged, RootSuspect, RootUnavailable
from domain.segments import media_sequence


class Witnesses:
    """Compares what the playlists on the disks show with what the log knows."""

    def __init__(self, sessions: Sessions, read_models: ReadModels, playlists: Playlists) -> None:
        self._sessions, self._read_models, self._playlists = sessions, read_models, playlists

    def require_newest(self) -> None:
        """Return if no playlist shows a segment that the log does not know.

        The read models may be behind, or wrong: before a playlist is said to be ahead, the log itself is asked. A root
        that cannot be looked at has no say; below it nothing is deleted anyway.

        Raises:
            RootSuspect: one does.

        """
        channels: dict[str, list[SessionSummary]] = {}
        for summary in self._read_models.sessions():
            channels.setdefault(summary.channel, []).append(summary)
        for channel, summaries in channels.items():
            known = sum(self._segments(summary) for summary in summaries)
            for root in dict.fromkeys(summary.root for summary in summaries):
                self._compare(root, channel, known)

    def _segments(self, summary: SessionSummary) -> int:
        """How many segments a session has completed, as far as the read models tell it."""
        with suppress(ReadModelsDamaged):
            for last in self._read_models.batches(summary.session_id, numbers=[summary.batches_completed - 1]):
                return last.last_segment + 1
        return 0

    def _compare(self, root: str, channel: str, known: int) -> None:
        try:
            shown = self._playlists.shown(root, channel)
        except (RootUnavailable, Invalid):
            return
        ahead = {rendition: one.next_sequence for rendition, one in shown.items() if one.next_sequence > known}
        newest = self._sessions.newest_of(channel) if ahead else None
        if newest is None:
            return
        recorded = media_sequence(newest.terms.naming, newest.next_batch * newest.terms.batch_size)
        for rendition, sequence in ahead.items():
            if sequence > recorded:
                raise RootSuspect(
                    root,
                    f"the playlist of {channel}/{rendition} lists segments up to media sequence number {sequence - 1}, "
                    f"the log knows them up to {recorded - 1}: was the database put back? Until it has passed them, or "
                    "that playlist is removed, nothing is purged",
                )
