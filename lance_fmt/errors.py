"""Every error `lance_fmt` raises on purpose.

FormatError
├── CorruptFileError         bytes that contradict a checksum or the specification
├── UnsupportedVersionError  a file, or a feature of it, that this reader is too old for
└── InvalidDataError         (also ValueError) values or arguments that cannot be written or asked for
    └── SchemaError          names, types and lengths that do not fit together
"""

from __future__ import annotations


class FormatError(Exception):
    """Base of all errors of this package."""


class CorruptFileError(FormatError):
    """Bytes on disk contradict their checksum or the format.

    Attributes: `path` (file, or a description of the source), `offset` (byte position in the file, where
    known), `what` (what is wrong there).
    """

    def __init__(self, path: str, offset: int, what: str) -> None:
        super().__init__(f"{path}: damaged at byte {offset}: {what}")
        self.path = path
        self.offset = offset
        self.what = what

    def __reduce__(self) -> tuple[type[CorruptFileError], tuple[str, int, str]]:
        return type(self), (self.path, self.offset, self.what)


class UnsupportedVersionError(FormatError):
    """The file needs a newer reader; the message names the version or feature that is missing."""


class InvalidDataError(FormatError, ValueError):
    """Values or arguments that cannot be stored or asked for."""


class SchemaError(InvalidDataError):
    """Column names, types or lengths that do not fit together."""
