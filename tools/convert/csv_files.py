"""CSV: types are guessed from all rows, and only where the text says the same under them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vego_tools.convert.errors import ConversionError, first_line
from vego_tools.convert.json_text import cell_text, is_binary, joined
from vego_tools.convert.retype import retype
from vego_tools.convert.source import Source, Window, WriteOptions, cut, selected
from vego_tools.convert.text_vectors import vector_types

_BLOCK = 4 << 20
_NULLS = ("NA", "N/A", "n/a", "NULL", "null", "None")
"""What stands for a missing number or time. In a column of text it is text: there is a place called Na."""
# Numbers that would not be written as they were: 007, +5, 0x1F.
_UNLIKE = r"^[+-]?0[0-9xX]|^\+"
_TOO_LONG = r"^-?[0-9]{16,}$"  # whole numbers that a float64 may round


class _CsvSource(Source):
    def __init__(self, path: Path, delimiter: str) -> None:
        import pyarrow as pa

        super().__init__(path)
        self._delimiter = delimiter
        self._names = self._header()
        self._size = path.stat().st_size
        self._handle: Any = None
        guesses = [_Guess() for _ in self._names]
        rows = 0
        for batch in self._text(rows):
            for guess, array in zip(guesses, batch.columns, strict=True):
                guess.look(array)
            rows += batch.num_rows
        self.num_rows = rows
        self._guesses = guesses
        self.schema = pa.schema([(n, g.type) for n, g in zip(self._names, guesses, strict=True)])
        spelled = [n for n, g in zip(self._names, guesses, strict=True) if g.spelled_nulls]
        if spelled:
            self.notes.append(f"NA, NULL and the like were read as nulls in {', '.join(map(repr, spelled))}")

    def _header(self) -> list[str]:
        import pyarrow as pa

        with self.path.open("rb") as file:
            head = file.read(1 << 20)
        if not head.strip():
            raise ConversionError(f"{self.path}: empty; the first line names the columns")
        if b"\0" in head:
            raise ConversionError(
                f"{self.path}: byte {head.index(0):,} is 0, so this is no text; say what it is with --from"
            )
        line = head.split(b"\n", 1)[0]
        if self._delimiter == "," and b"," not in line:
            other = max((";", "\t", "|"), key=lambda d: line.count(d.encode()))
            if other.encode() in line:
                self._delimiter = other
                self.notes.append(f"the columns are separated by {other!r}")
        try:
            names = list(self._reader(None).schema.names)
        except pa.ArrowInvalid as error:
            raise ConversionError(f"{self.path}: {first_line(error)}") from error
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ConversionError(f"{self.path}: line 1: column {twice!r} occurs more than once")
        return names

    def _reader(self, names: list[str] | None) -> Any:
        import pyarrow as pa
        import pyarrow.csv as pc

        self._handle = pa.OSFile(str(self.path), "rb")
        return pc.open_csv(
            self._handle,
            pc.ReadOptions(use_threads=False, block_size=_BLOCK),
            # An empty line is a row where there is one column only, and then its null.
            pc.ParseOptions(
                delimiter=self._delimiter,
                newlines_in_values=True,
                ignore_empty_lines=names is None or len(names) > 1,
            ),
            pc.ConvertOptions(
                column_types={name: pa.binary() for name in names or ()},
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                check_utf8=False,
            ),
        )

    def _text(self, first: int) -> Iterator[Any]:
        """Batches of string columns; raises ConversionError naming the row."""
        import pyarrow as pa

        try:
            for batch in self._reader(self._names):
                yield self._utf8(batch, first)
                first += batch.num_rows
        except pa.ArrowInvalid as error:
            raise ConversionError(f"{self.path}: after row {first:,}: {first_line(error)}") from error

    def _utf8(self, batch: Any, first: int) -> Any:
        import pyarrow as pa

        try:
            return pa.RecordBatch.from_arrays([a.cast(pa.string()) for a in batch.columns], self._names)
        except pa.ArrowInvalid:
            for name, array in zip(self._names, batch.columns, strict=True):
                for row, value in enumerate(array.to_pylist()):
                    try:
                        _ = None if value is None else value.decode("utf-8")
                    except UnicodeDecodeError as error:
                        raise ConversionError(
                            f"{self.path}: row {first + row:,} (line {first + row + 2:,} where no value has a line "
                            f"break), column {name!r}: not UTF-8 at byte {error.start} of the value; "
                            f"convert the file to UTF-8 first"
                        ) from error
            raise

    def batches(self, window: Window) -> Iterator[Any]:
        import pyarrow as pa

        def typed() -> Iterator[Any]:
            for batch in self._text(0):
                arrays = [g.convert(a) for g, a in zip(self._guesses, batch.columns, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, schema=self.schema)

        yield from cut(selected(typed(), window), window.batch_rows)

    def position(self) -> tuple[int, int]:
        return (self._handle.tell() if self._handle is not None else 0), self._size


def open_csv(path: Path) -> Source:
    """Guess the types of a CSV file; its first line names the columns."""
    return _CsvSource(path, ",")


def open_tsv(path: Path) -> Source:
    """The same, separated by tabs."""
    return _CsvSource(path, "\t")


def _parsers() -> dict[str, tuple[Any, Callable[[Any], Any]]]:
    """Types in the order of preference, and what turns text into them, raising ArrowInvalid if it is not such."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def number(kind: Any, unlike: str) -> Callable[[Any], Any]:
        def parse(text: Any) -> Any:
            if pc.any(pc.match_substring_regex(text, unlike)).as_py():
                raise pa.ArrowInvalid("digits would be lost")
            return text.cast(kind)

        return parse

    def boolean(text: Any) -> Any:
        if not pc.all(pc.match_substring_regex(text, "^(true|false|True|False|TRUE|FALSE)$")).as_py():
            raise pa.ArrowInvalid("not true or false")
        return pc.utf8_lower(text).cast(pa.bool_())

    def clock(text: Any) -> Any:  # Arrow has no cast from text to times of day
        day = joined("1970-01-01T", text.cast(pa.large_string()))
        return day.cast(pa.timestamp("us")).cast(pa.time64("us"))

    def cast(kind: Any) -> Callable[[Any], Any]:
        return lambda text: text.cast(kind)

    times = (pa.date32(), pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.timestamp("ns"),
             pa.timestamp("ns", "UTC"))  # fmt: skip
    return {
        "bool": (pa.bool_(), boolean),
        "int64": (pa.int64(), number(pa.int64(), _UNLIKE)),
        "uint64": (pa.uint64(), number(pa.uint64(), _UNLIKE)),
        "double": (pa.float64(), number(pa.float64(), f"{_UNLIKE}|{_TOO_LONG}")),
        "time": (pa.time64("us"), clock),
        **{str(kind): (kind, cast(kind)) for kind in times},
    }


class _Guess:
    """What type all values of a column so far are of."""

    def __init__(self) -> None:
        self._parsers = _parsers()
        self._left = list(self._parsers)
        self._vectors: dict[str, Any] = {}
        self._may_be_vectors = True
        self._seen = False
        self._spelled = False

    def look(self, text: Any) -> None:
        """Drop the types that these values are not of."""
        import pyarrow as pa

        values = text.drop_null()
        if not len(values):
            return
        if self._may_be_vectors:
            self._vectors = _vectors_of(values, self._vectors)
            self._may_be_vectors = self._vectors.get("v") is not None
        without = _without_nulls(text)
        self._spelled |= without.null_count > text.null_count
        known = without.drop_null()
        if not len(known):
            return
        self._seen = True
        left = []
        for name in self._left:
            try:
                self._parsers[name][1](known)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                continue
            left.append(name)
        self._left = left

    @property
    def type(self) -> Any:
        """The type of all values."""
        import pyarrow as pa

        if self._may_be_vectors and self._vectors:
            return self._vectors["v"]
        return self._parsers[self._left[0]][0] if self._seen and self._left else pa.string()

    @property
    def spelled_nulls(self) -> bool:
        """Whether words were taken for nulls."""
        return self._spelled and self._seen and bool(self._left)

    def convert(self, text: Any) -> Any:
        """Values of the type."""
        import pyarrow as pa

        kind = self.type
        if pa.types.is_fixed_size_list(kind):
            return retype(_parsed_lists(text), kind)
        if pa.types.is_string(kind):
            return text
        known = _without_nulls(text)
        if known.null_count == len(known):
            return pa.nulls(len(text), kind)
        return self._parsers[self._left[0]][1](known)


def _without_nulls(text: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    spelled = pc.is_in(text, pa.array(_NULLS))
    return pc.if_else(spelled, pa.scalar(None, text.type), text)


def _vectors_of(values: Any, so_far: dict[str, Any]) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pc.all(pc.match_substring_regex(values, r"^\[.*\]$")).as_py():
        return {"v": None}
    try:
        return vector_types(pa.table({"v": _parsed_lists(values)}), so_far)
    except pa.ArrowInvalid:
        return {"v": None}


def _parsed_lists(text: Any) -> Any:
    """JSON arrays of numbers as lists."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.json as pj

    lines = joined('{"v":', pc.fill_null(text, "null").cast(pa.large_string()), "}\n")
    raw = "".join(lines.to_pylist()).encode()
    schema = pa.schema([("v", pa.list_(pa.float64()))])
    options = pj.ParseOptions(explicit_schema=schema)
    table = pj.read_json(pa.BufferReader(raw), pj.ReadOptions(block_size=max(len(raw), 1)), options)
    if table.num_rows != len(text):
        raise pa.ArrowInvalid("not one JSON array a row")
    found = table.column("v").combine_chunks()
    return found.chunk(0) if isinstance(found, pa.ChunkedArray) else found


def _written(path: Path, schema: Any, batches: Iterator[Any], delimiter: str) -> list[str]:
    import pyarrow as pa
    import pyarrow.compute as pc

    special = "[" + delimiter.replace("\t", "\\t") + '"\n\r]|^$|^\\s|\\s$'
    with path.open("wb") as file:
        head = delimiter.join(_quoted_name(name, delimiter) for name in schema.names)
        file.write(head.encode() + b"\n")
        for batch in batches:
            if not batch.num_columns:
                continue
            cells = [
                pc.fill_null(_cell(array, f.metadata, special), "")
                for array, f in zip(batch.columns, schema, strict=True)
            ]
            lines = (
                pc.binary_join_element_wise(*cells, pa.scalar(delimiter, pa.large_string()))
                if len(cells) > 1
                else cells[0]
            )
            file.write(b"".join([line.encode() + b"\n" for line in lines.to_pylist()]))
    notes = []
    if any(is_binary(f.type) for f in schema):
        named = ", ".join(repr(f.name) for f in schema if is_binary(f.type))
        notes.append(f"bytes are written as base64: {named}")
    nested = [f.name for f in schema if f.type.num_fields]
    if nested:
        notes.append(f"lists and structs are written as JSON: {', '.join(map(repr, nested))}")
    return notes


def _quoted_name(name: str, delimiter: str) -> str:
    if name and not any(c in name for c in (delimiter, '"', "\n", "\r")) and name.strip() == name:
        return name
    return '"' + name.replace('"', '""') + '"'


def _cell(array: Any, metadata: Any, special: str) -> Any:
    """Text of cells, quoted where that is needed; nulls stay."""
    import pyarrow as pa
    import pyarrow.compute as pc

    text = cell_text(array, metadata)
    if pa.types.is_floating(array.type) or pa.types.is_integer(array.type):
        return text
    needed = pc.match_substring_regex(text, special)
    quoted = joined('"', pc.replace_substring(text, '"', '""'), '"')
    return pc.if_else(needed, quoted, text)


def write_csv(path: Path, schema: Any, batches: Iterator[Any], options: WriteOptions) -> list[str]:  # noqa: ARG001
    """Write CSV with a line of names; a null is an empty cell, an empty text is `""`."""
    return _written(path, schema, batches, ",")


def write_tsv(path: Path, schema: Any, batches: Iterator[Any], options: WriteOptions) -> list[str]:  # noqa: ARG001
    """The same, separated by tabs."""
    return _written(path, schema, batches, "\t")
