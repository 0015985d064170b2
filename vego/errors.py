"""Every error `vego` raises on purpose. Each message names what, where, expected and found, and the way out.

VegoError
├── InvalidArgumentError (also ValueError)   a call that cannot be carried out; nothing was changed
│   ├── InvalidVectorError                   NaN, infinity, not numeric
│   │   └── DimensionMismatchError           wrong length
│   ├── InvalidIdError                       empty, too long, not a string
│   ├── DuplicateIdError                     twice in a batch, or there already
│   ├── InvalidMetadataError                 a value or key that cannot be stored
│   ├── FilterError                          a filter that cannot be used
│   │   ├── FilterSyntaxError                with the position in the text
│   │   └── UnknownFieldError                a field no document has
│   └── UnknownOptionError (also TypeError)  an option that does not exist, or a value out of its bounds
├── NotFoundError (also LookupError)
│   ├── CollectionNotFoundError
│   └── DocumentNotFoundError
├── DatabaseError                            the database as a whole
│   ├── NotADatabaseError                    a path that holds something else, or nothing
│   ├── NewerVersionError                    written by a newer Vego
│   ├── DatabaseLockedError                  another process writes to it
│   ├── ReadOnlyError                        opened for reading, or on a read-only medium
│   ├── ClosedError                          used after close(), or in a forked child
│   └── StorageError                         the operating system refused (disk full, I/O error)
│       ├── CommitUncertainError             not known whether a commit is durable
│       └── PoisonedError                    an earlier write failed; reopen to go on
├── SearchStoppedError                       a search that did not come to its end; it has no answer
│   ├── SearchTimeoutError (also TimeoutError)   it took longer than `timeout=`
│   └── SearchCancelledError                 `cancel=` said so
├── CommitConflictError                      another commit took this version; nothing was changed
└── CorruptionError                          bytes on disk that contradict their checksum or each other
"""

from __future__ import annotations


class VegoError(Exception):
    """Base of all errors of this package."""


class InvalidArgumentError(VegoError, ValueError):
    """A call that cannot be carried out as asked; nothing was changed."""


class InvalidVectorError(InvalidArgumentError):
    """A vector with NaN or infinity, or that is not numeric."""


class DimensionMismatchError(InvalidVectorError):
    """A vector of the wrong length."""


class InvalidIdError(InvalidArgumentError):
    """An id that is empty, too long or not a string."""


class DuplicateIdError(InvalidArgumentError):
    """An id that occurs twice in a batch or exists already."""


class InvalidMetadataError(InvalidArgumentError):
    """A metadata key or value that cannot be stored."""


class FilterError(InvalidArgumentError):
    """A filter that cannot be used."""


class FilterSyntaxError(FilterError):
    """A filter that cannot be parsed.

    Attributes: `position`, the character offset in the filter text (None for the dict spelling).
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class UnknownFieldError(FilterError):
    """A filter names a field that no document of the collection has."""


class UnknownOptionError(InvalidArgumentError, TypeError):
    """An option that does not exist, or a value outside its bounds."""


class NotFoundError(VegoError, LookupError):
    """Something asked for by name does not exist."""


class CollectionNotFoundError(NotFoundError):
    """No collection of that name."""


class DocumentNotFoundError(NotFoundError):
    """No document of that id."""


class DatabaseError(VegoError):
    """The database as a whole cannot do it."""


class NotADatabaseError(DatabaseError):
    """The path holds no Vego database."""


class NewerVersionError(DatabaseError):
    """Written by a newer Vego than this one."""


class DatabaseLockedError(DatabaseError):
    """Another process has the database open for writing."""


class ReadOnlyError(DatabaseError):
    """The database is open for reading only, or lies on a read-only medium."""


class ClosedError(DatabaseError):
    """Used after close(), or in a process forked after it was opened."""


class StorageError(DatabaseError):
    """The operating system refused a file operation; the message names file, operation and reason."""


class CommitUncertainError(StorageError):
    """It is not known whether the commit is durable; nothing was deleted. Reopen to find out."""


class PoisonedError(StorageError):
    """An earlier write could not be made durable, so nothing more is acknowledged; reopen to go on."""


class SearchStoppedError(VegoError):
    """A search that did not come to its end. There is no answer: part of one is never passed off as all."""


class SearchTimeoutError(SearchStoppedError, TimeoutError):
    """A search took longer than its `timeout=`."""


class SearchCancelledError(SearchStoppedError):
    """A search was told to stop by its `cancel=`."""


class CommitConflictError(VegoError):
    """Another commit took this version first; this one did not land."""


class CorruptionError(VegoError):
    """Bytes on disk contradict their checksum, or files contradict each other.

    Attributes: `path`, `offset` (byte position, 0 where a whole file is meant), `what`.
    """

    def __init__(self, path: str, offset: int, what: str, way_out: str = "") -> None:
        super().__init__(f"{path}: damaged at byte {offset}: {what}" + (f". {way_out}" if way_out else ""))
        self.path = path
        self.offset = offset
        self.what = what
        self.way_out = way_out

    def __reduce__(self) -> tuple[type[CorruptionError], tuple[str, int, str, str]]:
        return type(self), (self.path, self.offset, self.what, self.way_out)
