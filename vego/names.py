"""Every file and directory name of a database: built here and parsed here, nowhere else.

    VEGO                                marker           LOCK    held by the one process that writes
    BACKUP                              in a backup: its files and their hashes
    collections/<name>/manifests/<version>.manifest      collections/<name>/wal/<number>.wal
    collections/<name>/data/<id>.lfmt    deletes/<id>.del    index/<id>.lfmt
    collections/<name>/set-aside/<number>/               what `vego repair` took away

Paths are POSIX paths relative to the root. A manifest holds bare file names, so that it stays true when its
directory moves. Parsers return None for a name that is not of their kind: a directory listing is filtered so.
Numbers have a fixed width, so that names sort as numbers do.
"""

from __future__ import annotations

import re

from vego.errors import InvalidArgumentError

MARKER = "VEGO"
LOCK = "LOCK"
BACKUP = "BACKUP"
COLLECTIONS = "collections"
MANIFESTS = "manifests"
DATA = "data"
DELETES = "deletes"
INDEX = "index"
WAL = "wal"
SET_ASIDE = "set-aside"

MAX_NUMBER = 2**63 - 1

_COLLECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_WAL = re.compile(r"([0-9]{20})\.wal", re.ASCII)
_TEMPORARY = ".tmp-"
_DROPPED = ".dropped-"
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"com{i}" for i in range(1, 10)), *(f"lpt{i}" for i in range(1, 10))]
)
_RULE = (
    "a collection name has 1 to 64 characters from A-Z a-z 0-9 _ . -, starts with a letter or digit, does "
    "not end with a dot and has no two dots in a row"
)


def check_collection(name: str) -> str:
    """`name` itself if a collection may be called that on any file system, else InvalidArgumentError."""
    if not isinstance(name, str):
        raise InvalidArgumentError(
            f"collection name: a string expected, found {type(name).__name__}; {_RULE}"
        )
    if not _COLLECTION.fullmatch(name) or name.endswith(".") or ".." in name:
        raise InvalidArgumentError(f"collection name {name[:80]!r} is not allowed: {_RULE}")
    if name.partition(".")[0].lower() in _DEVICES:
        raise InvalidArgumentError(f"collection name {name!r} is not allowed: Windows keeps it for a device")
    return name


def is_collection(name: str) -> bool:
    """Whether `check_collection` accepts `name`."""
    try:
        check_collection(name)
    except InvalidArgumentError:
        return False
    return True


def check_tag(name: str) -> str:
    """`name` itself if a version may be tagged so: the rule of collection names. Else InvalidArgumentError."""
    if not isinstance(name, str) or not _COLLECTION.fullmatch(name):
        raise InvalidArgumentError(
            f"tag {str(name)[:80]!r} is not allowed: a tag has 1 to 64 characters from A-Z a-z 0-9 _ . - and starts "
            "with a letter or digit"
        )
    return name


def is_id(value: str) -> bool:
    """Whether `value` is 32 lower-case hexadecimal digits, as ids of databases, collections and files are."""
    return _ID.fullmatch(value) is not None


def collection_path(name: str) -> str:
    """Directory of a collection."""
    return f"{COLLECTIONS}/{check_collection(name)}"


def dropped_path(file_id: str) -> str:
    """Directory of a collection that was dropped and is about to be removed."""
    return f"{COLLECTIONS}/{_DROPPED}{_checked_id(file_id)}"


def is_dropped(name: str) -> bool:
    """Whether a name in the directory of collections is one of `dropped_path`."""
    return name.startswith(_DROPPED) and is_id(name.removeprefix(_DROPPED))


def manifest_directory(name: str) -> str:
    """Where the collection `name` has its manifests."""
    return f"{collection_path(name)}/{MANIFESTS}"


def wal_directory(name: str) -> str:
    """Where the collection `name` has its log segments."""
    return f"{collection_path(name)}/{WAL}"


def file_directories(name: str) -> tuple[str, str, str]:
    """Where the collection `name` has the files that manifests name: rows, row masks, indexes."""
    path = collection_path(name)
    return f"{path}/{DATA}", f"{path}/{DELETES}", f"{path}/{INDEX}"


def manifest_path(name: str, version: int) -> str:
    """Manifest `version` of the collection `name`."""
    return f"{manifest_directory(name)}/{_number(version)}.manifest"


def parse_manifest(file: str) -> int | None:
    """Version of a manifest, from its name in the manifest directory."""
    if len(file) == 29 and file.endswith(".manifest") and file.isascii() and file[:20].isdigit():
        number = int(file[:20])  # without a pattern: there may be thousands
        return number if number <= MAX_NUMBER else None
    return None


def wal_path(name: str, number: int) -> str:
    """Log segment `number` of the collection `name`."""
    return f"{wal_directory(name)}/{_number(number)}.wal"


def parse_wal(file: str) -> int | None:
    """Number of a log segment, from its name in the log directory."""
    return _parse(_WAL, file)


def segment_file(file_id: str) -> str:
    """Name of a row segment."""
    return f"{_checked_id(file_id)}.lfmt"


def deletes_file(file_id: str) -> str:
    """Name of a row mask."""
    return f"{_checked_id(file_id)}.del"


def index_file(file_id: str) -> str:
    """Name of an index segment."""
    return f"{_checked_id(file_id)}.lfmt"


def is_segment_file(file: str) -> bool:
    """Whether `file` is a name of `segment_file`, and so also one of `index_file`."""
    return file.endswith(".lfmt") and is_id(file.removesuffix(".lfmt"))


def is_deletes_file(file: str) -> bool:
    """Whether `file` is a name of `deletes_file`."""
    return file.endswith(".del") and is_id(file.removesuffix(".del"))


def data_path(name: str, file: str) -> str:
    """Row segment `file` of the collection `name`."""
    return f"{collection_path(name)}/{DATA}/{file}"


def deletes_path(name: str, file: str) -> str:
    """Row mask `file` of the collection `name`."""
    return f"{collection_path(name)}/{DELETES}/{file}"


def index_path(name: str, file: str) -> str:
    """Index segment `file` of the collection `name`."""
    return f"{collection_path(name)}/{INDEX}/{file}"


def set_aside_directory(name: str) -> str:
    """Where `vego repair` puts what it takes out of the collection `name`, a directory for each repair."""
    return f"{collection_path(name)}/{SET_ASIDE}"


def is_backed_up(path: str) -> bool:
    """Whether a backup may have a file at this path: the marker, or one of the files of a collection."""
    if path == MARKER:
        return True
    parts = path.split("/")
    if len(parts) != 4 or parts[0] != COLLECTIONS or not is_collection(parts[1]):
        return False
    directory, file = parts[2:]
    if directory == MANIFESTS:
        return parse_manifest(file) is not None
    if directory == WAL:
        return parse_wal(file) is not None
    return (
        is_deletes_file(file)
        if directory == DELETES
        else directory in (DATA, INDEX) and is_segment_file(file)
    )


def temporary_file(file_id: str) -> str:
    """Name of a file that is being written and will be linked to its real name."""
    return f"{_TEMPORARY}{_checked_id(file_id)}"


def is_temporary(file: str) -> bool:
    """Whether `file` is a name of `temporary_file`; without a live writer such a file is rubbish."""
    return file.startswith(_TEMPORARY) and is_id(file.removeprefix(_TEMPORARY))


def parent(path: str) -> str:
    """Directory that holds `path`; "" is the root of the database."""
    return path.rpartition("/")[0]


def _number(value: int) -> str:
    if not 0 <= value <= MAX_NUMBER:
        raise InvalidArgumentError(f"file number: 0 to {MAX_NUMBER} expected, found {value}")
    return f"{value:020d}"


def _parse(pattern: re.Pattern[str], file: str) -> int | None:
    found = pattern.fullmatch(file)
    if found is None or int(found[1]) > MAX_NUMBER:
        return None
    return int(found[1])


def _checked_id(file_id: str) -> str:
    if not is_id(file_id):
        raise InvalidArgumentError(
            f"file id: 32 lower-case hexadecimal digits expected, found {file_id[:80]!r}"
        )
    return file_id
