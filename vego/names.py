"""Every file and directory name of a database: built here and parsed here, nowhere else.

Names are relative POSIX paths. Those of a collection's files are relative to the collection's directory, so
that a manifest stays true when its directory moves. Parsers return None for a name that is not of their kind,
which is how a directory listing is filtered. Numbers have a fixed width, so that names sort as numbers do.
"""

from __future__ import annotations

import re

from vego.errors import InvalidArgumentError

MARKER = "VEGO"
LOCK = "LOCK"
COLLECTIONS = "collections"
MANIFESTS = "manifests"
DATA = "data"
DELETES = "deletes"
INDEX = "index"
WAL = "wal"
COLLECTION_DIRECTORIES = (MANIFESTS, DATA, DELETES, INDEX, WAL)

MAX_NUMBER = 2**63 - 1

_COLLECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_MANIFEST = re.compile(r"([0-9]{20})\.manifest", re.ASCII)
_WAL = re.compile(r"([0-9]{20})\.wal", re.ASCII)
_ID_FILE = re.compile(r"(data|index)/[0-9a-f]{32}\.lfmt|(deletes)/[0-9a-f]{32}\.del", re.ASCII)
_TEMPORARY_PREFIX = ".tmp-"
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"com{i}" for i in range(1, 10)), *(f"lpt{i}" for i in range(1, 10))]
)


def check_collection_name(name: str) -> str:
    """`name` itself if a collection may be called that on any file system, else InvalidArgumentError."""
    rule = (
        "a collection name has 1 to 64 characters from A-Z a-z 0-9 _ . -, starts with a letter or digit, "
        "does not end with a dot and has no two dots in a row"
    )
    if not isinstance(name, str):
        raise InvalidArgumentError(f"collection name: a string expected, found {type(name).__name__}; {rule}")
    if not _COLLECTION.fullmatch(name) or name.endswith(".") or ".." in name:
        raise InvalidArgumentError(f"collection name {name[:80]!r} is not allowed: {rule}")
    if name.partition(".")[0].lower() in _DEVICES:
        raise InvalidArgumentError(f"collection name {name!r} is not allowed: Windows keeps it for a device")
    return name


def is_id(value: str) -> bool:
    """Whether `value` is 32 lower-case hexadecimal digits, as ids of databases, collections and files are."""
    return _ID.fullmatch(value) is not None


def collection(name: str) -> str:
    """Directory of the collection `name`."""
    return f"{COLLECTIONS}/{check_collection_name(name)}"


def manifest(version: int) -> str:
    """Manifest of `version`, within the collection."""
    return f"{MANIFESTS}/{_number(version)}.manifest"


def parse_manifest(file_name: str) -> int | None:
    """Version of a manifest, from its name within the manifest directory."""
    return _parse(_MANIFEST, file_name)


def wal(number: int) -> str:
    """Write-ahead log segment `number`, within the collection."""
    return f"{WAL}/{_number(number)}.wal"


def parse_wal(file_name: str) -> int | None:
    """Number of a log segment, from its name within the log directory."""
    return _parse(_WAL, file_name)


def data(file_id: str) -> str:
    """Row segment `file_id`, within the collection."""
    return f"{DATA}/{_checked_id(file_id)}.lfmt"


def deletes(file_id: str) -> str:
    """Row mask `file_id`, within the collection."""
    return f"{DELETES}/{_checked_id(file_id)}.del"


def index(file_id: str) -> str:
    """Index segment `file_id`, within the collection."""
    return f"{INDEX}/{_checked_id(file_id)}.lfmt"


def directory_of(path: str) -> str | None:
    """`data`, `index` or `deletes` for a path that `data()`, `index()` or `deletes()` builds; None for any
    other.
    """
    found = _ID_FILE.fullmatch(path)
    return (found[1] or found[2]) if found else None


def temporary(file_id: str) -> str:
    """A file that is being written and will be linked to its real name."""
    return f"{_TEMPORARY_PREFIX}{_checked_id(file_id)}"


def is_temporary(file_name: str) -> bool:
    """Whether `file_name` is one of `temporary()`; such a file without a live writer is rubbish."""
    return file_name.startswith(_TEMPORARY_PREFIX) and is_id(file_name.removeprefix(_TEMPORARY_PREFIX))


def parent(path: str) -> str:
    """Directory that holds `path`; "" is the root of the database."""
    return path.rpartition("/")[0]


def _number(value: int) -> str:
    if not 0 <= value <= MAX_NUMBER:
        raise InvalidArgumentError(f"file number: 0 to {MAX_NUMBER} expected, found {value}")
    return f"{value:020d}"


def _parse(pattern: re.Pattern[str], file_name: str) -> int | None:
    found = pattern.fullmatch(file_name)
    if found is None or int(found[1]) > MAX_NUMBER:
        return None
    return int(found[1])


def _checked_id(file_id: str) -> str:
    if not is_id(file_id):
        raise InvalidArgumentError(
            f"file id: 32 lower-case hexadecimal digits expected, found {file_id[:80]!r}"
        )
    return file_id
