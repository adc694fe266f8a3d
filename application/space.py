"""Space: whether a media root's disk takes another batch."""

from application.ports import MediaFiles
from domain.errors import Refused, RootUnavailable
from domain.session import Session

Lack = Refused | RootUnavailable
"""What is wrong with a disk that takes no batch now; no failure of a batch, and not counted as one."""


def lack_of_space(session: Session, files: MediaFiles, least: int) -> Lack | None:
    """Why the session's next batch should not start, for it would not fit; ``least`` bytes have to be free."""
    root = session.terms.media_root.path
    try:
        files.try_writing(root, session.terms.channel)
        free = files.free_bytes(root)
    except RootUnavailable as unavailable:
        return unavailable
    reason = f"less than min_free_bytes, {least}, is free on {root}"
    return Refused("min_free_bytes", "batch", session.next_batch, reason) if free < least else None
