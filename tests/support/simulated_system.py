"""An operating system in memory, in place of the real one below `vego.store`.

`SimulatedSystem` is what the modules of the store see as `os`, `fcntl`, `shutil`, `time` and `uuid` while it is
`installed()`. It is a POSIX file system with descriptors, hard links and locks, shows every process what was written so
far, and keeps a log of each change and each sync: `tests.support.crash_states` derives from it what a power cut may
leave. Clock and ids follow from the seed, so that the same calls give the same log. A call that it does not know is an
AttributeError: nothing reaches the real system unnoticed.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from vego.store import descriptor, files, local, lock

ROOT = 1  # inode of "/"


@dataclass(frozen=True, slots=True)
class Enter:
    """A name appeared in a directory: of a new file or directory, or a further one of a file."""

    directory: int
    name: str
    inode: int
    is_directory: bool


@dataclass(frozen=True, slots=True)
class Leave:
    """A name went from a directory."""

    directory: int
    name: str


@dataclass(frozen=True, slots=True)
class Move:
    """A name changed, atomically; what had the new one is gone."""

    directory: int
    name: str
    new_directory: int
    new_name: str
    inode: int


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes were written into a file."""

    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Resize:
    """A file was cut or extended with zeros."""

    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """A file's contents or a directory's names were made durable."""

    inode: int


@dataclass(frozen=True, slots=True)
class FailedSync:
    """A sync of a file failed. The system takes the bytes for clean: no later sync makes them durable."""

    inode: int


Naming = Enter | Leave | Move
Change = Write | Resize
Operation = Naming | Change | Sync | FailedSync


@dataclass(slots=True)
class Tree:
    """Directories and files by inode: names of each directory, bytes of each file."""

    names: dict[int, dict[str, int]] = field(default_factory=lambda: {ROOT: {}})
    contents: dict[int, bytes] = field(default_factory=dict)

    def walk(self, inode: int = ROOT, path: str = "") -> Iterator[tuple[str, int]]:
        """Every path that is reachable, with its inode, in the order of names."""
        for name, below in sorted(self.names[inode].items()):
            yield f"{path}/{name}", below
            if below in self.names:
                yield from self.walk(below, f"{path}/{name}")

    def inode_of(self, path: str) -> int:
        """The inode at a path; KeyError if there is none."""
        inode = ROOT
        for part in path.strip("/").split("/"):
            inode = self.names[inode][part]
        return inode


class ProcessKilled(BaseException):
    """The simulated process ends here; what it wrote is still in the cache of the system."""


@dataclass(slots=True)
class _File:
    inode: int
    is_directory: bool
    is_writable: bool


_CONSTANTS = ("strerror", "fspath", "PathLike")
_numbers = itertools.count(1 << 24)  # no real descriptor is so high: a close that goes astray closes nothing


class SimulatedSystem:
    """The module `os` of a simulated machine that starts with `tree` on its disk."""

    def __init__(self, tree: Tree | None = None, seed: object = 0) -> None:
        start = tree or Tree()
        self.log: list[Operation] = []
        self.kill_at: int | None = None  # ProcessKilled comes instead of the operation of this number
        self.fail_at: int | None = None  # the first sync of a file from this operation on fails
        self.face: Any = self  # what the store calls; one that fails may stand before this one
        self.path = SimpleNamespace(lexists=self._exists, isdir=self._is_directory)
        self._names = {inode: dict(entries) for inode, entries in start.names.items()}
        self._contents: dict[int, bytes | bytearray] = dict(start.contents)
        self._next_inode = max(*self._names, *self._contents, ROOT) + 1
        self._open: dict[int, _File] = {}
        self._locks: dict[int, int] = {}  # inode -> descriptor
        self._killed = False
        self._random = random.Random(f"simulated system {seed}")
        self._ticks = itertools.count(1_700_000_000_000_000)

    def __getattr__(self, name: str) -> Any:
        if name in _CONSTANTS or name.startswith("O_"):
            return getattr(os, name)
        raise AttributeError(f"the simulated system has no os.{name}")

    def tree(self) -> Tree:
        """Everything as a process sees it now."""
        contents = {inode: bytes(data) for inode, data in self._contents.items()}
        return Tree({inode: dict(entries) for inode, entries in self._names.items()}, contents)

    def restart_process(self) -> None:
        """The process died and another starts: descriptors and locks are gone, the cache is as it was."""
        self._open.clear()
        self._locks.clear()
        self._killed = False
        self.kill_at = self.fail_at = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let the modules of the store see this system instead of the real one."""
        clock = SimpleNamespace(
            time_ns=lambda: next(self._ticks) * 1000,
            monotonic=lambda: next(self._ticks) / 1e6,
            strftime=lambda *_: "2026-01-01T00:00:00Z",
            gmtime=lambda: None,
        )
        uuid = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=f"{self._random.getrandbits(128):032x}"))
        places: list[tuple[Any, str, Any]] = [
            (module, "os", self.face) for module in (descriptor, files, local, lock)
        ]
        places += [
            (descriptor, "sys", SimpleNamespace(platform="linux")),
            (descriptor.Descriptor, "__del__", lambda dropped: self._close_dropped(dropped.number)),
            (local, "shutil", SimpleNamespace(rmtree=self._remove_tree)),
            (local, "time", clock),
            (local, "uuid", uuid),
            (local, "Path", SimulatedPath),
            (lock, "fcntl", SimpleNamespace(flock=self._flock, LOCK_EX=2, LOCK_NB=4, LOCK_UN=8)),
            (lock, "time", clock),
            (lock, "sys", SimpleNamespace(argv=["simulated"])),
            (lock, "_BOOT_ID", SimulatedPath("/proc/sys/kernel/random/boot_id")),
            (SimulatedPath, "system", self),
        ]
        before = [(place, name, getattr(place, name)) for place, name, _ in places]
        for place, name, value in places:
            setattr(place, name, value)
        try:
            yield
        finally:
            for place, name, value in before:
                setattr(place, name, value)

    @property
    def killed(self) -> bool:
        """Whether the process is dead."""
        return self._killed

    @property
    def descriptors(self) -> int:
        """How many are open."""
        return len(self._open)

    def inode_of(self, number: int) -> int:
        """The inode that a descriptor is open on."""
        return self._descriptor(number).inode

    # -- what the store calls --------------------------------------------------------------------

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        """Open or create a file, or open a directory."""
        self._alive()
        assert not flags & (os.O_TRUNC | os.O_APPEND), "not simulated"
        if flags & os.O_CREAT and not self._exists(path):
            directory, name = self._parent(path)
            self._log(Enter(directory, name, self._new_inode(), is_directory=False))
        elif flags & os.O_CREAT and flags & os.O_EXCL:
            raise _error(errno.EEXIST, path)
        inode = self._inode(path)
        is_directory, is_writable = inode in self._names, bool(flags & os.O_RDWR)
        if flags & os.O_DIRECTORY and not is_directory:
            raise _error(errno.ENOTDIR, path)
        if is_directory and is_writable:
            raise _error(errno.EISDIR, path)
        number = next(_numbers)
        self._open[number] = _File(inode, is_directory, is_writable)
        return number

    def close(self, number: int) -> None:
        """Close a descriptor; its locks go. After the process was killed nothing is left to close."""
        if self._killed:
            return
        if self._open.pop(number, None) is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        for inode in [inode for inode, holder in self._locks.items() if holder == number]:
            del self._locks[inode]

    def pread(self, number: int, length: int, offset: int) -> bytes:
        """Bytes of a file, fewer at its end."""
        self._alive()
        found = self._descriptor(number)
        if found.is_directory:
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        return bytes(self._contents[found.inode][offset : offset + length])

    def preadv(self, number: int, buffers: list[memoryview], offset: int) -> int:
        """Fill one buffer."""
        (buffer,) = buffers
        data = self.pread(number, len(buffer), offset)
        buffer[: len(data)] = data
        return len(data)

    def pwrite(self, number: int, data: memoryview, offset: int) -> int:
        """Write all of `data`."""
        inode = self._writable(number, errno.EBADF)
        self._log(Write(inode, offset, bytes(data)))
        return len(data)

    def ftruncate(self, number: int, size: int) -> None:
        """Set the length of a file."""
        inode = self._writable(number, errno.EINVAL)
        if size != len(self._contents[inode]):
            self._log(Resize(inode, size))

    def fsync(self, number: int) -> None:
        """Make a file or the names in a directory durable."""
        self._alive()
        found = self._descriptor(number)
        if self.fail_at is not None and len(self.log) >= self.fail_at and not found.is_directory:
            self.fail_at = None
            self._log(FailedSync(found.inode))
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._log(Sync(found.inode))

    def fdatasync(self, number: int) -> None:
        """Make a file's contents and length durable."""
        self.fsync(number)

    def fstat(self, number: int) -> Status:
        """What is known of an open file."""
        self._alive()
        return self._stat(self._descriptor(number).inode)

    def stat(self, path: str) -> Status:
        """What is known of a file or directory."""
        return self._stat(self._inode(path))

    lstat = stat

    def listdir(self, path: str) -> list[str]:
        """Names in a directory, in no order that anyone may rely on."""
        inode = self._inode(path)
        if inode not in self._names:
            raise _error(errno.ENOTDIR, path)
        found = list(self._names[inode])
        self._random.shuffle(found)
        return found

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        """Make a directory."""
        self._alive()
        directory, name = self._parent(path)
        if name in self._names[directory]:
            raise _error(errno.EEXIST, path)
        self._log(Enter(directory, name, self._new_inode(), is_directory=True))

    def link(self, path: str, new: str, *, follow_symlinks: bool = True) -> None:
        """Give a file a further name."""
        inode = self._inode(path)
        directory, name = self._parent(new)
        if name in self._names[directory]:
            raise _error(errno.EEXIST, new)
        if inode in self._names:
            raise _error(errno.EPERM, path)
        self._log(Enter(directory, name, inode, is_directory=False))

    def unlink(self, path: str) -> None:
        """Remove a name of a file."""
        if self._inode(path) in self._names:
            raise _error(errno.EISDIR, path)
        self._log(Leave(*self._parent(path)))

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        if self._inode(path) not in self._names:
            raise _error(errno.ENOTDIR, path)
        if self._names[self._inode(path)]:
            raise _error(errno.ENOTEMPTY, path)
        self._log(Leave(*self._parent(path)))

    def rename(self, path: str, new: str) -> None:
        """Change a name, replacing a file by a file or an empty directory by a directory."""
        old_directory, old_name = self._parent(path)
        directory, name = self._parent(new)
        inode = self._inode(path)
        there = self._names[directory].get(name)
        if new.startswith(f"{path}/"):
            raise _error(errno.EINVAL, new)
        if there == inode:
            return
        if path.startswith(f"{new}/") or self._names.get(there or -1):
            raise _error(
                errno.ENOTEMPTY if inode in self._names or path.startswith(new) else errno.EISDIR, new
            )
        if there is not None and (there in self._names) != (inode in self._names):
            raise _error(errno.EISDIR if there in self._names else errno.ENOTDIR, new)
        self._log(Move(old_directory, old_name, directory, name, inode))

    def getpid(self) -> int:
        """One number for all."""
        return 4242

    def uname(self) -> SimpleNamespace:
        """The name of the machine."""
        return SimpleNamespace(nodename="simulated")

    # -- inside ----------------------------------------------------------------------------------

    def _log(self, operation: Operation) -> None:
        if len(self.log) == self.kill_at:
            self._killed = True
            raise ProcessKilled
        self.log.append(operation)
        match operation:
            case Enter(directory, name, inode, is_directory):
                self._names[directory][name] = inode
                if is_directory:
                    self._names[inode] = {}
                else:
                    self._contents.setdefault(inode, b"")
            case Leave(directory, name):
                del self._names[directory][name]
            case Move(directory, name, new_directory, new_name, inode):
                del self._names[directory][name]
                self._names[new_directory][new_name] = inode
            case Write(inode, _, _) | Resize(inode, _):
                self._contents[inode] = changed(self._contents[inode], operation)

    def _alive(self) -> None:
        if self._killed:
            raise ProcessKilled

    def _new_inode(self) -> int:
        self._next_inode += 1
        return self._next_inode - 1

    def _descriptor(self, number: int) -> _File:
        try:
            return self._open[number]
        except KeyError:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None

    def _writable(self, number: int, refusal: int) -> int:
        self._alive()
        found = self._descriptor(number)
        if not found.is_writable:
            raise OSError(refusal, os.strerror(refusal))
        return found.inode

    def _parent(self, path: str) -> tuple[int, str]:
        above, _, name = path.rpartition("/")
        directory = self._inode(above) if above else ROOT
        if directory not in self._names:
            raise _error(errno.ENOTDIR, path)
        return directory, name

    def _inode(self, path: str) -> int:
        self._alive()
        inode = ROOT
        for part in path.split("/"):
            if part:
                if inode not in self._names:
                    raise _error(errno.ENOTDIR, path)
                if part not in self._names[inode]:
                    raise _error(errno.ENOENT, path)
                inode = self._names[inode][part]
        return inode

    def _stat(self, inode: int) -> Status:
        directory = inode in self._names
        return Status(
            (stat.S_IFDIR | 0o700) if directory else (stat.S_IFREG | 0o600),
            0 if directory else len(self._contents[inode]),
            inode,
            self._names,
        )

    def _exists(self, path: str) -> bool:
        try:
            self._inode(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _is_directory(self, path: str) -> bool:
        return self._exists(path) and self._inode(path) in self._names

    def _remove_tree(self, path: str) -> None:
        for name in sorted(self._names[self._inode(path)]):
            below = f"{path}/{name}"
            if self._is_directory(below):
                self._remove_tree(below)
            else:
                self.unlink(below)
        self.rmdir(path)

    def _flock(self, number: int, how: int) -> None:
        self._alive()
        inode = self._descriptor(number).inode
        holder = self._locks.get(inode)
        if how == 8:  # LOCK_UN
            if holder == number:
                del self._locks[inode]
        elif holder is not None and holder != number:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        else:
            self._locks[inode] = number

    def _close_dropped(self, number: int) -> None:
        with suppress(OSError):  # a descriptor of another machine, or of a process that was killed
            if number >= 0:
                self.close(number)


@dataclass(frozen=True, slots=True)
class Status:
    """What `stat` says; the number of names is counted when it is asked for, which is rare."""

    st_mode: int
    st_size: int
    st_ino: int
    _names: dict[int, dict[str, int]]

    @property
    def st_nlink(self) -> int:
        """Names of the file now."""
        return sum(found == self.st_ino for entries in self._names.values() for found in entries.values())


class SimulatedPath(type(Path())):  # type: ignore[misc]
    """The `Path` of the store: it asks the installed system."""

    system: ClassVar[SimulatedSystem | None] = None

    def is_dir(self) -> bool:
        """Whether there is a directory."""
        assert self.system is not None
        return self.system._is_directory(str(self))

    def exists(self) -> bool:
        """Whether there is anything."""
        assert self.system is not None
        return self.system._exists(str(self))


def changed(content: bytes | bytearray, change: Change) -> bytearray:
    """`content` after a change; a bytearray is changed in place."""
    result = content if isinstance(content, bytearray) else bytearray(content)
    end = change.size if isinstance(change, Resize) else change.offset + len(change.data)
    if end > len(result):
        result.extend(bytes(end - len(result)))
    if isinstance(change, Resize):
        del result[end:]
    else:
        result[change.offset : end] = change.data
    return result


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
