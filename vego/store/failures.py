"""The one place where an OSError becomes an error of Vego: file, operation, reason and the way out."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from vego.errors import NotFoundError, ReadOnlyError, StorageError

# Nothing was written for want of room: once there is room the same write may be tried again.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

# A file cannot have a further name there; it can be copied.
NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOENT, errno.ENOTSUP})

_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR})
_REFUSED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_WAY_OUT = {
    errno.ENOSPC: "the disk is full; free some space and try again",
    errno.EDQUOT: "the disk quota is used up; free some space and try again",
    errno.EFBIG: "the file would pass the size limit; raise `ulimit -f` and try again",
    errno.EMFILE: "this process has too many open files; raise `ulimit -n`",
    errno.ENFILE: "the system has too many open files; close some",
    errno.ELOOP: "a symbolic link stands where a file of the database belongs, and links are not followed; "
    "put the file itself there",
    errno.EIO: "the medium reports an error; check the disk and the system log, then look at the files with "
    "`vego inspect --verify FILE`",
    errno.ESTALE: "the network file system lost the file; mount it again",
    errno.EACCES: "this user may not; check the owner and the permissions of the file and its directory",
    errno.EPERM: "this user or file system does not allow it; check the owner, and that the file system has "
    "hard links",
    errno.EROFS: "the file system is mounted read-only; open the database with read_only=True",
    errno.EISDIR: "a directory stands where a file of the database belongs; move it away",
    errno.ENOTEMPTY: "the directory is not empty",
}


def storage_error(error: OSError, operation: str, path: str, *, writing: bool) -> Exception:
    """What to raise for `error` when `operation` ("write", "sync", ...) on `path` failed.

    NotFoundError for what is missing, FileExistsError for a name that is taken, ReadOnlyError where writing
    is not permitted, StorageError for all else.
    """
    number = error.errno or errno.EIO
    reason = f"{os.strerror(number)} ({errno.errorcode.get(number, number)})"
    if number == errno.EEXIST:
        return FileExistsError(number, os.strerror(number), path)
    way_out = _WAY_OUT.get(number, "check the disk and the system log")
    message = f"{path}: cannot {operation}: {reason}; {way_out}"
    if number in _MISSING:
        return NotFoundError(f"{path}: cannot {operation}: no such file or directory")
    if writing and number in _REFUSED:
        hint = "" if "read_only" in way_out else ", or open the database with read_only=True"
        return ReadOnlyError(message + hint)
    return StorageError(message)


@contextmanager
def reading(operation: str, path: str) -> Iterator[None]:
    """Translate the OSErrors of a block that only reads."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, operation, path, writing=False) from error


@contextmanager
def writing(operation: str, path: str) -> Iterator[None]:
    """Translate the OSErrors of a block that writes."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, operation, path, writing=True) from error
