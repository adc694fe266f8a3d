"""A media root as its own events tell it: whether it is trusted, and which filesystem it is on (R17)."""

from collections.abc import Sequence

import msgspec

from domain.errors import Invalid
from domain.events import LossAccepted, LostEvent, MediaRoot, Recorded, RootSuspected, RootTrusted, Suspicion
from domain.ids import is_id

AT_ONCE = 1000
"""How many lost events one LossAccepted names: it is one line of the log."""


def check_root(root: MediaRoot) -> None:
    """Return if there can be a media root with this path, and a stream of events with its id.

    Raises:
        Invalid: as `check_path`; or the id is no UUID in its canonical text form (RFC 9562 section 4).

    """
    check_path(root.path)
    if not is_id(root.root_id):
        raise Invalid("media_root", root.root_id, "an id is a UUID in its canonical text form")


def check_path(path: str) -> str:
    """Return ``path`` if it can be that of a media root.

    Raises:
        Invalid: it is not absolute, or holds what a line of text or a system call cannot.

    """
    if not path.startswith("/") or not path.isprintable():
        raise Invalid("media_root", path, "an absolute path of printable characters")
    return path


class Root(msgspec.Struct, frozen=True):
    """The state of one media root after ``version`` events; its stream has the root's id.

    A root that was moved is known at two paths, and what is seen at one of them says nothing of the other: so
    ``suspected``, and ``devices``, the filesystems that it was last trusted on, go by the path. ``accepted`` are
    events that the log lost and an operator took note of: their ids, each with its channel.
    """

    root_id: str
    version: int = 0
    suspected: dict[str, RootSuspected] = {}
    devices: dict[str, str] = {}
    accepted: dict[str, str] = {}

    def held_against(self, path: str) -> RootSuspected | None:
        """Why the root is not trusted at the path: a failed flush, which counts wherever it was, or what was seen."""
        flush = (one for one in self.suspected.values() if one.suspicion is Suspicion.FLUSH)
        return next(flush, self.suspected.get(path))


def evolve_root(root: Root, recorded: Recorded) -> Root:
    """The state after one more event of the root."""
    version, suspected = recorded.envelope.version, root.suspected
    devices, accepted = root.devices, root.accepted
    match recorded.event:
        case RootSuspected() as event:
            suspected = {**suspected, event.root.path: event}
        case RootTrusted() as event:
            suspected = {
                path: one
                for path, one in root.suspected.items()
                if path != event.root.path and one.suspicion is not Suspicion.FLUSH
            }
            devices = {**devices, event.root.path: event.root.device}
        case LossAccepted() as event:
            accepted = {**accepted, **{one.event_id: one.channel for one in event.events}}
        case event:
            raise LookupError(f"{type(event).__name__} is no event of a media root")
    return Root(root.root_id, version, suspected, devices, accepted)


def suspect(root: Root, media_root: MediaRoot, suspicion: Suspicion, reason: str) -> tuple[RootSuspected, ...]:
    """RootSuspected, unless that is known. A failed flush is not forgotten over what can be seen."""
    known = root.held_against(media_root.path)
    if known and known.suspicion in {suspicion, Suspicion.FLUSH}:
        return ()
    return (RootSuspected(root=media_root, suspicion=suspicion, reason=reason),)


def prove(root: Root, media_root: MediaRoot, reason: str) -> tuple[RootTrusted, ...]:
    """RootTrusted, if what is held against the root was seen, and is seen no more; a failed flush stays held."""
    held = root.held_against(media_root.path)
    return () if held and held.suspicion is Suspicion.FLUSH else trust(root, media_root, reason)


def trust(root: Root, media_root: MediaRoot, reason: str) -> tuple[RootTrusted, ...]:
    """RootTrusted, if anything is held against the root."""
    return (RootTrusted(root=media_root, reason=reason),) if root.held_against(media_root.path) else ()


def accept(root: Root, media_root: MediaRoot, lost: Sequence[LostEvent], reason: str) -> tuple[LossAccepted, ...]:
    """LossAccepted for those events that were not accepted before, `AT_ONCE` in each."""
    new = [one for one in lost if one.event_id not in root.accepted]
    return tuple(
        LossAccepted(root=media_root, events=tuple(new[start : start + AT_ONCE]), reason=reason)
        for start in range(0, len(new), AT_ONCE)
    )
