"""Saving what can still be read of a damaged file into a new one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from lance_fmt.damage import Damage
from lance_fmt.errors import CorruptFileError, InvalidDataError
from lance_fmt.reader import File, OnDamage, open
from lance_fmt.schema import Field, Schema
from lance_fmt.source import ReadAt
from lance_fmt.writer import Writer

BATCH_ROWS = 65536
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SalvageReport:
    """What was saved: rows of the source and of the copy, columns given up whole, and all damage found."""

    num_rows: int
    saved_rows: int
    lost_columns: tuple[str, ...]
    damage: tuple[Damage, ...]


def salvage(
    source: str | os.PathLike[str] | bytes | ReadAt,
    dest: str | os.PathLike[str],
    *,
    on_damage: OnDamage = "null",
    progress: Progress | None = None,
) -> SalvageReport:
    """Copy what is left of `source` into a new file at `dest`, in memory for one batch.

    What cannot be read becomes null ("null"), or its rows are left out ("skip"). A column of which nothing can
    be read is given up. Row indexes and Bloom filters are made anew. `progress` is told rows done and rows in
    all. Raises CorruptFileError where the footer, schema, table of columns or key-values are damaged, without
    which nothing can be made of the rest, or where no column can be read; InvalidDataError if `dest` exists;
    OSError. After an error nothing is left at `dest`.
    """
    if on_damage not in ("null", "skip"):
        raise InvalidDataError(f"on_damage {on_damage!r} is not one of null, skip")
    if os.path.lexists(dest):
        raise InvalidDataError(f"{os.fspath(dest)} exists; salvage writes a new file")
    with _opened(source) as file:
        found = tuple(file.damage())
        lost = _lost_columns(file, found)
        kept = [field for field in file.schema if field.name not in lost]
        if lost and not kept:
            raise CorruptFileError(file.path, found[0].offset, f"no column can be read: {found[0]}")
        hurt = {place.column for place in found if place.rows and on_damage == "null"}
        fields = [Field(f.name, f.type, f.nullable or f.name in hurt, f.metadata) for f in kept]
        schema = Schema(fields, file.schema.metadata)
        row_index, bloom = (
            [name for name in schema.names if kind in file.indexes(name)] for kind in ("row_index", "bloom")
        )
        with Writer(dest, schema, file.metadata, row_index=row_index, bloom=bloom) as writer:
            _copy(file, writer, on_damage, progress)
        return SalvageReport(file.num_rows, writer.num_rows, lost, found)


def _opened(source: str | os.PathLike[str] | bytes | ReadAt) -> File:
    """The file, with the parts that all others are found by."""
    try:
        file = open(source)
        try:
            _ = file.schema
        except BaseException:
            file.close()
            raise
    except CorruptFileError as error:
        what = f"{error.what}; without this part nothing of the file can be saved: restore it from a copy"
        raise CorruptFileError(error.path, error.offset, what) from None
    return file


def _lost_columns(file: File, found: tuple[Damage, ...]) -> tuple[str, ...]:
    """Columns of which no row is left."""
    rows: dict[str, int] = {}
    for place in found:
        if place.column is not None:
            rows[place.column] = rows.get(place.column, 0) + place.rows
    return tuple(name for name in file.schema.names if rows.get(name, -1) >= file.num_rows)


def _copy(file: File, writer: Writer, on_damage: OnDamage, progress: Progress | None) -> None:
    names = writer.schema.names
    for start in range(0, file.num_rows, BATCH_ROWS):
        stop = min(start + BATCH_ROWS, file.num_rows)
        table = file.read(names, slice(start, stop), on_damage=on_damage)
        writer.write({name: table[name] for name in names})
        if progress is not None:
            progress(stop, file.num_rows)
