"""What the database asks of the place it lives in: files, directories, a lock, a clock and fresh ids.

Every layer above takes a `Store`; none of them calls the operating system. Paths are relative POSIX paths, ""
is the root. A missing file is a NotFoundError, an exclusive name that is taken a FileExistsError, anything
else the medium refuses a StorageError or ReadOnlyError. After a failed sync every write raises PoisonedError.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray


class ReadAt(Protocol):
    """A file open for reading. Thread-safe. A `lance_fmt.ReadAt`; `name` is for messages."""

    name: str

    def size(self) -> int:
        """Bytes, as of opening."""
        ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes; CorruptionError if the file ends before that."""
        ...

    def read_into(self, offset: int, buffer: NDArray[np.uint8]) -> int:
        """Fill `buffer`, uint8 (n,), and return n; CorruptionError if the file ends before that."""
        ...

    def mapped(self) -> memoryview | None:
        """All bytes as read-only memory, which stays valid after `close`; None where the place has no such thing."""
        ...

    def close(self) -> None:
        """Reads in progress finish; later ones raise ClosedError."""
        ...


class Files(Protocol):
    """Directories and files to be read as a whole; every `Store` is one."""

    @property
    def name(self) -> str:
        """Root, for messages."""
        ...

    def read(self, path: str) -> bytes:
        """All bytes of a file."""
        ...

    def list(self, path: str) -> list[str]:
        """Sorted names in a directory."""
        ...


class NewFile(Protocol):
    """A file being written that exists for others only once `commit` returns. One thread at a time."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append all of `data`; its length in bytes."""
        ...

    def tell(self) -> int:
        """Bytes written so far."""
        ...

    def commit(self) -> None:
        """Make the contents durable and close. The name is durable after `Store.sync_dir`."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the file unless it was committed."""
        ...


class AppendFile(Protocol):
    """A log. One thread appends; `sync` may run in another."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def size(self) -> int:
        """Bytes of all complete appends."""
        ...

    def append(self, data: bytes | bytearray | memoryview) -> int:
        """Append all of `data` or nothing; the offset where it starts.

        Raises StorageError when the disk is full (the file is as before and stays usable).
        """
        ...

    def sync(self) -> None:
        """Make every append so far durable; a failure is a CommitUncertainError and poisons the store."""
        ...

    def truncate(self, size: int) -> None:
        """Drop the bytes from `size` on."""
        ...

    def close(self) -> None:
        """Close without making anything durable."""
        ...


class Lock(Protocol):
    """A lock held against other openings of the same database."""

    def release(self) -> None:
        """Give the lock back; doing so twice is allowed."""
        ...


class Store(Protocol):
    """Files, directories, a lock, a clock and fresh ids. Thread-safe."""

    @property
    def name(self) -> str:
        """Root, for messages."""
        ...

    @property
    def read_only(self) -> bool:
        """Whether every write is refused."""
        ...

    @property
    def poisoned(self) -> str | None:
        """Why writes are refused since a sync failed; None while all is well."""
        ...

    def read(self, path: str) -> bytes:
        """All bytes of a file."""
        ...

    def open_reader(self, path: str) -> ReadAt:
        """Open a file for random reads."""
        ...

    def create(self, path: str) -> NewFile:
        """Start a new file; FileExistsError if the name is taken."""
        ...

    def append_file(self, path: str) -> AppendFile:
        """Start a new log; FileExistsError if the name is taken."""
        ...

    def put_if_absent(self, path: str, data: bytes) -> None:
        """Create `path` with exactly `data`, durably, atomically and only if there is no such file.

        Raises FileExistsError (it did not land), StorageError (it did not land) or CommitUncertainError
        (unknown).
        """
        ...

    def sync_dir(self, path: str) -> None:
        """Make the names in a directory durable."""
        ...

    def settle(self, path: str) -> None:
        """Make durable the names in a directory, if it is there, and in all above it, also above the root.

        Whoever made them may have died before they were: what is found is not yet what is durable.
        """
        ...

    def list(self, path: str) -> list[str]:
        """Sorted names in a directory."""
        ...

    def exists(self, path: str) -> bool:
        """Whether there is a file or directory of that name."""
        ...

    def size(self, path: str) -> int:
        """Length of a file in bytes."""
        ...

    def modified_us(self, path: str) -> int:
        """When a file was last written, in microseconds since 1970-01-01 UTC, by the clock of the place."""
        ...

    def delete(self, path: str) -> None:
        """Remove a file; one that is not there is no error."""
        ...

    def rename(self, path: str, new: str) -> None:
        """Give a file or directory another name; FileExistsError if that is taken. Sync the directories
        after.
        """
        ...

    def link(self, source: ReadAt, path: str) -> bool:
        """Give an open file, perhaps of another store, a further name; sync the directory after.

        False where the two lie on different file systems, or theirs has no hard links. FileExistsError if the
        name is taken.
        """
        ...

    def make_dirs(self, *paths: str) -> None:
        """Make directories and those above them, durably; one that exists is no error."""
        ...

    def remove_tree(self, path: str) -> None:
        """Remove a directory and everything in it; one that is not there is no error."""
        ...

    def lock(self, path: str, *, shared: bool = False) -> Lock:
        """Take the lock, alone or `shared`, until `close` at the latest; DatabaseLockedError names who holds it."""
        ...

    def turn(self, waiting: str, working: str, seconds: float) -> Lock | None:
        """Wait, at most so long, until no other process has its turn with these directories; None if it did not come.

        A courtesy among writers, on which nothing may rest: a store may always answer None. Released with the process.
        """
        ...

    def now_us(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let others go first."""
        ...

    def new_id(self) -> str:
        """32 fresh random hexadecimal digits."""
        ...

    def for_reading(self) -> Store:
        """The same place, opened once more, for reading only."""
        ...

    def close(self) -> None:
        """Refuse everything from now on with ClosedError, and release the locks."""
        ...
