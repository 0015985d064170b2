"""The file BACKUP: which files make up a backup, with the length and SHA-256 of each.

It is written last, when all of them are durable. So a directory without it is no backup, or one that was cut short.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import NoReturn

from lance_fmt import CorruptFileError
from vego import names
from vego.errors import CorruptionError, InvalidArgumentError, NotADatabaseError, NotFoundError
from vego.store import Store
from vego.table.envelope import HEADER_SIZE, opened, parsed, sealed

FORMAT_VERSION = 1
MAGIC = b"VBAK"

_MAX_COUNT = 2**63 - 1
_WAY_OUT = "Use another backup; what this one holds can still be read with vego.open(..., read_only=True)"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file: its path below the backup, its bytes, and their SHA-256 as 64 hexadecimal digits."""

    path: str
    length: int
    sha256: str

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not names.is_backed_up(self.path):
            _refuse("path", "a file of a database", self.path)
        _integer("length", self.length)
        if not (
            isinstance(self.sha256, str) and names.is_id(self.sha256[:32]) and names.is_id(self.sha256[32:])
        ):
            _refuse("sha256", "64 hexadecimal digits", self.sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRecord:
    """What BACKUP says. `collections` names the newest version of each; `base` is the id of the backup whose files
    were linked. Raises InvalidArgumentError for what cannot be.
    """

    backup_id: str
    database_id: str
    created_us: int
    collections: Mapping[str, int]
    files: tuple[FileEntry, ...]
    base: str | None = None

    def __post_init__(self) -> None:
        for value in (self.backup_id, self.database_id, self.base or self.backup_id):
            if not isinstance(value, str) or not names.is_id(value):
                _refuse("id", "32 hexadecimal digits", value)
        _integer("created_us", self.created_us)
        if not isinstance(self.collections, Mapping):
            _refuse("collections", "a JSON object", self.collections)
        paths = [entry.path for entry in self.files]
        for name, version in self.collections.items():
            names.check_collection(name)
            _integer(f"version of {name!r}", version)
            if names.manifest_path(name, version) not in paths:
                _refuse("files", f"the manifest of version {version} of {name!r}", "none")
        if paths != sorted(set(paths)) or names.MARKER not in paths:
            _refuse("files", f"{names.MARKER} and others, sorted, each only once", paths)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.length for entry in self.files)

    def to_bytes(self) -> bytes:
        """The file."""
        return sealed(MAGIC, FORMAT_VERSION, asdict(self) | {"collections": dict(self.collections)})

    @classmethod
    def from_bytes(cls, data: bytes, path: str) -> BackupRecord:
        """Inverse of `to_bytes`; CorruptionError or NewerVersionError for anything else."""
        try:
            body = opened(data, path, MAGIC, FORMAT_VERSION, "record of a backup")
        except CorruptFileError as error:
            raise CorruptionError(error.path, error.offset, error.what, _WAY_OUT) from None
        try:
            fields = parsed(body)
            fields["files"] = tuple(FileEntry(**entry) for entry in fields["files"])
            record = cls(**fields)
            canonical = record.to_bytes() == data
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            what = f"the contents make no sense, though their checksum is right: {error}"
            raise CorruptionError(path, HEADER_SIZE, what, _WAY_OUT) from None
        if not canonical:
            raise CorruptionError(path, HEADER_SIZE, "not in canonical form", _WAY_OUT)
        return record


def load_record(store: Store) -> BackupRecord:
    """What the BACKUP of the directory of `store` says.

    Raises NotADatabaseError where there is none, CorruptionError, NewerVersionError, StorageError.
    """
    try:
        data = store.read(names.BACKUP)
    except NotFoundError:
        raise NotADatabaseError(
            f"{store.name}: not a backup: a directory with a file {names.BACKUP} expected; if a backup was cut short "
            "here, remove the directory and make another"
        ) from None
    return BackupRecord.from_bytes(data, f"{store.name}/{names.BACKUP}")


def _integer(what: str, value: object) -> None:
    if type(value) is not int or not 0 <= value <= _MAX_COUNT:
        _refuse(what, "a count", value)


def _refuse(what: str, expected: str, found: object) -> NoReturn:
    raise InvalidArgumentError(f"record of a backup: {what}: {expected} expected, found {str(found)[:200]!r}")
