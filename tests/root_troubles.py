"""What can be wrong with a media root (R17): how it comes about, what it is, and how it ends."""

from collections.abc import Callable

import pytest

from domain.events import MediaRoot, Suspicion
from media.segment_root import SegmentRoots
from tests.builders import STORE_ID, an_id
from tests.memory_app import Channel

MARKER = ".trailkeep-root"
EIO = "a directory cannot be flushed to disk: EIO"


class Disks(SegmentRoots):
    """Real media roots, on a filesystem whose id can be made another one."""

    moved = ""

    def device(self, root: str) -> str:
        return self.moved or super().device(root)


def root_of(channel: Channel) -> MediaRoot:
    return channel.session.terms.media_root


Trouble = Callable[[Channel], Callable[[], object]]
"""Makes the trouble, and returns what ends it."""


def unmounted(channel: Channel) -> Callable[[], object]:
    away = channel.root.rename(channel.root.with_name("away"))
    return lambda: away.rename(channel.root)


def unmounted_with_its_mount_point(channel: Channel) -> Callable[[], object]:
    away = channel.root.rename(channel.root.with_name("away"))
    channel.root.mkdir()

    def mounted() -> None:
        channel.root.rmdir()
        away.rename(channel.root)

    return mounted


def with_another_marker(channel: Channel, line: bytes) -> Callable[[], object]:
    marker = channel.root / MARKER
    ours = marker.read_bytes()
    marker.write_bytes(line)
    return lambda: marker.write_bytes(ours)


def nonsense(channel: Channel) -> Callable[[], object]:
    return with_another_marker(channel, b"\0")


def another_store(channel: Channel) -> Callable[[], object]:
    return with_another_marker(
        channel, f'{{"store_id":"{an_id(9)}","root_id":"{root_of(channel).root_id}"}}\n'.encode()
    )


def another_root(channel: Channel) -> Callable[[], object]:
    return with_another_marker(channel, f'{{"store_id":"{STORE_ID}","root_id":"{an_id(9)}"}}\n'.encode())


def another_filesystem(channel: Channel) -> Callable[[], object]:
    files = channel.app.files
    assert isinstance(files, Disks)
    files.moved = "00000000000000ff"
    return lambda: setattr(files, "moved", "")


TROUBLES: dict[Trouble, tuple[Suspicion, str]] = {
    unmounted: (Suspicion.ABSENT, "it is missing; is the disk mounted?"),
    unmounted_with_its_mount_point: (Suspicion.ABSENT, "its marker file is missing; is the disk mounted?"),
    nonsense: (Suspicion.ABSENT, "its marker .trailkeep-root is not one line of JSON"),
    another_store: (Suspicion.FOREIGN, f"its marker is of store {an_id(9)} and root"),
    another_root: (Suspicion.FOREIGN, f"its marker is of store {STORE_ID} and root {an_id(9)}, not ours"),
    another_filesystem: (Suspicion.DEVICE, "it is on another filesystem than before: 00000000000000ff, not"),
}

each_trouble = pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
