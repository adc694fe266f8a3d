"""What a session may be opened with. What could not go well for ever is refused at once."""

from domain.commands import OpenSession
from domain.errors import Invalid, Refused
from domain.events import Availability
from domain.segments import check_label, check_naming

MAX_BATCH_SIZE = 10_000
MAX_SEGMENT_MS = 3_600_000


def check_terms(command: OpenSession) -> None:
    """Return if a session can live by these terms.

    Raises:
        Invalid: one of them can never hold.
        Refused: its names would have to collide (R5).

    """
    check_label("channel", command.channel)
    if not command.renditions:
        raise Invalid("renditions", list(command.renditions), "at least one rendition")
    for rendition in command.renditions:
        check_label("rendition", rendition)
    if len({rendition.casefold() for rendition in command.renditions}) != len(command.renditions):
        raise Invalid("renditions", list(command.renditions), "each rendition once, whatever its case")
    check_naming(command.naming)
    _check_numbers(command)


def _check_numbers(command: OpenSession) -> None:
    size, wrap, window, policy = command.batch_size, command.naming.wrap, command.playlist_window, command.policy
    if not 1 <= size <= MAX_BATCH_SIZE:
        raise Invalid("batch_size", size, f"1 to {MAX_BATCH_SIZE} segments")
    if not 1 <= command.segment_ms <= MAX_SEGMENT_MS:
        raise Invalid("segment_seconds", command.segment_ms / 1000, "more than 0 and at most an hour")
    if policy.keep_previous < 1:
        raise Invalid("keep_previous", policy.keep_previous, "1 or more: the newest two completed batches stay (R19)")
    if window and window < size:
        raise Invalid(
            "playlist_window", window, f"0 (no playlist) or at least batch_size, {size}: none may go unlisted"
        )
    if wrap:
        _check_wrap(size, wrap, window, policy.keep_previous, policy.availability)


def _check_wrap(size: int, wrap: int, window: int, keep_previous: int, availability: Availability) -> None:
    """R5: a session in which names must collide sooner or later is refused at opening."""
    needed, reason = (keep_previous + 2) * size, "a batch would start under names that a kept batch still needs"
    listed = -(-window // size) * size
    if availability is Availability.RFC8216 and listed + size > needed:
        needed, reason = listed + size, "a batch would start under names of a batch that the playlist still lists (R13)"
    if needed > wrap:
        raise Refused("R5", "wrap", wrap, f"it must be 0 or at least {needed}: {reason}")
