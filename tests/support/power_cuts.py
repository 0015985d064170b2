"""A file system of its own whose power can be cut: an ext4 image on a loop device, and the ioctl that shuts it down.

The ioctl drops what was not synced and cuts the journal, as a power failure does; mounting replays the journal.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

EXT4_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
MOUNT_OPTIONS = [
    "commit=1",
    "commit=5",
    "commit=1,data=writeback",
    "commit=1,data=journal",
    "commit=1,nodelalloc",
]


class CannotMountError(Exception):
    """This process may not make, mount or shut down file systems here."""


class CutDisk:
    """Mounted at `place` from construction to `close`."""

    def __init__(self, options: str = MOUNT_OPTIONS[0], mebibytes: int = 64) -> None:
        if os.geteuid() != 0:
            raise CannotMountError("mounting a file system needs root")
        self._directory = Path(tempfile.mkdtemp(prefix="vego-cuts-"))
        self._image = self._directory / "image"
        self._options = f"loop,{options}"
        self.place = self._directory / "mounted"
        self.place.mkdir()
        try:
            with self._image.open("wb") as file:
                file.truncate(mebibytes << 20)
            _run("mkfs.ext4", "-q", "-F", str(self._image))
            self.mount()
        except BaseException:
            shutil.rmtree(self._directory)
            raise

    def mount(self) -> None:
        """The power is on again."""
        _run("mount", "-t", "ext4", "-o", self._options, str(self._image), str(self.place))

    def cut(self) -> None:
        """The power goes."""
        handle = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, EXT4_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(handle)

    def unmount(self) -> None:
        """After the power went, and whoever used the file system ended."""
        _run("umount", str(self.place))

    def close(self) -> None:
        """Take everything away."""
        subprocess.run(["umount", "-l", str(self.place)], check=False, capture_output=True)
        shutil.rmtree(self._directory, ignore_errors=True)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        raise CannotMountError(f"there is no {command[0]}") from None
    if done.returncode:
        raise CannotMountError(f"{command[0]} does not work here: {done.stderr.decode().strip()}")


def cannot_cut() -> str | None:
    """Why no power can be cut here; None if it can."""
    try:
        disk = CutDisk()
    except CannotMountError as error:
        return str(error)
    try:
        disk.cut()
    except OSError as error:
        return f"the file system cannot be shut down: {error}"
    finally:
        disk.close()
    return None
