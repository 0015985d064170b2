"""A new collection that begins as what another one was. Files never change, so the two share them as hard links."""

from __future__ import annotations

from collections.abc import Sequence

from vego import names
from vego.errors import InvalidArgumentError, StorageError
from vego.store import Store
from vego.table.commit import SetContents, create_collection
from vego.table.manifest import Manifest, files_of, versions
from vego.table.point_in_time import contents_of
from vego.table.rowstore import RowStore


def branch(store: Store, name: str, rows: RowStore, origin: str) -> Manifest:
    """Create the collection `name` with what is in `rows`, a version of another collection open for reading.

    Nothing of it can be seen before its first manifest is there, which comes last. Raises InvalidArgumentError where
    there is such a collection, CommitConflictError where another process has just made one, StorageError.
    """
    if versions(store, name):
        raise InvalidArgumentError(f"collection {name!r} exists already; give another name, or drop it first")
    source, past = rows.collection, rows.manifest
    store.make_dirs(*names.file_directories(name))
    contents = contents_of(store, name, rows)
    _link_files(store, source, files_of(source, past), name, contents)
    summary = f"branch of {origin}"
    return create_collection(
        store,
        name,
        dimension=past.dimension,
        metric=past.metric,
        options=past.options,
        summary=summary,
        contents=contents,
    )


def _link_files(store: Store, source: str, files: Sequence[str], name: str, contents: SetContents) -> None:
    """Give those of the `files` of `source` that `contents` names a second name in `name`, durably."""
    wanted = {entry.file for entry in (*contents.segments, contents.index) if entry is not None}
    wanted |= {entry.deletes.file for entry in contents.segments if entry.deletes is not None}
    for path in files:
        file = path.rpartition("/")[2]
        new = f"{names.collection_path(name)}/{path.removeprefix(names.collection_path(source) + '/')}"
        if file in wanted:
            store.delete(new)  # of a branch that was cut short
            reader = store.open_reader(path)
            try:
                if not store.link(reader, new):
                    raise StorageError(f"{store.name}: branches need a file system with hard links")
            finally:
                reader.close()
    for directory in names.file_directories(name):
        store.sync_dir(directory)
