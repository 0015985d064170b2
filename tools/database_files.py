"""Reports on the files of a database that are not columns: manifests, log segments and the VEGO marker."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vego import names
from vego.store import LocalStore
from vego.table.manifest import Manifest
from vego.table.marker import Marker
from vego.wal import Delete, SegmentHeader, WalContents, read_wal

Report = dict[str, Any]


def inspect(path: Path, start: bytes) -> Report | None:
    """The report on a file that starts with the four bytes `start`; None if it is none of these kinds."""
    if start == b"VMAN" or path.suffix == ".manifest":
        return _manifest(path)
    if start == b"VWAL" or path.suffix == ".wal":
        return _log(path)
    if start == b"Vego" or path.name == names.MARKER:
        marker = Marker.from_bytes(path.read_bytes(), str(path))
        return _report(
            path, "database marker", database_id=marker.database_id, created=_time(marker.created_us)
        )
    return None


def _report(path: Path, kind: str, **facts: Any) -> Report:
    return {"path": str(path), "kind": kind, "bytes": path.stat().st_size, **facts}


def _manifest(path: Path) -> Report:
    manifest = Manifest.from_bytes(path.read_bytes(), str(path))
    facts = {key: value for key, value in asdict(manifest).items() if key != "created_us"}
    return _report(path, "manifest", created=_time(manifest.created_us), rows=manifest.rows, **facts)


def _log(path: Path) -> Report:
    header = SegmentHeader.from_bytes(path.read_bytes(), str(path))
    facts: Report = {
        "number": header.number,
        "collection_id": header.collection_id,
        "first_lsn": header.first_lsn,
        "previous": None if header.previous is None else asdict(header.previous),
    }
    contents = _contents(path, header)
    if contents is None:
        facts["operations"] = "unknown: the file does not lie in a database"
        return _report(path, "write-ahead log", **facts)
    operations = [operation for batch in contents.batches for operation in batch.operations]
    deletes = sum(isinstance(operation, Delete) for operation in operations)
    return _report(
        path,
        "write-ahead log",
        **facts,
        batches=len(contents.batches),
        puts=len(operations) - deletes,
        deletes=deletes,
        sealed=contents.sealed,
        torn_bytes=contents.torn_bytes,
    )


def _contents(path: Path, header: SegmentHeader) -> WalContents | None:
    """What the log segment holds, where it lies in a database as collections/<name>/wal/<number>.wal."""
    here = path.resolve()
    if (
        len(here.parts) < 5
        or here.parts[-4] != names.COLLECTIONS
        or names.parse_wal(here.name) != header.number
    ):
        return None
    store = LocalStore(here.parents[3], read_only=True)
    try:
        return read_wal(store, here.parts[-3], header.number, collection_id=header.collection_id)
    finally:
        store.close()


def _time(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(timespec="milliseconds")
