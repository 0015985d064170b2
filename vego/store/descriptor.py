"""File descriptors: opening, writing all of something, and making it durable.

`Descriptor` closes with its last reference, so a `close()` in one thread can never hand a reused number to a
read that is in progress in another.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700

_ALWAYS = os.O_CLOEXEC | os.O_NOFOLLOW
READ = (
    os.O_RDONLY | os.O_NONBLOCK | _ALWAYS
)  # O_NONBLOCK: a named pipe planted in the directory must not hang us
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | _ALWAYS
READ_OR_CREATE = os.O_RDWR | os.O_CREAT | _ALWAYS
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Descriptor:
    """An open file descriptor; `number` stays valid as long as someone refers to this object."""

    __slots__ = ("__weakref__", "number")

    def __init__(self, path: str, flags: int) -> None:
        self.number = -1
        self.number = os.open(path, flags, FILE_MODE)

    def close(self) -> None:
        """Close now and report what the system says. Only for a descriptor that one thread uses."""
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        if self.number >= 0:
            with suppress(OSError):  # nobody is left to tell; what had to be durable was closed by name
                close(self.number)


def open_regular(path: str) -> Descriptor:
    """Open a regular file for reading; anything else in its place is an OSError."""
    descriptor = Descriptor(path, READ)
    mode = os.fstat(descriptor.number).st_mode
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
    return descriptor


def write_all(number: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`; a loop, as the system may write less than asked without an error."""
    rest: bytes | memoryview = data if isinstance(data, bytes) else memoryview(data).cast("B")
    while rest:
        written = os.pwrite(number, rest, offset)
        if written <= 0:
            raise OSError(errno.EIO, f"write returned {written}")
        if written == len(rest):
            return
        rest = memoryview(rest)[written:]
        offset += written


def sync_file(number: int) -> None:
    """Make contents and metadata durable; of a directory, the names in it."""
    if sys.platform == "darwin":
        _full_sync(number)
    else:
        os.fsync(number)


def sync_contents(number: int) -> None:
    """Make contents and length durable."""
    if sys.platform == "darwin":
        _full_sync(number)
    else:
        os.fdatasync(number)


def _full_sync(number: int) -> None:
    """Sync as macOS needs it: there fsync leaves the data in the drive's cache; F_FULLFSYNC does not."""
    try:
        fcntl.fcntl(number, getattr(fcntl, "F_FULLFSYNC"))  # noqa: B009 - absent elsewhere, so mypy cannot know it
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY):
            raise
        os.fsync(number)
