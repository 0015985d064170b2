"""What `vego stats` shows: the collections of a database and its files. Opens it for reading only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import vego
from vego_tools.terminal import byte_size, counted, file_tree, printable, wrapped


def statistics(directory: Path) -> dict[str, Any]:
    """`Database.stats` and the files with their sizes, by path within the database.

    Raises NotADatabaseError, CorruptionError and the other errors of `vego.open`.
    """
    with vego.open(directory, read_only=True, create=False) as database:
        found = database.stats()
    files = sorted(path for path in directory.rglob("*") if path.is_file() and not path.is_symlink())
    found["files"] = {path.relative_to(directory).as_posix(): path.stat().st_size for path in files}
    found["bytes"] = sum(found["files"].values())
    return found


def lines(directory: Path, found: dict[str, Any]) -> list[str]:
    """The same for people."""
    collections = found["collections"]
    out = [f"{found['path']}: {counted(len(collections), 'collection')}, {byte_size(found['bytes'])}"]
    for collection in collections:
        out += ["", *_collection(collection)]
    return [*out, "", "files", *file_tree(directory)]


def _collection(stats: dict[str, Any]) -> list[str]:
    documents, indexed = stats["documents"], stats["indexed_slots"]
    slots = documents + stats["dead_slots"]
    if stats["index"] == "flat":
        index = "none: every search is exact"
    elif not indexed:
        index = "none yet: few rows are searched exactly"
    else:
        index = (
            f"{stats['index']}, {byte_size(stats['index_bytes'])}, covers {indexed:,} of {slots:,} rows "
            f"({indexed / slots:.0%})"
        )
    deleted = (
        f", {counted(stats['dead_slots'], 'deleted row')} not yet removed" if stats["dead_slots"] else ""
    )
    facts = {
        "documents": f"{documents:,}{deleted}",
        "vectors": f"dimension {stats['dimension']}, metric {stats['metric']}",
        "segments": f"{counted(stats['segments'], 'file')}, {byte_size(stats['segment_bytes'])}",
        **_partitions(stats),
        "buffered": f"{counted(stats['buffered_rows'], 'row')} in the write-ahead log only",
        "index": index,
        "keys": ", ".join(map(printable, stats["metadata_keys"])) or "none",
        "version": f"{stats['version']}",
        "options": ", ".join(f"{name}={value}" for name, value in stats["options"].items()),
    }
    out = [f"collection {stats['name']}"]
    for name, text in facts.items():
        out += wrapped(text, first=f"  {name:<10} ", then=" " * 13)
    return out


def _partitions(stats: Mapping[str, Any]) -> dict[str, str]:
    key = stats.get("partition_by")
    return {} if key is None else {"partitions": f"{stats['partitions']:,}, by {printable(key)}"}
