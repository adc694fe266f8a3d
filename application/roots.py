"""Media roots: whether each proves to be the one that the log knows, and what is recorded when it does not (R17)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from msgspec.structs import replace

from application.handlers import Cause, Decision, Handler
from application.ports import EventLog, Marker, MediaFiles
from domain.errors import FlushFailed, LogDamaged, RootSuspect, RootUnavailable
from domain.events import Event, LostEvent, MediaRoot, Recorded, Suspicion
from domain.root import Root, accept, evolve_root, prove, suspect, trust

ACTOR = "guard"
PROVEN = "it proves itself again: its marker is there, on the filesystem that it was on"

Finding = tuple[Suspicion, str]


class Roots:
    """Looks at media roots before anything is written or deleted below them, and records when that changes."""

    def __init__(self, log: EventLog, handler: Handler, files: MediaFiles, store_id: str) -> None:
        self._log, self._handler, self._files, self._store_id = log, handler, files, store_id
        self._known: dict[str, Root] = {}
        self._unrecorded: dict[str, str] = {}

    def require(self, root: MediaRoot) -> None:
        """Return if the root proves to be ours and nothing is held against it; record what changed.

        Raises:
            RootSuspect: it does not, or a flush failed and nobody has trusted it since.

        """
        state, finding = self._look_and_record(root)
        if finding:
            raise RootSuspect(root.path, finding[1])
        _require_flushed(root, state)
        if state.held_against(root.path):
            now = self._as_it_is(root)
            self._record(root, lambda state: prove(state, now, PROVEN), Cause(ACTOR))
            _require_flushed(root, self._state(root.root_id))  # it may have been recorded meanwhile

    @contextmanager
    def proven(self, root: MediaRoot) -> Iterator[None]:
        """Look and work, inside the block, on the very disk that proved to be ours; errors as `require`."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self._files.staying(root.path))
            except RootUnavailable:
                self.require(root)  # so that it is recorded
                raise
            self.require(root)
            yield

    def here(self, root: MediaRoot) -> bool:
        """Whether this host sees the root, by its marker; nothing is recorded."""
        try:
            return self._files.read_marker(root.path) == self._marker(root)
        except RootUnavailable:
            return False

    def examine(self, root: MediaRoot) -> str | None:
        """What `require` would raise, without recording anything; None if the root is trusted."""
        try:
            state, finding = self._look(root)
            if finding:
                return finding[1]
            _require_flushed(root, state)
        except RootUnavailable as unavailable:
            return unavailable.reason
        unrecorded = self._unrecorded.get(root.root_id)
        return _latched(root, unrecorded) if unrecorded else None

    def trust(self, root: MediaRoot, reason: str, cause: Cause) -> tuple[Recorded, ...]:
        """Trust the root as it is now, by an operator's word: it gets its marker and the filesystem that it is on.

        What was wrong is recorded first, so that no marker is replaced without a trace.

        Raises:
            RootSuspect: it is missing, or its marker cannot be written.

        """
        self._look_and_record(root)
        with self.flushing(root):
            self._files.mark(root.path, self._marker(root))
        now = self._as_it_is(root)
        return self._record(root, lambda state: trust(state, now, reason), cause)

    def unopened(self, path: str) -> MediaRoot | None:
        """The root whose marker is at the path, if something is held against it; no session need be opened on it."""
        try:
            marker = self._files.read_marker(path)
        except RootUnavailable:
            return None
        if marker is None or marker.store_id != self._store_id:
            return None
        held = self._state(marker.root_id).held_against(path)
        return MediaRoot(path=path, root_id=marker.root_id) if held else None

    def accepted(self, root_id: str) -> frozenset[str]:
        """The ids of events that the root's journal tells of, and of which an operator accepted that they are lost."""
        return frozenset(self._state(root_id).accepted)

    def lossy(self, root_id: str) -> frozenset[str]:
        """The channels of which an operator accepted that the log lost something that the root's journal tells of."""
        return frozenset(self._state(root_id).accepted.values())

    def accept(self, root: MediaRoot, lost: Sequence[LostEvent], reason: str, cause: Cause) -> tuple[Recorded, ...]:
        """Record an operator's word that the log lost these events, and is to go on."""
        return self._record(root, lambda state: accept(state, root, lost, reason), cause)

    def forget(self) -> None:
        """Forget what was folded from the log: it is read again."""
        self._known = {}

    @contextmanager
    def flushing(self, root: MediaRoot) -> Iterator[None]:
        """Record it when something below the root cannot be flushed inside the block."""
        try:
            yield
        except FlushFailed as failed:
            self._unrecorded[root.root_id] = failed.reason
            self._suspect(root, Suspicion.FLUSH, failed.reason)
            self._unrecorded.pop(root.root_id, None)
            raise

    def _look_and_record(self, root: MediaRoot) -> tuple[Root, Finding | None]:
        """Look at the root, record what is wrong with it and what could not be recorded before; tell what is seen.

        With it the state by which that was judged, in which nothing of it is recorded yet.
        """
        if unrecorded := self._unrecorded.get(root.root_id):
            self._suspect(root, Suspicion.FLUSH, unrecorded)
            self._unrecorded.pop(root.root_id, None)
        state, finding = self._look(root)
        if finding:
            self._suspect(root, *finding)
        return state, finding

    def _look(self, root: MediaRoot) -> tuple[Root, Finding | None]:
        """First at the disk, which may be slow; then at the log, for what was recorded meanwhile."""
        try:
            found, device = self._files.read_marker(root.path), self._files.device(root.path)
        except RootSuspect as unreadable:
            return self._state(root.root_id), (Suspicion.ABSENT, unreadable.reason)
        state = self._state(root.root_id)
        return state, self._judged(root, state, found, device)

    def _judged(self, root: MediaRoot, state: Root, found: Marker | None, device: str) -> Finding | None:
        if found is None:
            return Suspicion.ABSENT, "its marker file is missing; is the disk mounted?"
        if found != self._marker(root):
            return Suspicion.FOREIGN, f"its marker is of store {found.store_id} and root {found.root_id}, not ours"
        expected = state.devices.get(root.path) or root.device
        if expected and device != expected:
            return Suspicion.DEVICE, f"it is on another filesystem than before: {device}, not {expected}"
        return None

    def _state(self, root_id: str) -> Root:
        state = self._known.get(root_id) or Root(root_id)
        for recorded in self._log.read_session(root_id, after_version=state.version):
            try:
                state = evolve_root(state, recorded)
            except LookupError as error:
                raise LogDamaged(recorded.position, str(error)) from error
        self._known[root_id] = state
        return state

    def _suspect(self, root: MediaRoot, suspicion: Suspicion, reason: str) -> None:
        self._record(root, lambda state: suspect(state, root, suspicion, reason), Cause(ACTOR))

    def _record(
        self, root: MediaRoot, decision: Callable[[Root], Sequence[Event]], cause: Cause
    ) -> tuple[Recorded, ...]:
        def decided() -> Decision:
            state = self._state(root.root_id)
            return Decision(state.version, decision(state), "")

        return self._handler.record(root.root_id, decided, cause, self.forget)

    def _marker(self, root: MediaRoot) -> Marker:
        return Marker(store_id=self._store_id, root_id=root.root_id)

    def _as_it_is(self, root: MediaRoot) -> MediaRoot:
        return replace(root, device=self._files.device(root.path))


def _require_flushed(root: MediaRoot, state: Root) -> None:
    """Raise `RootSuspect` if a flush failed and nobody has trusted the root since."""
    held = state.held_against(root.path)
    if held and held.suspicion is Suspicion.FLUSH:
        raise RootSuspect(root.path, _latched(root, held.reason))


def _latched(root: MediaRoot, reason: str) -> str:
    return f"{reason}; when the disk has been looked at: trailkeep root trust {root.path} --reason ..."
