"""What a file says of itself, as far as it can be read: `examine` never decodes a value and outlives damage.

`open` refuses a file whose footer, schema or table of columns is damaged. This reads the same structures one by
one, keeps what makes sense, and notes the rest: the record of a column is believed where the metadata it points to
matches the checksum in it, whatever happened to the records beside it. Files of many thousands of columns are read
with a few large reads and checked as arrays.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from lance_fmt import footer as layout
from lance_fmt.checksum import crc32c
from lance_fmt.column_meta import HANDLE, ColumnMeta, read_column_meta
from lance_fmt.constants import (
    COLUMN_HEADER_SIZE,
    FOOTER_SIZE,
    HEADER_SIZE,
    KNOWN_FEATURES,
    MAGIC,
    PAGE_HANDLE_SIZE,
    VERSION_MAJOR,
)
from lance_fmt.damage import Damage
from lance_fmt.errors import CorruptFileError
from lance_fmt.footer import Footer
from lance_fmt.pieces import Pieces, read_pieces
from lance_fmt.recipes import recipe_codes
from lance_fmt.schema import DataType, Field
from lance_fmt.source import ReadAt, open_source, read_exactly
from lance_fmt.wire import Cursor

_U32 = struct.Struct("<I")
_LENGTH = np.dtype("<u4")
_HEADER = np.dtype(
    [
        ("pages", "<u4"),
        ("page_shift", "u1"),
        ("block_shift", "u1"),
        ("auxiliary", "<u2"),
        ("heap", "<u8"),
        ("evidence", "<u8"),
    ]
)
_FOOTER = struct.Struct("<QQQIIIIIIIHH")
_AUXILIARY_SIZE = 24
_AUXILIARY_NAMES = {1: "row index", 2: "Bloom filters"}


class Region(NamedTuple):
    """A piece of the file: `kind` says what it is, `column` (a position, -1: none) whose."""

    offset: int
    length: int
    kind: str
    column: int


@dataclass(slots=True)
class ColumnSurvey:
    """What is known of one column without its pages. `type` is None and `damage` says why where nothing is.

    `pages` is a structured array of page handles (FORMAT.md, "Page handle"; `data_offset`, `data_length`, `rows`,
    `nulls` and so on), `auxiliary` lists (name, offset, length) of regions that speed up finding rows.
    """

    name: str
    position: int
    type: DataType | None
    nullable: bool
    page_shift: int
    block_shift: int
    metadata_offset: int
    metadata_length: int
    pages: np.ndarray[Any, Any]
    auxiliary: list[tuple[str, int, int]]
    damage: str

    @property
    def length(self) -> int:
        """Bytes of the column: pages, page indexes, auxiliary regions and metadata."""
        pages = int(self.pages["data_length"].sum()) + int(self.pages["index_length"].sum())
        return pages + sum(length for _, _, length in self.auxiliary) + self.metadata_length

    @property
    def raw_bytes(self) -> int | None:
        """Bytes of the plain values of all rows; None for types of variable length, which only decoding tells."""
        if self.type is None or not self.type.stride:
            return None
        return int(self.pages["rows"].sum()) * self.type.stride


@dataclass(slots=True)
class _Found:
    """Columns as arrays, by position; pages of all columns back to back in `handles`."""

    offsets: np.ndarray[Any, Any]
    lengths: np.ndarray[Any, Any]
    headers: np.ndarray[Any, Any]
    first_page: np.ndarray[Any, Any]
    handles: np.ndarray[Any, Any]
    intact: np.ndarray[Any, Any]  # bools; `damage` has what is wrong with the others
    damage: dict[int, str]


class _Fields(NamedTuple):
    """Fields as arrays, by position: where the name lies in the schema, and which of `alike` has all else.

    `kinds` is -1 where a field cannot be read.
    """

    starts: np.ndarray[Any, Any]
    stops: np.ndarray[Any, Any]
    kinds: np.ndarray[Any, Any]
    alike: list[Field]


class Survey:
    """The structure of one file. Make one with `examine`; close it or use it as a context manager.

    `damage` lists what is wrong so far, `num_rows`, `version` and `metadata` are what could be read.
    """

    def __init__(self, source: ReadAt) -> None:
        self.source = source
        self.path = source.name
        self.length = source.size()
        self.damage: list[Damage] = []
        self.metadata: dict[str, str] = {}
        self._read_header()
        self.footer = self._read_footer()
        self._schema = b""
        self._records = np.empty(0, layout.COLUMN_RECORD)
        if self.footer is not None:
            self._read_tail(self.footer)

    def __enter__(self) -> Survey:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the source."""
        self.source.close()

    # -- what all else is found by ------------------------------------------------------------------------

    def note(self, offset: int, what: str, column: str | None = None) -> None:
        """Add to the damage."""
        self.damage.append(Damage(column, None, None, 0, 0, offset, what))

    def _read_header(self) -> None:
        raw = bytes(self.source.read_at(0, HEADER_SIZE))
        try:
            layout.check_header(raw, self.path)
        except CorruptFileError as error:
            self.note(error.offset, f"header: {error.what}")

    def _read_footer(self) -> Footer | None:
        start = max(0, self.length - FOOTER_SIZE)
        raw = bytes(self.source.read_at(start, FOOTER_SIZE))
        try:
            return Footer.from_bytes(raw, self.path, self.length)
        except CorruptFileError as error:
            self.note(error.offset, f"footer: {error.what}")
        # One wrong byte need not make all of it useless: whatever fills the file exactly is worth following, for
        # all that it leads to is held against checksums.
        if len(raw) < FOOTER_SIZE:
            return None
        numbers = _FOOTER.unpack_from(raw)
        footer = Footer(*numbers[:9], (VERSION_MAJOR, numbers[11]), numbers[9] & KNOWN_FEATURES)  # type: ignore[call-arg]
        fills = footer.metadata_offset + footer.metadata_length == start
        return footer if fills and footer.table_offset >= HEADER_SIZE else None

    def _read_tail(self, footer: Footer) -> None:
        places = (
            ("column offset table", footer.table_offset, footer.table_length, footer.table_crc),
            ("schema", footer.schema_offset, footer.schema_length, footer.schema_crc),
            ("key-values", footer.metadata_offset, footer.metadata_length, footer.metadata_crc),
        )
        raw = bytes(self.source.read_at(footer.table_offset, self.length - footer.table_offset))
        parts = []
        for name, offset, length, crc in places:
            part = raw[offset - footer.table_offset :][:length]
            if crc32c(part) != crc:
                self.note(offset, f"{name} does not match its checksum")
            parts.append(part)
        self._records = np.frombuffer(parts[0], layout.COLUMN_RECORD)
        self._schema = parts[1]
        own: dict[str, str] = {}
        with suppress(CorruptFileError):  # noted above
            self.metadata, own = layout.read_metadata(Cursor(parts[2], path=self.path))
        layout.check_features(footer, own, self.path)

    @property
    def version(self) -> str:
        """Format version such as "1.1"; "?" where the footer is lost."""
        return "?" if self.footer is None else "{}.{}".format(*self.footer.version)

    @property
    def num_rows(self) -> int:
        """Rows in the file; 0 where the footer is lost."""
        return 0 if self.footer is None else self.footer.num_rows

    @property
    def footer_crc(self) -> int:
        """Checksum of the footer as stored: a fingerprint of what the file says; 0 where there is no footer."""
        if self.length < FOOTER_SIZE:
            return 0
        return int(_U32.unpack(bytes(self.source.read_at(self.length - 8, 4)))[0])

    # -- columns ------------------------------------------------------------------------------------------

    @property
    def num_columns(self) -> int:
        """Columns in the file."""
        return len(self._records)

    @cached_property
    def _fields(self) -> _Fields:
        """Where names lie, and what fields say but for them: bytes that are alike are parsed once."""
        count, schema = self.num_columns, self._schema
        starts, stops = np.zeros(count, np.int64), np.zeros(count, np.int64)
        kinds = np.full(count, -1)
        alike: list[Field] = []
        known: dict[bytes, int] = {}
        ascii_only = schema.isascii()
        places = (self._records[n].astype(np.int64) for n in ("ordinal", "field_offset", "field_length"))
        position, offset, length = places
        good = (position < count) & (length >= 4) & (offset + length <= len(schema))
        position, offset, length = position[good], offset[good], length[good]
        pieces = Pieces(np.frombuffer(schema, np.uint8), offset, length)
        name = offset + 4 + pieces.take(_LENGTH, offset)
        good = name <= offset + length
        position, offset, length, name = position[good], offset[good], length[good], name[good]
        starts[position], stops[position] = offset + 4, name
        for place, at, end in zip(position.tolist(), name.tolist(), (offset + length).tolist(), strict=True):
            rest = schema[at:end]
            kind = known.get(rest)
            if kind is None:
                kind = known[rest] = _kind(schema[at:end], alike, self.path)
            if kind >= 0 and (ascii_only or _is_text(schema[starts[place] : at])):
                kinds[place] = kind
        return _Fields(starts, stops, kinds, alike)

    def field(self, position: int) -> Field | None:
        """The field of the column at this position of the schema; None where it cannot be read."""
        found = self._fields
        like = int(self.kinds[position])
        if like < 0:
            return None
        name = self._schema[found.starts[position] : found.stops[position]].decode("utf-8")
        return replace(found.alike[like], name=name)

    @property
    def kinds(self) -> np.ndarray[Any, Any]:
        """Numbers that are equal for columns whose fields are equal but for the name; -1 for one that is lost."""
        return self._fields.kinds

    def kind_name(self, kind: int) -> str:
        """The type of the columns of a kind; "?" for those that are lost."""
        return "?" if kind < 0 else str(self._fields.alike[kind].type)

    def name(self, position: int) -> str:
        """The name of the column at this position of the schema; "column 7" where it is lost."""
        found = self.field(position)
        return f"column {position}" if found is None else found.name

    @cached_property
    def names(self) -> list[str]:
        """Names of the columns in file order; "column 7" where a name is lost."""
        return [self.name(position) for position in range(self.num_columns)]

    @cached_property
    def _found(self) -> _Found:
        """Column metadata of all columns, checked, and their page handles."""
        count = self.num_columns
        records = np.empty(count, layout.COLUMN_RECORD)
        records["meta_length"] = 0
        places = self._records["ordinal"].astype(np.int64)
        inside = places < count
        records[places[inside]] = self._records[inside]
        damage: dict[int, str] = {}
        listed = np.zeros(count, np.bool_)
        listed[places[inside]] = True
        for position in np.flatnonzero(~listed).tolist():
            records[position] = np.zeros((), layout.COLUMN_RECORD)
            damage[position] = "the column offset table does not list it"
        offsets, lengths = records["meta_offset"].astype(np.int64), records["meta_length"].astype(np.int64)
        pieces = read_pieces(self.source, offsets, lengths)
        damage |= _wrong_metadata(pieces, lengths, records["meta_crc"], listed)
        return _parse(pieces, offsets, lengths, damage)

    @cached_property
    def first_page(self) -> np.ndarray[Any, Any]:
        """Where the pages of each column begin in `handles`, int64 `(columns + 1,)`."""
        return self._found.first_page

    @property
    def handles(self) -> np.ndarray[Any, Any]:
        """The page handles of all columns back to back, in file order of the columns."""
        return self._found.handles

    def column_bytes(self) -> np.ndarray[Any, Any]:
        """Bytes of each column: pages, page indexes, auxiliary regions and metadata, int64 `(columns,)`."""
        found = self._found
        each = found.handles["data_length"].astype(np.int64) + found.handles["index_length"]
        total = np.concatenate([[0], np.cumsum(each)])
        sizes: np.ndarray[Any, Any] = total[found.first_page[1:]] - total[found.first_page[:-1]]
        sizes = sizes + np.where(found.intact, found.lengths, 0)
        for position in np.flatnonzero(found.headers["auxiliary"]).tolist():
            sizes[position] += sum(length for _, _, length in self._auxiliary(position))
        return sizes

    def _metadata_of(self, position: int) -> memoryview:
        found = self._found
        return read_exactly(
            self.source, int(found.offsets[position]), int(found.lengths[position]), "metadata"
        )

    def _auxiliary(self, position: int) -> list[tuple[str, int, int]]:
        count = int(self._found.headers["auxiliary"][position])
        if not count:
            return []
        raw = self._metadata_of(position)[-count * _AUXILIARY_SIZE :]
        entries = struct.iter_unpack("<HHIQQ", raw)
        return [
            (_AUXILIARY_NAMES.get(i, f"auxiliary {i}"), offset, size) for i, _, _, offset, size in entries
        ]

    def column(self, position: int) -> ColumnSurvey:
        """What is known of the column at this position of the schema."""
        found, known = self._found, self.field(position)
        header = found.headers[position]
        damage = found.damage.get(position, "")
        if known is None and not damage:
            damage = "its field in the schema cannot be read"
        return ColumnSurvey(
            name=self.name(position),
            position=position,
            type=None if known is None else known.type,
            nullable=known is None or known.nullable,
            page_shift=int(header["page_shift"]),
            block_shift=int(header["block_shift"]),
            metadata_offset=int(found.offsets[position]),
            metadata_length=0 if position in found.damage else int(found.lengths[position]),
            pages=found.handles[found.first_page[position] : found.first_page[position + 1]],
            auxiliary=self._auxiliary(position),
            damage=damage,
        )

    def meta(self, position: int) -> ColumnMeta:
        """The parsed metadata of a column, with evidence and bounds; CorruptFileError where it makes no sense."""
        known, found = self.field(position), self._found
        offset = int(found.offsets[position])
        if position in found.damage or known is None or self.footer is None:
            raise CorruptFileError(self.path, offset, found.damage.get(position, "its field cannot be read"))
        cursor = Cursor(self._metadata_of(position), path=self.path, base=offset)
        return read_column_meta(
            cursor, num_rows=self.num_rows, file_length=self.footer.file_length, kind=known.type
        )

    @property
    def lost(self) -> np.ndarray[Any, Any]:
        """Whether damage hides a column, its metadata or its field in the schema, as bools `(columns,)`."""
        return ~self._found.intact | (self.kinds < 0)

    def bounds_of(self, position: int, meta: ColumnMeta) -> Callable[[int], tuple[Any, Any] | None]:
        """What tells the smallest and largest value that a page of a column may hold (None: not known)."""
        known = self.field(position)
        assert known is not None
        kind, offset = known.type, int(self._found.offsets[position])

        def bounds(page: int) -> tuple[Any, Any] | None:
            with suppress(CorruptFileError):
                return meta.bounds(page, kind, Cursor(b"", path=self.path, base=offset))
            return None

        return bounds

    # -- pages --------------------------------------------------------------------------------------------

    def recipes(self, pages: Sequence[int] | np.ndarray[Any, Any]) -> list[str]:
        """How pages (numbers into `handles`) are encoded, such as "dictionary(bitpacked)", from their indexes.

        "?" for a page whose index is damaged.
        """
        codes, names = self.recipe_codes(pages)
        return [names[code] for code in codes.tolist()]

    def recipe_codes(
        self, pages: Sequence[int] | np.ndarray[Any, Any]
    ) -> tuple[np.ndarray[Any, Any], list[str]]:
        """The same as numbers, int64, into a list of all recipes there are; 0 is "?"."""
        return recipe_codes(self.source, self.handles[np.asarray(pages, np.int64)])

    def regions(self, *, by_column: bool = True) -> list[Region]:
        """What each byte of the file belongs to, front to back, without gaps; neighbours of one kind are joined.

        Bytes that nothing names are "unused", or "lost" where damage hides whose they are; bytes that two name
        count for the first. Without `by_column`, pages of several columns are of one kind, too.
        """
        kinds, offsets, lengths, owners = self._pieces()
        if not by_column:
            owners[:] = -1
        order = np.lexsort((lengths, offsets))
        order = order[lengths[order] != 0]
        kinds, offsets, lengths, owners = (each[order] for each in (kinds, offsets, lengths, owners))
        ends = offsets + lengths
        if not (offsets[0] == 0 and ends[-1] == self.length and np.array_equal(offsets[1:], ends[:-1])):
            return self._patched(
                zip(*(each.tolist() for each in (offsets, lengths, kinds, owners)), strict=True)
            )
        first = np.flatnonzero(np.diff(kinds, prepend=-1) | np.diff(owners, prepend=-2))
        sizes = np.diff(offsets[first], append=self.length)
        found = zip(
            *(each.tolist() for each in (offsets[first], sizes, kinds[first], owners[first])), strict=True
        )
        return [Region(offset, length, _KINDS[kind], owner) for offset, length, kind, owner in found]

    def _patched(self, pieces: Iterable[tuple[int, int, int, int]]) -> list[Region]:
        """Regions of pieces that leave gaps or overlap."""
        merged: list[Region] = []
        position = 0
        gap = "lost" if self.damage or self._found.damage else "unused"
        for offset, length, kind, owner in pieces:
            end = min(offset + length, self.length)
            if end <= position:
                continue
            if offset > position:
                merged.append(Region(position, offset - position, gap, -1))
                position = offset
            name = _KINDS[kind]
            last = merged[-1] if merged else None
            if last is not None and (last.kind, last.column) == (name, owner):
                merged[-1] = last._replace(length=end - last.offset)
            else:
                merged.append(Region(position, end - position, name, owner))
            position = end
        if position < self.length:
            merged.append(Region(position, self.length - position, gap, -1))
        return merged

    def _pieces(self) -> tuple[np.ndarray[Any, Any], ...]:
        """Kind, offset, length and column of every piece that the file names."""
        found, footer = self._found, self.footer
        owners = np.repeat(np.arange(self.num_columns), np.diff(found.first_page))
        intact = found.intact
        nobody = np.full(max(len(found.handles), self.num_columns), -1)
        parts = [
            (_PAGES, found.handles["data_offset"], found.handles["data_length"], owners),
            (_INDEXES, found.handles["index_offset"], found.handles["index_length"], nobody[: len(owners)]),
            (_METADATA, found.offsets[intact], found.lengths[intact], nobody[: int(intact.sum())]),
        ]
        single = [(_HEADER_KIND, 0, HEADER_SIZE, -1)]
        if footer is not None:
            end = footer.metadata_offset + footer.metadata_length
            single += [
                (_TABLE, footer.table_offset, footer.table_length, -1),
                (_SCHEMA, footer.schema_offset, footer.schema_length, -1),
                (_KEYS, footer.metadata_offset, footer.metadata_length, -1),
                (_FOOTER_KIND, end, FOOTER_SIZE, -1),
            ]
        for position in np.flatnonzero(found.headers["auxiliary"]).tolist():
            for name, offset, length in self._auxiliary(position):
                kind = _KINDS.index(name) if name in _KINDS else _OTHER
                single.append((kind, offset, length, position))
        columns: list[list[np.ndarray[Any, Any]]] = [[], [], [], []]
        for kind, offset, length, owner in parts:
            for out, values in zip(columns, (np.full(len(owner), kind), offset, length, owner), strict=True):
                out.append(values.astype(np.int64))
        for out, values in zip(columns, zip(*single, strict=True), strict=True):
            out.append(np.array(values, np.int64))
        return tuple(np.concatenate(out) for out in columns)


_KINDS = (
    "header", "pages", "page indexes", "row index", "Bloom filters", "auxiliary regions", "column metadata",
    "column offset table", "schema", "key-values", "footer",
)  # fmt: skip
_HEADER_KIND, _PAGES, _INDEXES, _, _, _OTHER, _METADATA, _TABLE, _SCHEMA, _KEYS, _FOOTER_KIND = range(11)


def examine(source: str | os.PathLike[str] | bytes | ReadAt) -> Survey:
    """What the file at a path, in memory or behind a source says of itself, whatever is damaged.

    Raises UnsupportedVersionError where it needs a newer reader, CorruptFileError where it is no file of this
    format (neither its beginning nor its end is), OSError.
    """
    reader = open_source(source, mmap=False)
    try:
        start = bytes(reader.read_at(0, len(MAGIC)))
        size = reader.size()
        end = bytes(reader.read_at(max(0, size - len(MAGIC)), len(MAGIC)))
        if MAGIC not in (start, end):
            what = f"neither begins nor ends with {MAGIC!r}" if size else "is empty"
            raise CorruptFileError(reader.name, 0, f"the file {what}: not such a file")
        return Survey(reader)
    except BaseException:
        reader.close()
        raise


def _kind(raw: bytes, alike: list[Field], path: str) -> int:
    """Where in `alike` there is a field of these bytes behind its name, parsed and added; -1 if they make no sense."""
    try:
        cursor = Cursor(b"\1\0\0\0x" + raw, path=path)
        found = Field.get(cursor)
        cursor.expect_end("field")
    except CorruptFileError:
        return -1
    alike.append(found)
    return len(alike) - 1


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _wrong_metadata(
    pieces: Pieces,
    lengths: np.ndarray[Any, Any],
    checksums: np.ndarray[Any, Any],
    listed: np.ndarray[Any, Any],
) -> dict[int, str]:
    """What is wrong with the metadata of columns, by position."""
    outside = listed & ((pieces.sizes != lengths) | (lengths < COLUMN_HEADER_SIZE))
    changed = listed & ~outside & ~pieces.intact(checksums.tolist())
    damage = dict.fromkeys(np.flatnonzero(outside).tolist(), "its metadata lies outside the file")
    damage |= dict.fromkeys(np.flatnonzero(changed).tolist(), "its metadata does not match its checksum")
    rest = np.flatnonzero(listed & ~outside & ~changed)
    headers = pieces.take(_HEADER, pieces.starts[rest])
    heap, evidence = headers["heap"].astype(np.float64), headers["evidence"].astype(np.float64)
    pages, auxiliary = headers["pages"].astype(np.float64), headers["auxiliary"].astype(np.float64)
    # As floats, for numbers of 64 bits could wrap round to the right sum; what is below 2^53 is exact.
    parts = COLUMN_HEADER_SIZE + pages * PAGE_HANDLE_SIZE + heap + evidence + auxiliary * _AUXILIARY_SIZE
    for place in np.flatnonzero(parts != lengths[rest]).tolist():
        position = int(rest[place])
        damage[position] = f"its metadata has {int(lengths[position])} bytes, its parts {int(parts[place])}"
    return damage


def _parse(
    pieces: Pieces, offsets: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any], damage: dict[int, str]
) -> _Found:
    """Headers and handles out of the metadata of all columns."""
    count = len(offsets)
    intact = np.ones(count, np.bool_)
    intact[list(damage)] = False
    headers = np.zeros(count, _HEADER)
    headers[intact] = pieces.take(_HEADER, pieces.starts[intact])
    pages = headers["pages"].astype(np.int64)
    first = np.concatenate([[0], np.cumsum(pages)])
    owner = np.repeat(np.arange(count), pages)
    number = np.arange(first[-1]) - first[owner]
    where = pieces.starts[owner] + COLUMN_HEADER_SIZE + number * PAGE_HANDLE_SIZE
    return _Found(offsets, lengths, headers, first, pieces.take(HANDLE, where), intact, damage)
