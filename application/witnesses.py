"""Playlists as witnesses of the log: what viewers were shown is recorded, or the log is not the newest there was.

A database that was put back, or that lost what was committed last, is whole in itself: nothing in it tells. But what it
does not know may be that a session was closed to be kept. So nothing is deleted on its word, below whatever root.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from application.ports import Playlists, ReadModels, SessionSummary
from application.roots import Roots
from application.sessions import Sessions
from domain.errors import Invalid, ReadModelsDamaged, RootSuspect, RootUnavailable
from domain.segments import media_sequence


class Ahead(NamedTuple):
    """A playlist that shows a segment that the log does not know, and what is to be said of it."""

    root: str
    root_id: str
    channel: str
    fact: str


class Witnesses:
    """Compares what the playlists on the disks show with what the log knows."""

    def __init__(self, sessions: Sessions, read_models: ReadModels, playlists: Playlists, roots: Roots) -> None:
        self._sessions, self._read_models, self._playlists, self._roots = sessions, read_models, playlists, roots

    def require_newest(self) -> None:
        """Return if no playlist shows a segment that the log does not know, or an operator accepted that it is lost.

        Raises:
            RootSuspect: one does.

        """
        for one in self.ahead():
            if one.channel not in self._roots.lossy(one.root_id):
                raise RootSuspect(
                    one.root,
                    f"{one.fact}: was the database put back? Until it has passed them, or that playlist is removed, "
                    "nothing is purged",
                )

    def ahead(self) -> Iterator[Ahead]:
        """The playlists that do.

        The read models may be behind, or wrong: before a playlist is said to be ahead, the log itself is asked. A root
        that cannot be looked at has no say; below it nothing is deleted anyway.
        """
        channels: dict[str, list[SessionSummary]] = {}
        sessions = self._read_models.sessions()
        segments = self._segments(sessions)
        for summary in sessions:
            channels.setdefault(summary.channel, []).append(summary)
        for channel, summaries in channels.items():
            known = sum(segments.get(summary.session_id, 0) for summary in summaries)
            for root, root_id in {summary.root: summary.root_id for summary in summaries}.items():
                for fact in self._compared(root, channel, known):
                    yield Ahead(root, root_id, channel, fact)

    def _segments(self, sessions: Sequence[SessionSummary]) -> dict[str, int]:
        """How many segments each session has completed, as far as the read models tell it."""
        last = [(one.session_id, one.batches_completed - 1) for one in sessions if one.batches_completed]
        try:
            return {row.session_id: row.last_segment + 1 for row in self._read_models.records(last)}
        except ReadModelsDamaged:
            segments: dict[str, int] = {}
            for place in last:
                with suppress(ReadModelsDamaged):
                    segments |= {row.session_id: row.last_segment + 1 for row in self._read_models.records([place])}
            return segments

    def _compared(self, root: str, channel: str, known: int) -> Iterator[str]:
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
                yield (
                    f"the playlist of {channel}/{rendition} lists segments up to media sequence number {sequence - 1}, "
                    f"the log knows them up to {recorded - 1}"
                )
