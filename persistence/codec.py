"""An envelope as one line of compact JSON and back.

The line is made once and stored verbatim; hashes are over its bytes. Lines of an older schema are upcast, step by step,
whenever they are read.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from application.ports import LogLine
from domain.errors import Invalid, LogDamaged, SchemaMismatch
from domain.events import EVENT_TYPES, SCHEMA, Envelope, Event, Recorded
from domain.ids import is_id
from domain.merkle import leaf_hash

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
"""Takes an event's ``data`` of one schema to the next one."""

Upcasters = Mapping[tuple[str, int], Upcaster]
"""By event type and the schema that is left; a type that is not named did not change at that step."""

UPCASTERS: Upcasters = {}

Written = tuple[bytes, Envelope]
"""A line, and the envelope as every reader of that line will see it."""

_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every line has, whatever its event, in the order of the keys."""

    event_id: str
    session_id: str
    version: _Int64
    recorded_at: _Int64
    actor: str
    worker: str
    correlation_id: str
    causation_id: str | None
    policy: str
    schema: Annotated[int, msgspec.Meta(ge=0)]
    type: str


class _NewLine(_Line, frozen=True):
    data: Event


class _StoredLine(_Line, frozen=True, forbid_unknown_fields=True):
    data: msgspec.Raw


_ENCODER = msgspec.json.Encoder()
_STORED = msgspec.json.Decoder(_StoredLine)
_DATA = {name: msgspec.json.Decoder(kind) for name, kind in EVENT_TYPES.items()}
_OTHER_HASH = "the line does not have its leaf hash any more"
_OTHER_COLUMNS = "the columns beside the line do not tell what the line tells"


def encode(envelope: Envelope) -> Written:
    """Write an envelope.

    Text that is not Unicode (a file name of arbitrary bytes, as the operating system gives it) is written with
    backslash escapes. What cannot be read back is never written.

    Raises:
        Invalid: an id is not a canonical UUID, or the event holds a value of another type than it declares.

    """
    _require_id("event_id", envelope.event_id)
    _require_id("session_id", envelope.session_id)
    if envelope.schema != SCHEMA:
        raise Invalid("schema", envelope.schema, f"events are recorded in schema {SCHEMA}")
    name = type(envelope.event).__name__
    try:
        line = _encode(envelope, name)
        return line, decode(line, position=0)
    except (TypeError, OverflowError, LogDamaged) as error:
        reason = error.reason if isinstance(error, LogDamaged) else error
        raise Invalid("event", name, f"it must be readable again: {reason}") from error


def decode(line: bytes, *, position: int, upcasters: Upcasters = UPCASTERS) -> Envelope:
    """The envelope of a stored line. ``position`` is where the line is, for the errors.

    Raises:
        LogDamaged: the line cannot be read.
        SchemaMismatch: a newer Trailkeep recorded it, so the log is whole and this reader is too old.

    """
    try:
        head = _STORED.decode(line)
        event = _DATA[head.type].decode(head.data) if head.schema == SCHEMA else _upcast(head, position, upcasters)
    except KeyError as error:
        raise LogDamaged(position, f"{error.args[0]!r} is not a type of event") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LogDamaged(position, f"the line cannot be read: {error}") from error
    return Envelope(
        event_id=head.event_id,
        session_id=head.session_id,
        version=head.version,
        recorded_at=head.recorded_at,
        actor=head.actor,
        worker=head.worker,
        correlation_id=head.correlation_id,
        causation_id=head.causation_id,
        policy=head.policy,
        schema=SCHEMA,
        event=event,
    )


def encode_append(envelopes: Sequence[Envelope], expected_version: int) -> list[Written]:
    """Write the envelopes of one append: of one session, in order, from ``expected_version + 1``.

    Raises:
        Invalid: they are not, or one of them cannot be encoded.

    """
    if expected_version < 0:
        raise Invalid("expected_version", expected_version, "versions count from 1, and 0 is that of a new session")
    for version, envelope in enumerate(envelopes, expected_version + 1):
        if envelope.version != version:
            raise Invalid("version", envelope.version, f"the next version after {version - 1} is {version}")
        if envelope.session_id != envelopes[0].session_id:
            raise Invalid("session_id", envelope.session_id, "an append is of one session")
    if len({envelope.event_id for envelope in envelopes}) < len(envelopes):
        raise Invalid("event_id", envelopes[-1].event_id, "every event of an append has an id of its own")
    return [encode(envelope) for envelope in envelopes]


def verified(position: int, line: bytes, stored_hash: bytes) -> Recorded:
    """The event of a stored line that still has its leaf hash.

    Raises:
        LogDamaged: it has another, or the line cannot be read.
        SchemaMismatch: see `decode`.

    """
    # A damaged page may give a value of any type.
    if not isinstance(line, bytes) or leaf_hash(line) != stored_hash:
        raise LogDamaged(position, _OTHER_HASH)
    return Recorded(position, decode(line, position=position))


def examine(line: LogLine) -> Recorded:
    """As `verified`, and compared with the columns that are derived from the line."""
    recorded = verified(line.position, line.line, line.leaf_hash)
    told = recorded.envelope
    if (line.event_id, line.session_id, line.version) != (told.event_id, told.session_id, told.version):
        raise LogDamaged(line.position, _OTHER_COLUMNS)
    return recorded


def fault_of(line: LogLine) -> str | None:
    """What `examine` would say of a stored line, without the cost of parsing it: a line begins with its columns.

    None for a line that was stored as it is, whatever it says.
    """
    if leaf_hash(line.line) != line.leaf_hash:
        return _OTHER_HASH
    columns = f'{{"event_id":"{line.event_id}","session_id":"{line.session_id}","version":{line.version},'
    return None if line.line.startswith(columns.encode()) else _OTHER_COLUMNS


def id_bytes(text: str) -> bytes:
    """The 16 bytes of an id: what the columns hold."""
    return bytes.fromhex(text.replace("-", ""))


def id_text(key: bytes) -> str:
    """The id of these 16 bytes."""
    digits = key.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _require_id(field: str, text: str) -> None:
    if not is_id(text):
        raise Invalid(field, text, "an id is a UUID in its canonical text form, 36 lower-case characters")


def _encode(envelope: Envelope, name: str) -> bytes:
    line = _NewLine(
        envelope.event_id,
        envelope.session_id,
        envelope.version,
        envelope.recorded_at,
        envelope.actor,
        envelope.worker,
        envelope.correlation_id,
        envelope.causation_id,
        envelope.policy,
        envelope.schema,
        name,
        envelope.event,
    )
    try:
        return _ENCODER.encode(line)
    except UnicodeEncodeError:
        return _ENCODER.encode(_unicode(msgspec.to_builtins(line)))


def _unicode(value: Any) -> Any:
    """The same builtins, with backslash escapes for what is not Unicode in their text."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {key: _unicode(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_unicode(inner) for inner in value]
        case _:
            return value


def _upcast(head: _StoredLine, position: int, upcasters: Upcasters) -> Event:
    if head.schema > SCHEMA:
        raise SchemaMismatch(
            str(head.schema), str(SCHEMA), f"a newer Trailkeep recorded the event at log position {position}; upgrade"
        )
    data = msgspec.json.decode(head.data)
    try:
        for schema in range(head.schema, SCHEMA):
            data = upcasters.get((head.type, schema), dict)(data)
    except (LookupError, TypeError, ValueError) as error:
        raise LogDamaged(position, f"{head.type} of schema {head.schema} cannot be upcast: {error!r}") from error
    return msgspec.convert(data, EVENT_TYPES[head.type])
