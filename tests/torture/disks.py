"""Disks that lose power on command: filesystems in files, whose journal is stopped as it stands.

A filesystem that is shut down without flushing its journal (EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN, both with
NOLOGFLUSH) keeps what had reached the disk and nothing else; so what is there after the next mount is what a power cut
would have left. The write cache of a real disk is not part of it: files in memory have none.

All of it is gone with the process: mounts are made in a mount namespace of its own, and the loop devices detach
themselves. It takes root, Linux, loop devices and the programs that make the filesystems.
"""

import ctypes
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

KINDS = {
    "ext4": (64 * 2**20, ("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0")),
    "xfs": (300 * 2**20, ("mkfs.xfs", "-q", "-f")),
}
"""Filesystems by name: how large one has to be, and what makes it."""

_SHUTDOWN, _NOLOGFLUSH = 0x8004587D, 2
_CLONE_NEWNS, _MS_REC, _MS_PRIVATE = 0x20000, 0x4000, 0x40000
_MNT_DETACH = 2
_LOOP_CTL_GET_FREE, _LOOP_CONFIGURE, _AUTOCLEAR = 0x4C82, 0x4C0A, 4
_LOOP_CONFIG = struct.Struct("2I 5Q 4I 160x 2Q 64x")

_libc = ctypes.CDLL(None, use_errno=True)


class Filesystem:
    """A mounted filesystem in a file; ``options`` are for the program that makes it."""

    def __init__(self, kind: str, image: Path, mounted: Path, *options: str) -> None:
        self.kind, self.mounted, self._image, self._options = kind, mounted, image, options
        self._stack = ExitStack()

    def __enter__(self) -> "Filesystem":
        size, make = KINDS[self.kind]
        self.mounted.mkdir()
        with self._image.open("wb") as image:
            image.truncate(size)
        subprocess.run([*make, *self._options, str(self._image)], check=True)
        self._device = self._stack.enter_context(_loop_device(self._image))
        self._image.unlink()
        self.mount()
        return self

    def __exit__(self, *_: object) -> None:
        if self.mounted.is_mount():
            self.unmount()
        self._stack.close()

    def mount(self) -> None:
        """Mount it; after a cut its journal is replayed."""
        _call("mount", self._device.encode(), str(self.mounted).encode(), self.kind.encode(), 0, None)

    def unmount(self, *, lazily: bool = False) -> None:
        """Unmount it; while somebody uses it only ``lazily``: who has something of it open keeps that.

        Else it is nobody's when this returns, and all that was written is on the disk. A process that was started
        meanwhile, with mounts of its own, has it for as long as it takes to begin.
        """
        _call("umount2", str(self.mounted).encode(), _MNT_DETACH if lazily else 0)
        while not lazily and self._is_mounted_somewhere():
            time.sleep(0.01)

    def _is_mounted_somewhere(self) -> bool:
        """A device that is mounted, in whatever mount namespace, cannot be had for oneself (open(2), O_EXCL)."""
        try:
            os.close(os.open(self._device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return True
        return False

    def plug_in_elsewhere(self) -> None:
        """Give it another device number, as a disk gets one that was taken out; it is not mounted now."""
        self._device = self._stack.enter_context(_loop_device(Path(self._device)))

    def settle(self) -> None:
        """Bring all that was written to the disk."""
        with _opened(self.mounted) as directory:
            _call("syncfs", directory)

    def cut(self) -> None:
        """Cut the power: from now on nothing reaches the disk."""
        with _opened(self.mounted) as directory:
            fcntl.ioctl(directory, _SHUTDOWN, struct.pack("I", _NOLOGFLUSH))


def what_is_missing(kind: str) -> str:
    """Why filesystems of this kind cannot lose power here; empty if they can."""
    if os.geteuid() != 0:
        return "it needs root"
    if kind not in Path("/proc/filesystems").read_text().split():
        subprocess.run(["modprobe", kind], capture_output=True, check=False)
    if kind not in Path("/proc/filesystems").read_text().split():
        return f"the kernel has no {kind}"
    if shutil.which(program := KINDS[kind][1][0]) is None:
        return f"{program} is not installed"
    try:
        os.close(_free_loop_device())
        alone = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return alone.stderr.strip()


def unshare_mounts() -> None:
    """Mounts of this process are its own from now on, and go with it."""
    _call("unshare", _CLONE_NEWNS)
    _call("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _free_loop_device() -> int:
    with open("/dev/loop-control", "rb") as control:  # noqa: PTH123
        number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
    return os.open(f"/dev/loop{number}", os.O_RDWR | os.O_CLOEXEC)


@contextmanager
def _loop_device(image: Path) -> Iterator[str]:
    """A device over the file, which detaches itself when neither we nor a mount have it open any more."""
    with image.open("r+b") as file:
        while True:
            device = _free_loop_device()
            config = _LOOP_CONFIG.pack(file.fileno(), 0, *[0] * 5, 0, 0, 0, _AUTOCLEAR, 0, 0)
            try:
                fcntl.ioctl(device, _LOOP_CONFIGURE, config)
                break
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:  # then somebody else was first
                    raise
    try:
        yield str(Path(f"/proc/self/fd/{device}").readlink())
    finally:
        os.close(device)
