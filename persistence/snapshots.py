"""States of sessions that were kept: a cache that says of itself when it must not be gone by."""

import hashlib
from functools import cache
from importlib.resources import files

import msgspec
from sqlalchemy import Engine, delete, insert, literal, select

from application.ports import Snapshots
from domain.ids import is_id
from domain.merkle import leaf_hash
from domain.session import Session
from persistence import codec
from persistence.engine import fetched, writing
from persistence.tables import events
from persistence.tables import snapshots as kept

_DECODER = msgspec.json.Decoder(Session)

_LOAD = """
    SELECT snapshots.state, snapshots.state_hash, snapshots.leaf_hash, snapshots.version, events.line FROM snapshots
    JOIN events ON events.session_id = snapshots.session_id AND events.version = snapshots.version
    WHERE snapshots.session_id = ? AND snapshots.code = ?"""


class SqlSnapshots(Snapshots):
    """One row a session. The hash of its state tells damage; against who forges rows nothing here helps."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def load(self, session_id: str) -> Session | None:
        """See `Snapshots.load`."""
        if not is_id(session_id):
            return None
        row = next(iter(fetched(self._engine, _LOAD, (codec.id_bytes(session_id), code()))), None)
        if row is None:
            return None
        state, state_hash, last_hash, version, line = row
        if not isinstance(line, bytes) or leaf_hash(line) != last_hash:
            return None
        if not isinstance(state, bytes) or hashlib.sha256(state).digest() != state_hash:
            return None
        try:
            session = _DECODER.decode(state)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return session if (session.session_id, session.version) == (session_id, version) else None

    def save(self, session: Session) -> None:
        """See `Snapshots.save`."""
        state = msgspec.json.encode(session)
        # The hash of its last event comes from the log, if that is the event that was folded.
        row = select(
            events.c.session_id,
            events.c.version,
            literal(code()),
            events.c.leaf_hash,
            literal(state),
            literal(hashlib.sha256(state).digest()),
        ).where(
            events.c.event_id == codec.id_bytes(session.last_event_id or session.session_id),
            events.c.session_id == codec.id_bytes(session.session_id),
            events.c.version == session.version,
        )
        with writing(self._engine).begin() as connection:
            connection.execute(delete(kept).where(kept.c.session_id == codec.id_bytes(session.session_id)))
            connection.execute(insert(kept).from_select(list(kept.c.keys()), row))

    def versions(self) -> dict[str, int]:
        """See `Snapshots.versions`."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(kept.c.session_id, kept.c.version)).all()
        # Of what a damaged page makes of a row nobody loads a state.
        return {codec.id_text(key): version for key, version in rows if (type(key), type(version)) == (bytes, int)}

    def clear(self) -> None:
        """See `Snapshots.clear`."""
        with writing(self._engine).begin() as connection:
            connection.execute(delete(kept))


class MemorySnapshots(Snapshots):
    """The states themselves: they are frozen, and the process that made them is this one."""

    def __init__(self) -> None:
        self._kept: dict[str, Session] = {}

    def load(self, session_id: str) -> Session | None:
        """See `Snapshots.load`."""
        return self._kept.get(session_id)

    def save(self, session: Session) -> None:
        """See `Snapshots.save`."""
        self._kept[session.session_id] = session

    def versions(self) -> dict[str, int]:
        """See `Snapshots.versions`."""
        return {session_id: session.version for session_id, session in self._kept.items()}

    def clear(self) -> None:
        """See `Snapshots.clear`."""
        self._kept.clear()


@cache
def code() -> bytes:
    """A hash over the code that decides what a state is: whatever changes there, older states are not gone by."""
    digest = hashlib.sha256()
    for package, names in (("domain", "*"), ("persistence", "codec")):
        for source in sorted(files(package).iterdir(), key=lambda one: one.name):
            stem, _, ending = source.name.rpartition(".")
            if ending == "py" and names in {"*", stem}:
                content = source.read_bytes()
                digest.update(f"{source.name} {len(content)}\n".encode() + content)
    return digest.digest()
