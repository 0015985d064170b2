"""JSON Lines: an object a line, read twice: once for the types of all lines, once for the values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vego_tools.convert.errors import ConversionError, first_line
from vego_tools.convert.json_text import object_text
from vego_tools.convert.source import Source, Window, WriteOptions, cut, selected
from vego_tools.convert.text_vectors import as_vectors, vector_types

_BLOCK = 8 << 20
_LONGEST_LINE = 256 << 20


class _JsonSource(Source):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._size = path.stat().st_size
        self._done = 0
        self._lines = 0
        kinds, rows = None, 0
        vectors: dict[str, Any] = {}
        for first, block in _blocks(path):
            table = self._exact(self._parsed(block, first, None), block)
            rows += table.num_rows
            kinds = self._joined(kinds, table.schema)
            vectors = vector_types(table, vectors)
        import pyarrow as pa

        self.num_rows = rows
        found = kinds if kinds is not None else pa.schema([])
        self._raw = pa.schema([f.with_type(_settled(f.type)) for f in found])
        self.schema = pa.schema([f.with_type(vectors.get(f.name) or f.type) for f in self._raw])
        if vectors:
            named = ", ".join(f"{n!r} ({t.list_size})" for n, t in vectors.items() if t is not None)
            if named:
                self.notes.append(f"read as vectors, because all lists are of one length: {named}")

    def _joined(self, kinds: Any, schema: Any) -> Any:
        """The types of all lines so far."""
        import pyarrow as pa

        schema = pa.schema([f.with_type(_settled(f.type)) for f in schema])
        if kinds is None:
            return schema
        large = {f.name for s in (kinds, schema) for f in s if pa.types.is_uint64(f.type)}
        kinds, schema = (
            pa.schema(
                [f.with_type(pa.uint64()) if f.name in large and pa.types.is_int64(f.type) else f for f in s]
            )
            for s in (kinds, schema)
        )
        try:
            return pa.unify_schemas([kinds, schema], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise self._mixed(error, kinds) from error

    def _exact(self, table: Any, block: bytes) -> Any:
        """The table, with whole numbers of 64 bits without a sign as such: Arrow rounds them to floats."""
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.json as pj

        for place, field in enumerate(table.schema):
            if not pa.types.is_float64(field.type) or (pc.max(table.column(place)).as_py() or 0) < 2**63:
                continue
            kinds = table.schema.set(place, field.with_type(pa.uint64()))
            try:
                table = pj.read_json(
                    pa.BufferReader(block),
                    pj.ReadOptions(block_size=len(block)),
                    pj.ParseOptions(explicit_schema=kinds),
                )
            except pa.ArrowInvalid:
                continue  # larger ones, or fractions
        return table

    def _parsed(self, block: bytes, first: int, schema: Any) -> Any:
        import pyarrow as pa
        import pyarrow.json as pj

        options = pj.ParseOptions(explicit_schema=schema, newlines_in_values=False)
        try:
            return pj.read_json(
                pa.BufferReader(block), pj.ReadOptions(block_size=max(len(block), 1)), options
            )
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise self._explained(error, block, first) from error

    def _explained(self, error: Exception, block: bytes, first: int) -> ConversionError:
        """What is wrong, with the line, which Arrow does not tell."""
        kinds: dict[str, tuple[str, int]] = {}
        for number, line in enumerate(block.split(b"\n"), first):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except UnicodeDecodeError as wrong:
                return ConversionError(f"{self.path}: line {number}: not UTF-8 at byte {wrong.start}")
            except json.JSONDecodeError as wrong:
                return ConversionError(
                    f"{self.path}: line {number}, column {wrong.colno}: not JSON: {wrong.msg}"
                )
            except (ValueError, RecursionError) as wrong:
                return ConversionError(f"{self.path}: line {number}: {first_line(wrong)}")
            if not isinstance(found, dict):
                return ConversionError(
                    f"{self.path}: line {number}: {_kind(found)} where an object is expected"
                )
            clash = self._clash(found, number, kinds)
            if clash is not None:
                return clash
        return ConversionError(f"{self.path}: lines {first} and on: {first_line(error)}")

    def _clash(
        self, members: dict[str, Any], number: int, kinds: dict[str, tuple[str, int]]
    ) -> ConversionError | None:
        """What is wrong if a value is of another kind than its column was; `kinds` keeps where each was first seen."""
        for name, value in members.items():
            if value is None:
                continue
            was, where = kinds.setdefault(name, (_kind(value), number))
            if was != _kind(value):
                return ConversionError(
                    f"{self.path}: line {number}: {name!r} is {_kind(value)}, and {was} in line {where}; "
                    f"a column has one type"
                )
        return None

    def _mixed(self, error: Exception, kinds: Any) -> ConversionError:
        """Types that differ between blocks."""
        whole: dict[str, tuple[str, int]] = {}
        for first, block in _blocks(self.path):
            for number, line in enumerate(block.split(b"\n"), first):
                clash = self._clash(json.loads(line) if line.strip() else {}, number, whole)
                if clash is not None:
                    return clash
        return ConversionError(f"{self.path}: {first_line(error)} ({len(kinds)} columns)")

    def batches(self, window: Window) -> Iterator[Any]:
        def parsed() -> Iterator[Any]:
            for first, block in _blocks(self.path):
                self._done += len(block)
                table = self._parsed(block, first, self._raw).select(self._raw.names)
                for batch in table.to_batches():
                    yield as_vectors(batch, self.schema)

        self._done = 0
        yield from cut(selected(parsed(), window), window.batch_rows)

    def position(self) -> tuple[int, int]:
        return self._done, self._size


def open_source(path: Path) -> Source:
    """Read the types of a JSON Lines file."""
    return _JsonSource(path)


def _blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """(number of its first line, bytes) of blocks of whole lines."""
    with path.open("rb") as file:
        line, rest = 1, b""
        while True:
            piece = file.read(_BLOCK)
            whole, newline, after = (rest + piece).rpartition(b"\n")
            if not piece:
                if (whole + newline + after).strip():
                    yield line, whole + newline + after
                return
            if len(after) > _LONGEST_LINE:
                raise ConversionError(f"{path}: line {line}: longer than {_LONGEST_LINE:,} bytes")
            rest = after
            if whole.strip():
                yield line, whole + newline
            line += whole.count(b"\n") + len(newline)


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    names = {int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "null")


def _settled(kind: Any) -> Any:
    """Without Arrow's guess that some texts are times: text is what JSON says it is."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_struct(kind):
        return pa.struct(
            [f.with_type(_settled(f.type)) for f in (kind.field(i) for i in range(kind.num_fields))]
        )
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_settled(kind.value_type)))
    return kind


def write(path: Path, schema: Any, batches: Iterator[Any], options: WriteOptions) -> list[str]:  # noqa: ARG001
    """Write an object a line."""
    lost = _Lost(schema)
    names = list(schema.names)
    about = [f.metadata for f in schema]
    with path.open("wb") as file:
        for batch in batches:
            lost.count(batch)
            text = object_text(names, about, batch.columns, batch.num_rows)
            file.write(b"".join([line.encode() + b"\n" for line in text.to_pylist()]))
    return lost.notes


class _Lost:
    """Counts numbers that JSON has no form for."""

    def __init__(self, schema: Any) -> None:
        import pyarrow as pa

        self._floats = [i for i, f in enumerate(schema) if pa.types.is_floating(f.type)]
        self._names = schema.names
        self._found: dict[str, int] = {}

    def count(self, batch: Any) -> None:
        """Look at a batch's columns of floats."""
        import pyarrow as pa
        import pyarrow.compute as pc

        for place in self._floats:
            array = batch.column(place)
            array = array.cast(pa.float32()) if pa.types.is_float16(array.type) else array
            lost = len(array) - array.null_count - (pc.sum(pc.is_finite(array)).as_py() or 0)
            if lost:
                name = self._names[place]
                self._found[name] = self._found.get(name, 0) + lost

    @property
    def notes(self) -> list[str]:
        """What was lost."""
        return [
            f"column {name!r}: {count:,} NaN or infinite became null, for which JSON has no number"
            for name, count in self._found.items()
        ]
