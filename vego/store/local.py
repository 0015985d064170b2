"""A database directory on a local POSIX file system.

Nothing counts as done before it is durable: `put_if_absent` and `make_dirs` sync what they name; `create`,
`delete` and `rename` leave the directory to `sync_dir`. The commit order of `put_if_absent` (write, sync,
link, unlink, sync the directory) cannot leave a torn file under the final name, whenever the power goes.
"""

# The calls of `os` are the seam at which the tests inject faults.
# ruff: noqa: PTH102, PTH104, PTH108, PTH112, PTH116, PTH208

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
import uuid
from contextlib import suppress
from pathlib import Path

from vego import names
from vego.errors import CommitUncertainError, InvalidArgumentError, ReadOnlyError
from vego.store.base import AppendFile, Lock, NewFile, ReadAt
from vego.store.descriptor import DIRECTORY, DIRECTORY_MODE, Descriptor, sync_file
from vego.store.failures import NO_LINK, reading, storage_error, writing
from vego.store.files import LocalAppendFile, LocalNewFile, LocalReader
from vego.store.guard import Guard
from vego.store.lock import FileLock, Turn


class LocalStore:
    """The `Store` below the directory `root`, which need not exist before `make_dirs("")`."""

    def __init__(self, root: str | os.PathLike[str], *, read_only: bool = False) -> None:
        self.root = Path(root).absolute()
        self._guard = Guard(str(self.root), read_only=read_only)
        self._locks: list[FileLock] = []

    def __repr__(self) -> str:
        return f"LocalStore({str(self.root)!r}{', read_only=True' if self.read_only else ''})"

    @property
    def name(self) -> str:
        """Root directory, for messages."""
        return str(self.root)

    @property
    def read_only(self) -> bool:
        """Whether every write is refused."""
        return self._guard.read_only

    @property
    def poisoned(self) -> str | None:
        """Why writes are refused since a sync failed; None while all is well."""
        return self._guard.poisoned

    def read(self, path: str) -> bytes:
        """All bytes of a file."""
        with LocalReader(self._full(path), self._reading()) as reader:
            return reader.read_at(0, reader.size())

    def open_reader(self, path: str) -> ReadAt:
        """Open a file for random reads."""
        return LocalReader(self._full(path), self._reading())

    def create(self, path: str) -> NewFile:
        """Start a new file; FileExistsError if the name is taken."""
        return LocalNewFile(self._full(path), self._guard)

    def append_file(self, path: str) -> AppendFile:
        """Start a new log; FileExistsError if the name is taken."""
        return LocalAppendFile(self._full(path), self._guard)

    def put_if_absent(self, path: str, data: bytes) -> None:
        """Create `path` with exactly `data`, durably, atomically and only if there is no such file.

        Raises FileExistsError or StorageError when it did not land, CommitUncertainError when that is
        unknown; the store is poisoned then, and nothing is deleted.
        """
        guard = self._writing()
        target = self._full(path)
        directory = self._full(names.parent(path))
        with writing("open directory", directory):
            opened = Descriptor(directory, DIRECTORY)
        with LocalNewFile(f"{directory}/{names.temporary_file(self.new_id())}", guard) as temporary:
            temporary.write(data)
            temporary.commit()
        landed = True  # until the contrary is known
        try:
            try:
                os.link(temporary.name, target)
            except OSError:  # a network file system may report a failure of what it has done
                landed = os.stat(temporary.name).st_nlink > 1
                if not landed:
                    raise
            os.unlink(temporary.name)
            sync_file(opened.number)
            opened.close()
        except BaseException as error:
            if not landed and isinstance(error, OSError):
                _remove_quietly(temporary.name)
                raise storage_error(error, "commit", target, writing=True) from error
            guard.poison(f"commit of {target} was cut short: {error!r}")
            if not isinstance(error, OSError):
                raise
            raise CommitUncertainError(
                f"{target}: cannot make the commit durable: {os.strerror(error.errno or 0)}; it is not known "
                "whether it will still be there after a power failure; look after the disk, then close the "
                "database and open it again"
            ) from error

    def replace(self, path: str, data: bytes) -> None:
        """Make `data` the contents of the file `path`, durably: after a crash it is the old ones or these.

        Raises StorageError; the store is poisoned where it is not known whether it landed.
        """
        guard = self._writing()
        directory = self._full(names.parent(path))
        with LocalNewFile(f"{directory}/{names.temporary_file(self.new_id())}", guard) as temporary:
            temporary.write(data)
            temporary.commit()
        with writing("replace", self._full(path)):
            os.rename(temporary.name, self._full(path))
        _sync_directory(guard, directory)

    def sync_dir(self, path: str) -> None:
        """Make the names in a directory durable; a failure poisons the store."""
        _sync_directory(self._writing(), self._full(path))

    def settle(self, path: str) -> None:
        """Make durable the names in a directory, if it is there, and in all above it, also above the root.

        Directories above the root that may not be opened were made by others, and are left to them.
        """
        guard = self._writing()
        full = Path(self._full(path))
        for directory in (full, *full.parents):
            if not directory.is_dir():
                continue
            try:
                _sync_directory(guard, str(directory))
            except ReadOnlyError:
                if directory.is_relative_to(self.root):
                    raise

    def list(self, path: str) -> list[str]:
        """Sorted names in a directory."""
        self._reading()
        full = self._full(path)
        with reading("list", full):
            return sorted(os.listdir(full))

    def exists(self, path: str) -> bool:
        """Whether there is a file or directory of that name."""
        self._reading()
        full = self._full(path)
        with reading("look for", full):
            return os.path.lexists(full)

    def size(self, path: str) -> int:
        """Length of a file in bytes."""
        self._reading()
        full = self._full(path)
        with reading("look at", full):
            return os.lstat(full).st_size

    def modified_us(self, path: str) -> int:
        """When a file was last written, in microseconds since 1970-01-01 UTC, by the clock of the place."""
        self._reading()
        full = self._full(path)
        with reading("look at", full):
            return os.lstat(full).st_mtime_ns // 1000

    def delete(self, path: str) -> None:
        """Remove a file; one that is not there is no error."""
        self._writing()
        full = self._full(path)
        with writing("remove", full), suppress(FileNotFoundError):
            os.unlink(full)

    def rename(self, path: str, new: str) -> None:
        """Give a file or directory another name; FileExistsError if that is taken. Sync the directories
        after.
        """
        self._writing()
        old, target = self._full(path), self._full(new)
        with writing("rename", old):
            if stat.S_ISDIR(os.lstat(old).st_mode):
                if os.path.lexists(target):
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
                os.rename(old, target)
            else:
                os.link(old, target, follow_symlinks=False)
                os.unlink(old)

    def link(self, source: ReadAt, path: str) -> bool:
        """Give an open file, perhaps of another store, a further name; sync the directory after.

        False where the two lie on different file systems, or theirs has no hard links. FileExistsError if the
        name is taken.
        """
        self._writing()
        full = self._full(path)
        try:
            os.link(source.name, full, follow_symlinks=False)
        except OSError as error:
            if error.errno in NO_LINK:
                return False
            raise storage_error(error, "link", full, writing=True) from error
        return True

    def make_dirs(self, *paths: str) -> None:
        """Make directories and those above them, durably; one that exists is no error.

        Below the root even a directory that is there already has its parent synced: whoever made it may have
        died between making and syncing it.
        """
        guard = self._writing()
        parents: list[str] = []
        for full in map(Path, map(self._full, paths)):
            chain = [full, *full.parents]
            missing = next(i for i, directory in enumerate(chain) if directory.is_dir())
            below_root = len(full.parts) - len(self.root.parts)
            for directory in reversed(chain[: max(missing, below_root)]):
                with writing("make directory", str(directory)):
                    _make_directory(str(directory))
                parents.append(str(directory.parent))
        for parent in dict.fromkeys(parents):
            _sync_directory(guard, parent)

    def remove_tree(self, path: str) -> None:
        """Remove a directory and everything in it; one that is not there is no error."""
        self._writing()
        full = self._full(path)
        with writing("remove", full):
            if os.path.lexists(full):
                shutil.rmtree(full)

    def lock(self, path: str, *, shared: bool = False) -> Lock:
        """Take the lock, alone or `shared`, until `close` at the latest; DatabaseLockedError names who holds it."""
        lock = FileLock(self._full(path), self._writing(), shared=shared)
        self._locks.append(lock)
        return lock

    def turn(self, waiting: str, working: str, seconds: float) -> Lock | None:
        """Wait, at most so long, until no other process has its turn with these directories; None if it did not come.

        A courtesy among writers, on which nothing may rest.
        """
        self._writing()
        return Turn.take(self._full(waiting), self._full(working), seconds)

    def now_us(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let others go first."""
        time.sleep(seconds)

    def new_id(self) -> str:
        """32 fresh random hexadecimal digits."""
        return uuid.uuid4().hex

    def for_reading(self) -> LocalStore:
        """The same place, opened once more, for reading only."""
        self._guard.check_read()
        return LocalStore(self.root, read_only=True)

    def close(self) -> None:
        """Refuse everything from now on with ClosedError, and release the locks."""
        self._guard.close()
        while self._locks:
            self._locks.pop().release()

    def _reading(self) -> Guard:
        self._guard.check_read()
        return self._guard

    def _writing(self) -> Guard:
        self._guard.check_write()
        return self._guard

    def _full(self, path: str) -> str:
        if not path:
            return str(self.root)
        if "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
            raise InvalidArgumentError(
                f"{path!r}: a relative path without '.', '..' and empty parts expected"
            )
        return f"{self.root}/{path}"


def _sync_directory(guard: Guard, full: str) -> None:
    with writing("open directory", full):
        directory = Descriptor(full, DIRECTORY)
    try:
        sync_file(directory.number)
        directory.close()
    except BaseException as error:
        guard.poison(f"sync of directory {full} failed: {error!r}")
        if isinstance(error, OSError):
            raise storage_error(error, "sync directory", full, writing=False) from error
        raise


def _make_directory(full: str) -> None:
    try:
        os.mkdir(full, DIRECTORY_MODE)
    except FileExistsError:
        if not os.path.isdir(full):
            raise


def _remove_quietly(full: str) -> None:
    with suppress(OSError):  # a leftover temporary file is swept when the database is opened
        os.unlink(full)
