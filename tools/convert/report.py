"""What a conversion did, and what it could not keep."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from vego_tools.terminal import byte_size, counted, duration, printable, table

_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Change:
    """A column that a reader of the destination finds under another type."""

    column: str
    source_type: str
    destination_type: str


@dataclass(slots=True)
class Report:
    """What `convert` did: files, formats, sizes in bytes, rows, what changed, and notes on how it was read.

    `changes` names every column that comes back under another type when the destination is read; `checked` is
    the number of rows whose values were compared (None: not asked for).
    """

    source: str
    destination: str
    source_format: str
    destination_format: str
    rows: int = 0
    columns: int = 0
    source_bytes: int = 0
    destination_bytes: int = 0
    seconds: float = 0.0
    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Text for people."""
        sizes = f"{byte_size(self.source_bytes)} of {self.source_format}"
        sizes += f" became {byte_size(self.destination_bytes)} of {self.destination_format}"
        rows = f"{counted(self.rows, 'row')}, {counted(self.columns, 'column')}"
        found = [f"{printable(self.destination)}: {rows} in {duration(self.seconds)}; {sizes}"]
        if self.checked is not None:
            found.append(f"  read back and compared: {counted(self.checked, 'row')}, all equal")
        if self.changes:
            found.append("  these columns come back under another type:")
            rows_of = [(c.column, c.source_type, c.destination_type) for c in self.changes[:_SHOWN]]
            found += table(("column", "was", "comes back as"), rows_of, indent=4)
            if len(self.changes) > _SHOWN:
                found.append(f"    and {len(self.changes) - _SHOWN:,} more; --json lists all")
        found += [f"  note: {printable(note)}" for note in self.notes]
        return found


def changes(source: Any, destination: Any) -> list[Change]:
    """The fields of one Arrow schema that another has under another type."""
    return [
        Change(f.name, str(f.type), "missing" if other is None else str(other.type))
        for f, other in _pairs(source, destination)
        if other is None or not other.type.equals(f.type)
    ]


def _pairs(source: Any, destination: Any) -> list[tuple[Any, Any]]:
    """Fields and what became of them: by name, or by place where names are others."""
    there = {f.name: f for f in destination}
    if len(there) == len(source) and not set(there) & set(source.names):
        return list(zip(source, destination, strict=True))
    return [(f, there.get(f.name)) for f in source]


def losses(source: Any, destination: Any) -> list[str]:
    """What else of a schema is not in another: "not null", and metadata."""
    pairs = [(f, other) for f, other in _pairs(source, destination) if other is not None]
    notes = [
        f"column {f.name!r} is called {other.name!r} there" for f, other in pairs if f.name != other.name
    ]
    loose = [f.name for f, other in pairs if other.nullable and not f.nullable]
    if loose:
        notes.append(f"not kept: that there are no nulls in {_list(loose)}")
    described = [f.name for f, other in pairs if _missing(f.metadata, other.metadata)]
    if described:
        notes.append(f"not kept: metadata of {_list(described)}")
    missing = _missing(source.metadata, destination.metadata)
    if missing:
        notes.append(f"not kept: metadata {_list(missing)}")
    return notes


def _missing(metadata: Any, other: Any) -> list[str]:
    # Parquet numbers its columns; that is its own business.
    wanted = {k: v for k, v in (metadata or {}).items() if k != b"PARQUET:field_id"}
    return [k.decode("utf-8", "replace") for k, v in wanted.items() if (other or {}).get(k) != v]


def _list(names: list[str]) -> str:
    head = ", ".join(map(repr, names[:8]))
    return head if len(names) <= 8 else f"{head} and {len(names) - 8:,} more"
