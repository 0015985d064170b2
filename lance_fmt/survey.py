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
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from lance_fmt import footer as layout
from lance_fmt.checksum import crc32c
from lance_fmt.column_meta import COLUMN_HEADER, HANDLE, ColumnMeta, read_column_meta
from lance_fmt.constants import (
    COLUMN_HEADER_SIZE,
    FOOTER_SIZE,
    HEADER_SIZE,
    KNOWN_FEATURES,
    MAGIC,
    PAGE_HANDLE_SIZE,
    VERSION_MAJOR,
    BoundsForm,
    EncodingId,
)
from lance_fmt.damage import Damage
from lance_fmt.errors import CorruptFileError, UnsupportedVersionError
from lance_fmt.footer import Footer
from lance_fmt.schema import DataType, Field
from lance_fmt.source import ReadAt, open_source, read_exactly
from lance_fmt.wire import Cursor

_U32 = struct.Struct("<I")
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
# One read for pieces that lie so near each other, and no read larger than this.
_NEAR = 4096
_LARGEST_READ = 16 << 20
_AUXILIARY_NAMES = {1: "row index", 2: "Bloom filters"}
_ENCODINGS = {int(code): code.name.lower() for code in EncodingId}


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
    damage: dict[int, str] = field(default_factory=dict)


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
    def fields(self) -> list[Field | None]:
        """The fields of the schema in file order, None for those that cannot be read."""
        found: list[Field | None] = [None] * self.num_columns
        known: dict[bytes, Field] = {}
        records = zip(
            *(self._records[n].tolist() for n in ("ordinal", "field_offset", "field_length")), strict=True
        )
        for position, offset, length in records:
            raw = self._schema[offset : offset + length]
            if position < len(found) and len(raw) == length:
                found[position] = _field(raw, known, self.path)
        return found

    @cached_property
    def names(self) -> list[str]:
        """Names of the columns in file order; "column 7" where a name is lost."""
        return [f"column {i}" if f is None else f.name for i, f in enumerate(self.fields)]

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
        checksums = records["meta_crc"].tolist()
        joined, starts = [], np.zeros(count, np.int64)
        at = 0
        for position, raw in enumerate(self._read_many(offsets, lengths)):
            if position in damage:
                continue
            wrong = _wrong_metadata(raw, lengths[position], checksums[position])
            if wrong:
                damage[position] = wrong
                continue
            starts[position] = at
            joined.append(raw)
            at += len(raw)
        return _parse(b"".join(joined), starts, offsets, lengths, damage)

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
        sizes = sizes + np.where([i not in found.damage for i in range(self.num_columns)], found.lengths, 0)
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
        found, known = self._found, self.fields[position]
        header = found.headers[position]
        damage = found.damage.get(position, "")
        if known is None and not damage:
            damage = "its field in the schema cannot be read"
        return ColumnSurvey(
            name=self.names[position],
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
        known, found = self.fields[position], self._found
        offset = int(found.offsets[position])
        if position in found.damage or known is None or self.footer is None:
            raise CorruptFileError(self.path, offset, found.damage.get(position, "its field cannot be read"))
        cursor = Cursor(self._metadata_of(position), path=self.path, base=offset)
        return read_column_meta(
            cursor, num_rows=self.num_rows, file_length=self.footer.file_length, kind=known.type
        )

    def is_lost(self, position: int) -> bool:
        """Whether damage hides a column: its metadata, or its field in the schema."""
        return position in self._found.damage or self.fields[position] is None

    def evidence(self, position: int) -> str:
        """Why the encodings of a column were chosen, in its writer's words; CorruptFileError where that is lost."""
        return self.meta(position).evidence

    def bounds_of(self, position: int) -> Callable[[int], tuple[Any, Any] | None]:
        """What tells the smallest and largest value that a page of a column may hold (None: not known)."""
        meta, known = self.meta(position), self.fields[position]
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
        handles = self.handles[np.asarray(pages, np.int64)]
        where = handles["index_offset"].astype(np.int64), handles["index_length"].astype(np.int64)
        facts = (handles[name].tolist() for name in ("encoding", "index_crc", "nulls"))
        found = []
        for raw, encoding, crc, nulls in zip(self._read_many(*where), *facts, strict=True):
            if crc32c(raw) != crc:
                found.append("?")
            elif encoding == EncodingId.STREAMS:
                found.append(_recipe(raw, bool(nulls)) or "?")
            else:
                found.append(_ENCODINGS.get(encoding, f"encoding {encoding}"))
        return found

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
        intact = np.array([i not in found.damage for i in range(self.num_columns)], bool)
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

    def _read_many(self, offsets: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any]) -> list[memoryview]:
        """The bytes at these places, in order (fewer where the file ends); neighbours come with one read."""
        out = [memoryview(b"")] * len(offsets)
        inside = (offsets >= 0) & (offsets < self.length)
        order = np.argsort(offsets, kind="stable")
        order = order[inside[order]]
        if not len(order):
            return out
        starts = offsets[order]
        ends = np.minimum(starts + np.minimum(lengths[order], self.length), self.length)
        reach = np.maximum.accumulate(ends)
        far = starts[1:] > reach[:-1] + _NEAR
        far |= starts[1:] // _LARGEST_READ != starts[:-1] // _LARGEST_READ
        cuts = [0, *(np.flatnonzero(far) + 1).tolist(), len(order)]
        for first, stop in pairwise(cuts):
            begin = int(starts[first])
            raw = memoryview(self.source.read_at(begin, int(ends[first:stop].max()) - begin))
            places = zip(
                order[first:stop].tolist(),
                (starts[first:stop] - begin).tolist(),
                (ends[first:stop] - begin).tolist(),
                strict=True,
            )
            for place, a, b in places:
                out[place] = raw[a:b]
        return out


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


def _field(raw: bytes, known: dict[bytes, Field], path: str) -> Field | None:
    """A field from its bytes; those alike but for the name are parsed once."""
    try:
        end = 4 + _U32.unpack_from(raw)[0]
        rest = raw[end:]
        like = known.get(rest)
        if like is None:
            cursor = Cursor(raw, path=path)
            like = known[rest] = Field.get(cursor)
            cursor.expect_end("field")
            return like
        return Field(raw[4:end].decode("utf-8"), like.type, like.nullable, like.metadata)
    except UnsupportedVersionError:
        raise
    except (CorruptFileError, struct.error, UnicodeDecodeError):
        return None


def _wrong_metadata(raw: memoryview, length: int, crc: int) -> str:
    if len(raw) != length or length < COLUMN_HEADER_SIZE:
        return "its metadata lies outside the file"
    if crc32c(raw) != crc:
        return "its metadata does not match its checksum"
    pages, _, _, auxiliary, heap, evidence = COLUMN_HEADER.unpack_from(raw)
    parts = COLUMN_HEADER_SIZE + pages * PAGE_HANDLE_SIZE + heap + evidence + auxiliary * _AUXILIARY_SIZE
    return "" if parts == length else f"its metadata has {length} bytes, its parts {parts}"


def _parse(
    raw: bytes,
    starts: np.ndarray[Any, Any],
    offsets: np.ndarray[Any, Any],
    lengths: np.ndarray[Any, Any],
    damage: dict[int, str],
) -> _Found:
    """Headers and handles out of the metadata of all columns, which lies in `raw` from `starts` on."""
    count = len(starts)
    headers = np.zeros(count, _HEADER)
    good = np.array([i for i in range(count) if i not in damage], np.int64)
    data = np.frombuffer(raw, np.uint8)
    if len(good):
        headers[good] = data[starts[good][:, None] + np.arange(COLUMN_HEADER_SIZE)].view(_HEADER)[:, 0]
    pages = headers["pages"].astype(np.int64)
    first = np.concatenate([[0], np.cumsum(pages)])
    owner = np.repeat(np.arange(count), pages)
    number = np.arange(first[-1]) - first[owner]
    where = starts[owner] + COLUMN_HEADER_SIZE + number * PAGE_HANDLE_SIZE
    rows = data[where[:, None] + np.arange(PAGE_HANDLE_SIZE)] if len(where) else np.empty((0, 64), np.uint8)
    handles = np.ascontiguousarray(rows).view(HANDLE).reshape(-1)
    return _Found(offsets, lengths, headers, first, handles, damage)


def _recipe(raw: memoryview, nulls: bool) -> str | None:
    """The text in a page index of streams that says how the page is encoded; None where there is none."""
    try:
        count = _U32.unpack_from(raw)[0]
        at = 8 + (16 if nulls else 12) * count
        form = _U32.unpack_from(raw, at)[0]
        at += 4 + ((21 if form == BoundsForm.FLOAT else 17) * count if form else 0)
        length = _U32.unpack_from(raw, at)[0]
        return bytes(raw[at + 4 : at + 4 + length]).decode("utf-8")
    except (struct.error, UnicodeDecodeError):
        return None
