"""A batch of validated rows on its way into a collection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lance_fmt import Column, Field
from vego.document import Vector
from vego.table.attributes import columns_of, metadata_of


@dataclass(frozen=True, slots=True)
class RowPieces:
    """Rows of which ids and vectors are too large to be in memory at once: they come in `pieces`, in order."""

    rows: int
    vectors: Vector  # (0, width), for their type
    pieces: Iterable[tuple[Sequence[str], Vector]]
    columns: Mapping[str, tuple[Field, Column]]

    def __len__(self) -> int:
        return self.rows


@dataclass(slots=True)
class RowBatch:
    """`ids` (distinct) and `vectors` (n, width) as they are stored with metadata as rows or as columns, whichever came.

    Not to be changed. `encoded`: the rows as `vego.table.values.dump_metadata` writes them, where that is known.
    """

    ids: Sequence[str]
    vectors: Vector
    rows: Sequence[dict[str, Any]] | None = None
    columns: Mapping[str, tuple[Field, Column]] | None = None
    encoded: Sequence[bytes] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int]) -> RowBatch:
        """Some of the rows, in the given order."""
        every = self.metadata_rows()
        return RowBatch(
            [self.ids[row] for row in rows], self.vectors[list(rows)], [every[row] for row in rows]
        )

    def metadata_rows(self) -> Sequence[dict[str, Any]]:
        """One metadata dict a row."""
        if self.rows is not None:
            return self.rows
        columns = self.columns or {}
        fields = {name: field for name, (field, _) in columns.items()}
        # JSON entries are decoded by metadata_of, so they are taken as they lie in the column.
        lists = {name: column.to_pylist() for name, (_, column) in columns.items()}
        return [
            metadata_of({name: values[row] for name, values in lists.items()}, fields)
            for row in range(len(self))
        ]

    def metadata_columns(self) -> tuple[list[Field], dict[str, Column]]:
        """Fields and columns of the metadata."""
        if self.rows is not None:
            return columns_of(self.rows)
        columns = self.columns or {}
        return [field for field, _ in columns.values()], {
            name: column for name, (_, column) in columns.items()
        }
