"""The file of an index: written for a commit, read and checked when a collection opens."""

from __future__ import annotations

import lance_fmt
from vego import names
from vego.errors import CorruptionError
from vego.index.kinds import index_from_columns
from vego.index.metrics import Metric
from vego.index.vector_index import VectorIndex
from vego.store import Store
from vego.table.manifest import IndexEntry, Manifest


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
    """All columns; vectors as views of the file where it is mapped, every block held against its checksum."""
    found = {}
    for field in file.schema:
        mapped = file.mapped(field.name) if field.type.is_vector else None
        if mapped is None or len(mapped.runs) != 1:
            found[field.name] = file.read([field.name])[field.name]
        else:
            mapped.check(0, mapped.blocks - 1)
            found[field.name] = lance_fmt.Column(field.type, mapped.runs[0][1])
    return found


def load_index(file: lance_fmt.File, metric: Metric, manifest: Manifest) -> VectorIndex:
    """Read an index, mapped where that is possible, and close the file; every byte and every link is checked.

    Raises CorruptFileError or CorruptionError.
    """
    with file:
        index = index_from_columns(_columns_of(file), dict(file.metadata), file.path)
    if (index.metric, index.dimension) != (metric, manifest.dimension) or index.rows > manifest.rows:
        what = f"an index of {index.rows} rows, {index.metric.value}, dimension {index.dimension}"
        raise CorruptionError(file.path, 0, f"{what} does not belong to this collection")
    return index
