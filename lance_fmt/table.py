"""`Table`: named columns of equal length, what reads return and writes accept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lance_fmt import arrow, display, frames
from lance_fmt.column import Column
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
    def of(columns: Mapping[str, object] | Any, schema: Schema | None = None) -> Table:
        """A table of columns, arrays and lists, their types from `schema` where it is given.

        In place of a mapping, anything that speaks Arrow (see `from_arrow`), or a pandas DataFrame.
        """
        if isinstance(columns, Table) and schema is None:
            return columns
        if not isinstance(columns, Mapping):
            columns = _foreign(columns)
            if schema is None:
                return columns
        if schema is not None and set(schema.names) != set(columns):
            raise SchemaError(f"columns are {sorted(columns)}, the schema says {sorted(schema.names)}")
        names = schema.names if schema is not None else list(columns)
        return Table(
            {n: _column(n, columns[n], schema[n] if schema is not None else None) for n in names}, schema
        )

    @staticmethod
    def stream(columns: Mapping[str, object] | Any, schema: Schema | None = None) -> Iterator[Table]:
        """At least one table of what `of` takes: of a stream of record batches, one for each of them."""
        if isinstance(columns, Mapping) or frames.is_frame(columns) or not arrow.is_stream(columns):
            yield Table.of(columns, schema)
            return
        reader = arrow.as_reader(columns)
        empty = True
        for batch in reader:
            empty = False
            found = Table.from_arrow(batch)
            yield found if schema is None else Table.of(found, schema)
        if empty:
            yield Table.of(Table.from_arrow(reader.schema.empty_table()), schema)

    def __getitem__(self, name: str) -> Column:
        if name not in self._columns:
            raise KeyError(f"no column {name!r}; there are {', '.join(map(repr, self._columns))}")
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        parts = (f"{name}: {column.type}" for name, column in self._columns.items())
        return f"Table[{self.num_rows} rows]({display.listed(parts, len(self))})"

    def _repr_html_(self) -> str:
        return display.table_html(self, self.num_rows)

    def slice(self, start: int, stop: int) -> Table:
        """Rows `start..stop`, as views."""
        return Table({n: c.slice(start, stop) for n, c in self.items()}, self.schema, max(stop - start, 0))

    def to_pydict(self) -> dict[str, list[Any]]:
        """Lists of Python values."""
        return {name: column.to_pylist() for name, column in self._columns.items()}

    def to_pandas(self, types: str = "numpy") -> Any:
        """A pandas DataFrame. Needs pandas.

        `types` says what its columns are: "numpy" (numbers, bools and times without nulls as NumPy arrays, those
        with nulls as pandas' nullable types, timestamps and durations as datetime64 and timedelta64, anything
        else as Python objects), "nullable" (pandas' nullable types wherever there are any), or "arrow"
        (`ArrowDtype`: every type is kept, pyarrow is needed). Raises InvalidDataError, MissingPackageError.
        """
        return frames.to_pandas(self._columns, types, self.to_arrow)

    def to_arrow(self) -> Any:
        """A pyarrow Table; JSON becomes its text. Raises MissingPackageError without pyarrow."""
        return arrow.to_arrow(self._columns, self.schema)

    def __arrow_c_schema__(self) -> object:
        """Capsule of an ArrowSchema: any Arrow library reads the schema through it."""
        return arrow.schema_of(self.schema).__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Capsule of an ArrowArrayStream over the table, which views its memory where layouts agree."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    @staticmethod
    def from_arrow(table: Any) -> Table:
        """A table of anything that speaks Arrow: a pyarrow or polars table, a stream, a DuckDB relation.

        It has `__arrow_c_stream__` or `__arrow_c_array__`; metadata comes along. Raises SchemaError for what is
        no table, and for types without a counterpart, naming the column; MissingPackageError without pyarrow.
        """
        columns, fields, num_rows = arrow.from_arrow(table)
        return Table(columns, fields, num_rows)

    @staticmethod
    def from_pandas(frame: Any) -> Table:
        """A table of a pandas DataFrame, without its index.

        Missing values of object columns, and NA of pandas' nullable and Arrow types, are nulls; NaN of a float64
        column stays NaN. Raises SchemaError, naming the column.
        """
        return Table(
            {
                str(name): frames.from_series(str(name), frame.iloc[:, i])
                for i, name in enumerate(frame.columns)
            },
            num_rows=len(frame),
        )


def _foreign(thing: Any) -> Table:
    """The table of an object of another package."""
    if frames.is_frame(thing):
        return Table.from_pandas(thing)
    if not arrow.speaks_arrow(thing):
        raise SchemaError(
            f"a {type(thing).__name__} is no table: give a mapping of columns by name, a DataFrame, or an object "
            "with __arrow_c_stream__"
        )
    return Table.from_arrow(thing)


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
