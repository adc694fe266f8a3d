"""The plan of a purge that does not go without saying: what is left of a batch, and the hash that a person confirms."""

import hashlib

import msgspec

from domain.batch import Batch
from domain.events import FileIdentity


def too_few(batch: Batch, absent: tuple[str, ...], changed: tuple[FileIdentity, ...]) -> bool:
    """Whether fewer than half of the batch's files are still what BatchCompleted recorded (R19).

    A file or two may be missing or replaced. If most are, it is rather the disk, a backup or the log that is not the
    one it should be.
    """
    return 2 * (len(absent) + len(changed)) > len(batch.files)


def plan_hash(session_id: str, batch: Batch, absent: tuple[str, ...], changed: tuple[FileIdentity, ...]) -> str:
    """SHA-256 (hexadecimal) over the batch, its files as they were recorded, and how they were found.

    A batch is purged once; so its plan is used once.
    """
    plan = msgspec.json.encode((session_id, batch.number, batch.files, sorted(absent), changed))
    return hashlib.sha256(plan).hexdigest()
