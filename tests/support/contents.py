"""What a database holds, as plain values that can be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import vego

Content = dict[str, dict[str, tuple[list[float], dict[str, Any]]]]


def content_of(database: vego.Database) -> Content:
    """Vector and metadata of every document of every collection."""
    found: Content = {}
    for name in database.collections():
        docs = database.collection(name)
        ids = docs.to_table(["id"])["id"].to_pylist() if len(docs) else []
        assert len(set(ids)) == len(ids) == len(docs)
        documents = ((key, docs.get(key)) for key in ids)
        found[name] = {
            key: (document.vector.tolist(), document.metadata)
            for key, document in documents
            if document is not None
        }
        assert len(found[name]) == len(ids)
    return found


def content_at(path: Path) -> Content:
    """What the database at a path holds, for a reader."""
    with vego.open(path, read_only=True, create=False) as database:
        return content_of(database)


def files_below(path: Path) -> dict[str, bytes]:
    """Every file, by its path relative to `path`."""
    return {
        str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()
    }


def damage(file: Path, how: str) -> None:
    """Flip a bit in the middle of a file, cut off its end, or remove it."""
    data = file.read_bytes()
    match how:
        case "flipped":
            middle = len(data) // 2
            file.write_bytes(data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :])
        case "truncated":
            file.write_bytes(data[:-1])
        case "missing":
            file.unlink()
        case _:
            raise ValueError(how)
