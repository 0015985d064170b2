"""The file of an index: written for a commit, read and checked when a collection opens."""

from __future__ import annotations

import lance_fmt
from vego import names
from vego.errors import CorruptionError, StorageError
from vego.index.kinds import index_from_columns
from vego.index.metrics import Metric
from vego.index.vector_index import VectorIndex
from vego.store import Store
from vego.table.manifest import IndexEntry, Manifest
from vego.table.segment import open_checked

RECORDS = "records"


def write_index(store: Store, collection: str, index: VectorIndex, name: str | None = None) -> IndexEntry:
    """Write the index as an `.lfmt` file, durable except for its directory entry (the commit syncs that).

    `name` is the file's, from `names.index_file`; None for a fresh one.
    """
    columns, metadata = index.to_columns()
    name = name or names.index_file(store.new_id())
    with store.create(names.index_path(collection, name)) as file:
        summary = lance_fmt.write(file, columns, metadata=metadata, level="speed")
        file.commit()
    return IndexEntry(
        file=name, rows=index.rows, length=summary.length, crc=summary.footer_crc, kind=index.kind
    )


def _columns_of(file: lance_fmt.File) -> dict[str, lance_fmt.Column]:
    """All columns; vectors as views of the file where it is mapped, every block held against its checksum.

    The blocks of RECORDS are not: each of these has a checksum of its own, which searches look at.
    """
    found = {}
    for field in file.schema:
        mapped = file.mapped(field.name) if field.type.is_vector else None
        if mapped is None or len(mapped.runs) != 1:
            found[field.name] = file.read([field.name])[field.name]
        else:
            if field.name != RECORDS:
                mapped.check(0, mapped.blocks - 1)
            found[field.name] = lance_fmt.Column(field.type, mapped.runs[0][1])
    return found


def read_index(file: lance_fmt.File) -> VectorIndex:
    """Read an index, mapped where that is possible, and close the file; every link in memory is checked.

    Raises CorruptFileError or CorruptionError.
    """
    with file:
        return index_from_columns(_columns_of(file), dict(file.metadata), file.path)


def load_index(file: lance_fmt.File, metric: Metric, manifest: Manifest) -> VectorIndex:
    """`read_index` of a file that must belong to a collection. Raises CorruptFileError or CorruptionError."""
    index = read_index(file)
    if (index.metric, index.dimension) != (metric, manifest.dimension) or index.rows > manifest.rows:
        what = f"an index of {index.rows} rows, {index.metric.value}, dimension {index.dimension}"
        raise CorruptionError(file.path, 0, f"{what} does not belong to this collection")
    return index


def at_rest(store: Store, collection: str, index: VectorIndex, entry: IndexEntry | None) -> VectorIndex:
    """The index as it is used once it is written: from its file, where it is of a kind that stays there.

    Raises StorageError.
    """
    if entry is None or not index.on_disk:
        return index
    path = names.index_path(collection, entry.file)
    try:
        return read_index(open_checked(store, path, entry.length, entry.crc, entry.rows))
    except (lance_fmt.CorruptFileError, CorruptionError) as error:
        raise StorageError(f"the index that was just written is damaged: {error}") from error
