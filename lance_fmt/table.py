"""`Table`: named columns of equal length, what reads return and writes accept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lance_fmt import arrow
from lance_fmt.column import Column
from lance_fmt.constants import TypeId
from lance_fmt.damage import Damage
from lance_fmt.errors import InvalidDataError, SchemaError
from lance_fmt.inference import infer_type
from lance_fmt.schema import Field, Schema


class Table(Mapping[str, Column]):
    """An immutable mapping from column name to `Column`.

    `num_rows` is needed only where there are no columns. `damage` lists what could not be read of it. Raises
    SchemaError if lengths or types differ from each other or from `schema`.
    """

    def __init__(
        self,
        columns: Mapping[str, Column],
        schema: Schema | None = None,
        num_rows: int | None = None,
        *,
        damage: tuple[Damage, ...] = (),
    ) -> None:
        self._columns = dict(columns)
        self.damage = damage
        lengths = {name: len(column) for name, column in self._columns.items()}
        self.num_rows = next(iter(lengths.values()), 0) if num_rows is None else num_rows
        for name, length in lengths.items():
            if length != self.num_rows:
                raise SchemaError(f"column {name!r} has {length} rows, expected {self.num_rows}")
        self.schema = schema or Schema([Field(name, c.type) for name, c in self._columns.items()])
        if self.schema.names != list(self._columns):
            raise SchemaError(f"columns are {list(self._columns)}, the schema says {self.schema.names}")
        for field in self.schema:
            if self._columns[field.name].type != field.type:
                raise SchemaError(
                    f"column {field.name!r} is {self._columns[field.name].type}, the schema says {field.type}"
                )

    @classmethod
    def trusted(cls, columns: dict[str, Column], schema: Schema, num_rows: int) -> Table:
        """A table of columns that are known to fit `schema` and each other."""
        table = cls.__new__(cls)
        table._columns, table.schema, table.num_rows, table.damage = columns, schema, num_rows, ()
        return table

    @staticmethod
    def of(columns: Mapping[str, object], schema: Schema | None = None) -> Table:
        """A table of columns, arrays and lists, their types from `schema` where it is given."""
        if isinstance(columns, Table) and schema is None:
            return columns
        if schema is not None and set(schema.names) != set(columns):
            raise SchemaError(f"columns are {sorted(columns)}, the schema says {sorted(schema.names)}")
        names = schema.names if schema is not None else list(columns)
        return Table(
            {n: _column(n, columns[n], schema[n] if schema is not None else None) for n in names}, schema
        )

    def __getitem__(self, name: str) -> Column:
        if name not in self._columns:
            raise KeyError(f"no column {name!r}; there are {', '.join(map(repr, self._columns))}")
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}: {column.type}" for name, column in self._columns.items())
        return f"Table[{self.num_rows} rows]({inner})"

    def slice(self, start: int, stop: int) -> Table:
        """Rows `start..stop`, as views."""
        return Table({n: c.slice(start, stop) for n, c in self.items()}, self.schema, max(stop - start, 0))

    def to_pydict(self) -> dict[str, list[Any]]:
        """Lists of Python values."""
        return {name: column.to_pylist() for name, column in self._columns.items()}

    def to_pandas(self) -> Any:
        """A pandas DataFrame. Needs pandas."""
        import pandas as pd

        data = {}
        for name, column in self._columns.items():
            values = _pandas_values(column)
            typed = isinstance(values, np.ndarray) or len(column)
            data[name] = pd.Series(values, dtype=None if typed else object)
        return pd.DataFrame(data)

    def to_arrow(self) -> Any:
        """A pyarrow Table; JSON becomes its text. Needs pyarrow."""
        return arrow.to_arrow(self._columns, self.schema)

    @staticmethod
    def from_arrow(table: Any) -> Table:
        """A table of a pyarrow Table or RecordBatch, metadata and all.

        Raises SchemaError for types without a counterpart, naming the column.
        """
        columns, fields = arrow.from_arrow(table)
        return Table(columns, fields, table.num_rows)

    @staticmethod
    def from_pandas(frame: Any) -> Table:
        """A table of a pandas DataFrame, without its index. Missing values of object columns are nulls."""
        return Table(
            {str(name): _series(str(name), frame[name]) for name in frame.columns}, num_rows=len(frame)
        )


def _column(name: str, values: object, field: Field | None) -> Column:
    kind = field.type if field is not None else None
    try:
        if isinstance(values, Column):
            return values
        if isinstance(values, np.ndarray):
            return Column.from_numpy(values, kind)
        rows = list(values)  # type: ignore[call-overload]
        return Column.from_pylist(rows, kind or infer_type(rows))
    except InvalidDataError as error:
        raise type(error)(f"column {name!r}: {error}") from error
    except TypeError as error:
        raise SchemaError(f"column {name!r}: {error}") from error


def _pandas_values(column: Column) -> Any:
    """An array where pandas has a dtype for it, else a list of Python values."""
    if column.type.id is TypeId.DURATION:
        return column.to_numpy()
    numbers = column.type.is_number or column.type.is_bfloat16 or column.type.id is TypeId.BOOL
    if column.validity is None and (numbers or column.type.id is TypeId.TIMESTAMP):
        return column.to_numpy()
    return column.to_pylist()


def _series(name: str, series: Any) -> Column:
    values = series.to_numpy()
    if values.dtype.kind in "biufMm":
        return _column(name, values, None)
    missing = series.isna().to_numpy()
    rows = [None if gone else v for v, gone in zip(series.tolist(), missing.tolist(), strict=True)]
    return _column(name, rows, None)
