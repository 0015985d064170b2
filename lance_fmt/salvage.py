"""Saving what can still be read of a damaged file into a new one."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
    be read is given up. `progress` is told rows done and rows in all. Raises CorruptFileError where the
    footer, schema or table of columns are damaged, without which nothing can be made of the rest;
    InvalidDataError if `dest` exists; OSError.
    """
    if on_damage not in ("null", "skip"):
        raise InvalidDataError(f"on_damage {on_damage!r} is not one of null, skip")
    if Path(dest).exists():
        raise InvalidDataError(f"{os.fspath(dest)} exists; salvage writes a new file")
    with open(source) as file:
        damage = {name: file.damage(name) for name in file.schema.names}
        lost = tuple(
            name
            for name, places in damage.items()
            if any(place.page is None for place in places if place.rows)
        )
        kept = [field for field in file.schema if field.name not in lost]
        if not kept and file.schema.names:
            raise CorruptFileError(file.path, 0, "no column can be read")
        hurt = {name for name, places in damage.items() if places and on_damage == "null"}
        fields = [Field(f.name, f.type, f.nullable or f.name in hurt, f.metadata) for f in kept]
        schema = Schema(fields, file.schema.metadata)
        with Writer(dest, schema, file.metadata) as writer:
            _copy(file, writer, on_damage, progress)
        found = tuple(place for places in damage.values() for place in places)
        return SalvageReport(file.num_rows, writer.num_rows, lost, found)


def _copy(file: File, writer: Writer, on_damage: OnDamage, progress: Progress | None) -> None:
    names = writer.schema.names
    for start in range(0, file.num_rows, BATCH_ROWS):
        stop = min(start + BATCH_ROWS, file.num_rows)
        table = file.read(names, slice(start, stop), on_damage=on_damage)
        writer.write({name: table[name] for name in names})
        if progress is not None:
            progress(stop, file.num_rows)
