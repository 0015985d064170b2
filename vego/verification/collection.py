"""What can be wrong with one collection, checked on its open files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lance_fmt
from lance_fmt import CorruptFileError
from vego import names
from vego.errors import CorruptionError, NotFoundError, StorageError
from vego.index.index_file import load_index
from vego.index.lsh import LshIndex
from vego.index.metrics import Metric
from vego.store import Store
from vego.table.attributes import python_values
from vego.table.manifest import Manifest, SegmentEntry, named_files
from vego.table.partition import Partition
from vego.table.partitioned import check_partition
from vego.table.replay import vectors_of
from vego.table.segment import ID, VECTOR, column_type
from vego.table.values import load_metadata
from vego.verification.opened import OpenCollection, Problem, problem
from vego.verification.report import CollectionReport, Finding
from vego.verification.ways_out import WaysOut
from vego.wal import Delete

Mask = NDArray[np.bool_]

_SHOWN = 3


class CollectionCheck:
    """Checks one collection; `findings` grows. `read` is told the bytes of each file that was read wholly."""

    def __init__(self, opened: OpenCollection, *, deep: bool, read: Callable[[int], None]) -> None:
        self._opened = opened
        self._deep = deep
        self._read = read
        self._problems = list(opened.problems)
        self._spoilt = {found.path for found in opened.problems}

    def run(self) -> tuple[CollectionReport, list[Finding]]:
        """Everything about the collection, and close its files."""
        opened = self._opened
        newest = opened.newest
        facts: dict[str, object] = {}
        try:
            if self._deep:
                self._every_byte()
            if newest is not None:
                masks = self._masks(newest)
                facts = self._rows(newest, masks) | self._index(newest, masks)
        except StorageError as error:
            self._note(names.collection_path(opened.name), error)
        finally:
            opened.close()
        ways_out = WaysOut(opened, self._spoilt)
        findings = [ways_out.of_manifest(version, found) for version, found in opened.broken.items()]
        findings += [ways_out.of_file(found) for found in self._problems]
        findings += [ways_out.of_log(found) for found in opened.log_problems]
        return CollectionReport(opened.name, tuple(opened.there), **facts), findings  # type: ignore[arg-type]

    def _note(self, path: str, error: Exception) -> None:
        self._add(problem(path, error))

    def _add(self, found: Problem) -> None:
        self._problems.append(found)
        self._spoilt.add(found.path)

    def _every_byte(self) -> None:
        for path, file in self._opened.files.items():
            try:
                for place in file.damage():
                    self._add(Problem(path, max(place.offset, 0), str(place)))
            except StorageError as error:
                self._note(path, error)
            self._read(file.length)

    # -- rows ------------------------------------------------------------------------------------

    def _masks(self, newest: Manifest) -> dict[str, Mask | None]:
        """The live rows of each segment of which they are known; None for all."""
        masks: dict[str, Mask | None] = {}
        for entry in newest.segments:
            if entry.dropped:
                masks[entry.file] = np.zeros(entry.rows, np.bool_)
                continue
            if entry.deletes is None:
                masks[entry.file] = None
                continue
            path = names.deletes_path(self._opened.name, entry.deletes.file)
            dead = self._column(path, "row")
            if dead is None:
                continue
            rows = np.asarray(dead.array)
            if rows.dtype != np.uint32 or rows.ndim != 1 or dead.validity is not None:
                self._add(Problem(path, 0, f"row numbers expected, found {dead.type}"))
            elif len(rows) and (int(rows[-1]) >= entry.rows or not (rows[1:] > rows[:-1]).all()):
                what = f"rising row numbers below {entry.rows:,} expected, found {int(rows.max()):,} or some twice"
                self._add(Problem(path, 0, what))
            else:
                live = np.ones(entry.rows, np.bool_)
                live[rows] = False
                masks[entry.file] = live
        return masks

    def _rows(self, newest: Manifest, masks: dict[str, Mask | None]) -> dict[str, object]:
        alive: list[str] = []
        complete = True
        for entry in newest.segments:
            if entry.dropped:
                continue
            ids = self._ids(newest, entry)
            if ids is None or entry.file not in masks:
                complete = False
                continue
            live = masks[entry.file]
            alive += ids if live is None else [ids[row] for row in np.flatnonzero(live)]
        known = set(alive)
        if len(known) != len(alive):
            twice = [name for name, count in Counter(alive).items() if count > 1]
            shown = ", ".join(map(repr, twice[:_SHOWN])) + (", ..." if len(twice) > _SHOWN else "")
            path = names.manifest_path(self._opened.name, newest.version)
            self._add(Problem(path, 0, f"{len(twice):,} ids are live in two rows: {shown}"))
        facts: dict[str, object] = {"segments": sum(not entry.dropped for entry in newest.segments)}
        log = self._opened.log
        if log is not None:
            complete &= self._replay(newest, known)
            facts |= {"log_batches": len(log.batches), "torn_bytes": log.torn_bytes}
        if complete and log is not None:
            facts["documents"] = len(known)
            facts["dead_rows"] = newest.rows - len(alive)
        return facts

    def _ids(self, newest: Manifest, entry: SegmentEntry) -> list[str] | None:
        """The ids of a segment; with `deep` its other columns are looked at, too."""
        path = names.data_path(self._opened.name, entry.file)
        file = self._opened.files.get(path)
        if file is None:
            return None
        fields = {field.name: field.type for field in file.schema}
        expected = column_type(newest.vectors.empty())
        if fields.get(VECTOR) != expected or fields.get(ID) != lance_fmt.string():
            self._add(Problem(path, 0, f"columns {ID}: string and {VECTOR}: {expected} are needed"))
            return None
        if newest.partition_by is not None and path not in self._spoilt:
            self._partition(path, entry, newest.partition_by)
        if self._deep and path not in self._spoilt:
            self._values(path, file)
        ids = self._column(path, ID)
        return None if ids is None else [str(value) for value in ids.to_pylist()]

    def _partition(self, path: str, entry: SegmentEntry, key: str) -> None:
        """See that all rows of a segment have the value of its partition."""
        fields = {field.name for field in self._opened.files[path].schema}
        column = self._column(path, key) if key in fields else None
        if key in fields and column is None:
            return  # damaged, and noted
        try:
            values = [None] * entry.rows if column is None else python_values(column)
            wrong = [row for row, value in enumerate(values) if Partition(value) != entry.partition]
        except (ValueError, KeyError) as error:
            self._add(Problem(path, 0, f"column {key!r}: {error}"))
            return
        if wrong:
            what = f"rows of partition {entry.partition} expected, found {values[wrong[0]]!r} in row {wrong[0]:,}"
            self._add(Problem(path, 0, f"{what} and {len(wrong) - 1:,} others"))

    def _values(self, path: str, file: lance_fmt.File) -> None:
        for field in file.schema:
            if field.type == lance_fmt.json():
                column = self._column(path, field.name)
                try:
                    if column is not None:
                        python_values(column)
                except ValueError as error:
                    self._add(Problem(path, 0, f"column {field.name!r}: {error}"))
        vectors = self._column(path, VECTOR)
        if vectors is not None and not np.isfinite(vectors.to_numpy()).all():
            self._add(Problem(path, 0, f"column {VECTOR!r}: a value is not finite"))

    def _replay(self, newest: Manifest, known: set[str]) -> bool:
        """Let the log have its effect on the live ids; False where it is damaged."""
        log = self._opened.log
        assert log is not None
        for batch in log.batches:
            for operation in batch.operations:
                if isinstance(operation, Delete):
                    known.discard(operation.id)
                    continue
                try:
                    vectors_of({operation.id: operation}, newest.vectors)
                    metadata = load_metadata(operation.metadata)
                    check_partition(metadata, newest.partition_by, "partition")
                except ValueError as error:
                    what = f"batch {batch.lsn}, document {operation.id!r}: {error}"
                    self._add(Problem(names.wal_directory(self._opened.name), 0, what))
                    return False
                known.add(operation.id)
        return True

    def _column(self, path: str, name: str) -> lance_fmt.Column | None:
        file = self._opened.files.get(path)
        if file is None:
            return None
        try:
            return file.read([name])[name]
        except (CorruptFileError, CorruptionError, StorageError) as error:
            if path not in self._spoilt:
                offset = error.offset if isinstance(error, CorruptFileError | CorruptionError) else 0
                what = error.what if isinstance(error, CorruptFileError | CorruptionError) else str(error)
                self._add(Problem(path, max(offset, 0), what))
        except lance_fmt.SchemaError as error:
            self._add(Problem(path, 0, str(error)))
        return None

    # -- index -----------------------------------------------------------------------------------

    def _index(self, newest: Manifest, masks: dict[str, Mask | None]) -> dict[str, object]:
        entry = newest.index
        if entry is None:
            return {}
        path = names.index_path(self._opened.name, entry.file)
        file = self._opened.files.pop(path, None)
        if file is None or path in self._spoilt:
            return {}
        try:
            columns, metadata = (file.read(), dict(file.metadata)) if self._deep else (None, {})
            index = load_index(file, Metric.parse(newest.metric), newest)
        except (CorruptFileError, CorruptionError) as error:
            self._add(Problem(path, max(error.offset, 0), error.what))
            return {}
        if index.rows != entry.rows:
            self._add(Problem(path, 0, f"a graph of {entry.rows:,} rows expected, found {index.rows:,}"))
            return {}
        facts: dict[str, object] = {"indexed_rows": index.rows}
        vectors = self._vectors(newest, index.rows) if self._deep else None
        if vectors is not None and columns is not None:
            from vego.verification.graph import (
                sampled_codes,
                sampled_keys,
                sampled_recall,
            )  # compiled code is loaded for it

            holes = [np.full(one.rows, one.dropped) for one in newest.segments]
            known = np.flatnonzero(~np.concatenate(holes)[: index.rows])
            what = ""
            if isinstance(index, LshIndex):
                what = sampled_keys(index, vectors, known)
            elif index.kind == "hnsw":
                what = sampled_codes(columns, metadata, vectors, known, path)
            if what:
                self._add(Problem(path, 0, what))
            live = self._live(newest, masks, index.rows)
            if live is not None:
                facts["recall"] = sampled_recall(index, vectors, live)
        return facts

    def _vectors(self, newest: Manifest, rows: int) -> NDArray[Any] | None:
        """The vectors of the first `rows` slots, as stored (rows, width); None where some cannot be read."""
        kind = newest.vectors
        parts: list[NDArray[Any]] = []
        total = 0
        for entry in newest.segments:
            if total >= rows:
                break
            if entry.dropped:
                parts.append(np.zeros((entry.rows, kind.width), kind.element.stored))
                total += entry.rows
                continue
            column = self._column(names.data_path(self._opened.name, entry.file), VECTOR)
            if column is None:
                return None
            parts.append(column.to_numpy())
            total += entry.rows
        return np.concatenate(parts)[:rows]

    def _live(self, newest: Manifest, masks: dict[str, Mask | None], rows: int) -> Mask | None:
        if any(entry.file not in masks for entry in newest.segments):
            return None
        parts = []
        for entry in newest.segments:
            mask = masks[entry.file]
            parts.append(np.ones(entry.rows, np.bool_) if mask is None else mask)
        return np.concatenate(parts)[:rows]


def leftovers(store: Store, opened: OpenCollection) -> list[str]:
    """Paths of a collection's directory that no kept version and not the log needs."""
    name = opened.name
    needed = {names.manifest_path(name, version) for version in opened.there}
    for manifest in opened.manifests.values():
        needed.update(found.path for found in named_files(name, manifest))
    if opened.broken:  # what those name is not known
        return []
    first_wal = opened.first_wal
    found = []
    directories = {
        *names.file_directories(name), names.manifest_directory(name), names.wal_directory(name)
    }  # fmt: skip
    for directory in sorted(directories):
        for file in _listed(store, directory):
            number = names.parse_wal(file) if directory == names.wal_directory(name) else None
            if f"{directory}/{file}" not in needed and (number is None or number < first_wal):
                found.append(f"{directory}/{file}")
    place = names.collection_path(name)
    found += [f"{place}/{file}" for file in _listed(store, place) if f"{place}/{file}" not in directories]
    return found


def _listed(store: Store, path: str) -> list[str]:
    try:
        return store.list(path)
    except NotFoundError:
        return []
