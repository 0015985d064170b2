"""The file VEGO: it says that a directory is a database, in which format and with which id.

Text, so that whoever finds the directory can read what it is; the last line is the CRC32C of those before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lance_fmt import crc32c
from vego import names
from vego.errors import CorruptionError, NewerVersionError, NotADatabaseError, NotFoundError
from vego.store import Store

FORMAT_VERSION = 1

_TEXT = re.compile(
    rb"Vego database, format ([0-9]{1,9})\nid ([0-9a-f]{32})\n"
    rb"created_us ([0-9]{1,18})\ncrc32c ([0-9a-f]{8})\n"
)


@dataclass(frozen=True, slots=True)
class Marker:
    """What the marker says."""

    database_id: str
    created_us: int
    format_version: int = FORMAT_VERSION

    def to_bytes(self) -> bytes:
        """The file."""
        body = (
            f"Vego database, format {self.format_version}\n"
            f"id {self.database_id}\n"
            f"created_us {self.created_us}\n"
        ).encode()
        return body + f"crc32c {crc32c(body):08x}\n".encode()

    @classmethod
    def from_bytes(cls, data: bytes, path: str) -> Marker:
        """Inverse of `to_bytes`; CorruptionError or NewerVersionError for anything else."""
        found = _TEXT.fullmatch(data)
        if found is None:
            what = "not the text of a marker"
            raise CorruptionError(path, 0, what, "Restore this small file from a backup of the database")
        marker = cls(found[2].decode(), int(found[3]), int(found[1]))
        if marker.to_bytes() != data:
            what = "its checksum does not match"
            raise CorruptionError(path, 0, what, "Restore this small file from a backup of the database")
        if marker.format_version > FORMAT_VERSION:
            raise NewerVersionError(
                f"{path}: database format {marker.format_version} is newer than {FORMAT_VERSION}, the newest "
                "this Vego reads; open it with the Vego that wrote it"
            )
        return marker


def load_marker(store: Store, *, missing_ok: bool = False) -> Marker | None:
    """The marker of the database in `store`.

    Where there is nothing yet (no directory, or an empty one), None with `missing_ok`. Raises
    NotADatabaseError saying what was found instead, CorruptionError, NewerVersionError.
    """
    try:
        data = store.read(names.MARKER)
    except NotFoundError:
        found = _contents(store)
        if missing_ok and not found:
            return None
    else:
        return Marker.from_bytes(data, f"{store.name}/{names.MARKER}")
    shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
    raise NotADatabaseError(
        f"{store.name}: not a Vego database: a directory with a file {names.MARKER} expected, "
        f"found {shown or 'nothing'}; check the path, or give one where there is nothing yet to create one"
    )


def create_marker(store: Store) -> Marker:
    """Make the directory of `store` a database. If another process does so just now, that one's marker."""
    store.make_dirs("")
    marker = Marker(store.new_id(), store.now_us())
    try:
        store.put_if_absent(names.MARKER, marker.to_bytes())
    except FileExistsError:
        return Marker.from_bytes(store.read(names.MARKER), f"{store.name}/{names.MARKER}")
    return marker


def _contents(store: Store) -> list[str]:
    """What is in the root, except for the remains of a creation that was cut short."""
    try:
        files = store.list("")
    except NotFoundError:
        return ["a file"] if store.exists("") else []
    return [file for file in files if file != names.LOCK and not names.is_temporary(file)]
