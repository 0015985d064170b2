"""What a search returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from vego import display
from vego.document import Document, Vector
from vego.index import Metric
from vego.table.slots import Slots
from vego.table.snapshot import RowSnapshot
from vego.vector_type import VectorType


class BatchResult(NamedTuple):
    """Answers to m queries: `ids` object array (m, k) of str, None where fewer than k rows match, and
    `distances` float32 (m, k), infinite there."""

    ids: NDArray[np.object_]
    distances: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer. `distance`: smaller is nearer; `score`: larger is nearer. The document is read when asked for."""

    id: str
    distance: float
    score: float
    _slot: int = field(repr=False)
    _rows: RowSnapshot = field(repr=False)

    @property
    def metadata(self) -> dict[str, Any]:
        """The document's metadata."""
        return self._rows.metadata(self._slot)

    @property
    def vector(self) -> Vector:
        """The document's vector, as stored, a copy."""
        vector: Vector = self._rows.view.vectors.row(self._slot).copy()
        return vector

    @property
    def document(self) -> Document:
        """The document as it was when the search ran."""
        return Document(self.id, self.vector, self.metadata)

    def _repr_html_(self) -> str:
        return display.hit_html(self)


class Hits(Sequence[Hit]):
    """The answers to one query, nearest first. Columns: `.ids`, `.distances`, `.scores`; tables: `.to_pandas()`."""

    __slots__ = ("_ids", "_metric", "_rows", "_slots", "distances")

    def __init__(
        self,
        rows: RowSnapshot,
        slots: NDArray[np.int64],
        distances: NDArray[np.float32],
        metric: Metric,
        ids: list[str] | None = None,
    ) -> None:
        # Now, because the files may be closed when they are asked for.
        self._ids = rows.view.ids.take(slots) if ids is None else ids
        self._rows = rows
        self._slots = slots
        self._metric = metric
        self.distances = distances

    @classmethod
    def empty(cls, metric: Metric) -> Hits:
        """No answers, from a collection without rows."""
        slots = Slots(VectorType(dimension=1))
        return cls(
            RowSnapshot(0, slots.view(), slots.slot_of, ()),
            np.empty(0, np.int64),
            np.empty(0, np.float32),
            metric,
        )

    @property
    def ids(self) -> list[str]:
        """The ids, nearest first."""
        return list(self._ids)

    @property
    def scores(self) -> NDArray[np.float32]:
        """Similarities, float32 (k,): cosine similarity, dot product, or 1 / (1 + distance) for L2."""
        scores: NDArray[np.float32] = self._metric.scores(self.distances).astype(np.float32, copy=False)
        return scores

    def __len__(self) -> int:
        return len(self._slots)

    @overload
    def __getitem__(self, index: int) -> Hit: ...

    @overload
    def __getitem__(self, index: slice) -> Hits: ...

    def __getitem__(self, index: int | slice) -> Hit | Hits:
        if isinstance(index, slice):
            return Hits(self._rows, self._slots[index], self.distances[index], self._metric, self._ids[index])
        slot = int(self._slots[index])
        distance = float(self.distances[index])
        return Hit(
            self._ids[index],
            distance,
            float(self._metric.scores(self.distances[index])),
            slot,
            self._rows,
        )

    def __iter__(self) -> Iterator[Hit]:
        return (self[index] for index in range(len(self)))

    def documents(self) -> list[Document]:
        """Every document found."""
        return [hit.document for hit in self]

    def to_pylist(self) -> list[dict[str, Any]]:
        """One dict a hit: id, distance, score and the metadata keys."""
        return [{"id": hit.id, "distance": hit.distance, "score": hit.score, **hit.metadata} for hit in self]

    def to_pandas(self) -> Any:
        """A pandas DataFrame with the columns of `to_pylist` (needs `pip install vego[pandas]`)."""
        import pandas

        rows = self.to_pylist()
        return pandas.DataFrame(rows) if rows else pandas.DataFrame(columns=["id", "distance", "score"])

    def to_arrow(self) -> Any:
        """A pyarrow Table with the columns of `to_pylist` (needs `pip install vego[arrow]`)."""
        import pyarrow

        rows = self.to_pylist()
        names = list(dict.fromkeys(name for row in rows for name in row)) or ["id", "distance", "score"]
        return pyarrow.table({name: [row.get(name) for row in rows] for name in names})

    def __repr__(self) -> str:
        lines = [f"{len(self)} hits ({self._metric.value})"]
        for position, hit in enumerate(self):
            if position == 10:
                lines.append(f"  ... {len(self) - 10} more")
                break
            about = display.metadata_text(hit.metadata)
            lines.append(f"  {position + 1:>3}  {hit.distance:>9.4f}  {display.id_text(hit.id)}  {about}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return display.hits_html(self, self._metric.value)
