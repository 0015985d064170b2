"""Bounds of the values of pages and blocks, for skipping those that cannot match (FORMAT.md, "Bounds").

A bound may be wider than the values but never narrower. Nulls and NaN are outside the bounds and counted
apart; a page or block without bounds says nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lance_fmt.coded import CodedColumn
from lance_fmt.constants import STATISTIC_BYTES, BoundsForm, PageFlag, TypeId
from lance_fmt.encodings.bitpacked import frozen
from lance_fmt.kernels import loader
from lance_fmt.schema import DataType
from lance_fmt.wire import Builder, Cursor

if TYPE_CHECKING:
    from lance_fmt.column import Column

Prefixes = np.ndarray[Any, np.dtype[np.uint64]]

_NONE = PageFlag(0)
_STRUCT_FORMS = {BoundsForm.FLOAT: "<d", BoundsForm.SIGNED: "<q", BoundsForm.UNSIGNED: "<Q"}
DTYPES = {
    BoundsForm.FLOAT: "<f8",
    BoundsForm.SIGNED: "<i8",
    BoundsForm.UNSIGNED: "<u8",
    BoundsForm.PREFIX: "<u8",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """Smallest and largest value as bytes: 8 for scalars, at most 64 for strings and binary."""

    flags: PageFlag
    low: bytes
    high: bytes
    nan_count: int


def prefixes(column: Column) -> Prefixes | None:
    """The first 8 bytes of each string or binary value as big-endian numbers, uint64 `(n,)`; else None."""
    if bounds_form(column.type) is not BoundsForm.PREFIX or isinstance(column, CodedColumn):
        return None
    keys = np.empty(len(column), np.uint64)
    loader.prefix_numbers()(frozen(np.ascontiguousarray(column.array)), frozen(column.bounds), keys)
    return keys


def measure(column: Column, keys: Prefixes | None = None) -> Bounds:
    """Bounds of the valid values of a page; no flags where the type has none or no value counts.

    `keys` are its `prefixes`, if the caller has them.
    """
    kind = column.type
    if kind.id in (TypeId.STRING, TypeId.BINARY):
        keys = prefixes(column) if keys is None else keys
        return _string_bounds(column, keys)
    if bounds_form(kind) is BoundsForm.NONE:
        return Bounds(_NONE, b"", b"", 0)
    values = numbers(column.array if column.validity is None else column.array[column.validity], kind)
    nan_count = 0
    if bounds_form(kind) is BoundsForm.FLOAT:
        nan = np.isnan(values)
        nan_count = int(np.count_nonzero(nan))
        values = values[~nan] if nan_count else values
    if not len(values):
        return Bounds(_NONE, b"", b"", nan_count)
    flags = PageFlag.HAS_BOUNDS | PageFlag.MIN_EXACT | PageFlag.MAX_EXACT
    return Bounds(flags, _pack(values.min(), kind), _pack(values.max(), kind), nan_count)


def bounds_form(kind: DataType) -> BoundsForm:
    """How bounds of a type are kept."""
    if kind.id in (TypeId.STRING, TypeId.BINARY):
        return BoundsForm.PREFIX
    if kind.is_float or kind.is_bfloat16:
        return BoundsForm.FLOAT
    if kind.is_integer or kind.id is TypeId.BOOL:
        return BoundsForm.SIGNED if kind.dtype.kind == "i" else BoundsForm.UNSIGNED
    return BoundsForm.NONE


def numbers(values: np.ndarray[Any, Any], kind: DataType) -> np.ndarray[Any, Any]:
    """Values that compare as those of the type do: of bfloat16, the float32 each stands for."""
    if kind.id is TypeId.BFLOAT16:
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return values


def _form(kind: DataType) -> str:
    return _STRUCT_FORMS[bounds_form(kind)]


def _pack(value: Any, kind: DataType) -> bytes:
    return struct.pack(_form(kind), float(value) if bounds_form(kind) is BoundsForm.FLOAT else int(value))


def unpack(raw: bytes, kind: DataType, cursor: Cursor) -> Any:
    """The Python value of a stored bound (int for timestamps); `cursor` only serves the error."""
    if kind.id is TypeId.BINARY:
        return raw
    if kind.id is TypeId.STRING:
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise cursor.fail("bound of a string page is not UTF-8") from None
    value = struct.unpack(_form(kind), raw)[0]
    return bool(value) if kind.id is TypeId.BOOL else value


def _string_bounds(column: Column, keys: Prefixes | None) -> Bounds:
    if isinstance(column, CodedColumn):
        return _coded_bounds(column)
    assert keys is not None
    starts, values = frozen(column.bounds), frozen(np.ascontiguousarray(column.array))
    valid = np.empty(0, np.bool_) if column.validity is None else column.validity
    rows = np.empty(2, np.int64)
    if not loader.extreme_strings()(values, starts, keys, frozen(valid), rows):
        return Bounds(_NONE, b"", b"", 0)
    low, high = (values[starts[row] : starts[row + 1]].tobytes() for row in rows.tolist())
    return _between(low, high, column.type)


def _coded_bounds(column: CodedColumn) -> Bounds:
    codes = column.codes if column.validity is None else column.codes[column.validity]
    if not len(codes):
        return Bounds(_NONE, b"", b"", 0)
    return _between(column.words[codes.min()], column.words[codes.max()], column.type)


def _between(low: bytes, high: bytes, kind: DataType) -> Bounds:
    """Bounds of strings from `low` to `high`, cut to what is kept of them."""
    flags = PageFlag.HAS_BOUNDS
    text = kind.id is TypeId.STRING
    if len(low) <= STATISTIC_BYTES:
        flags |= PageFlag.MIN_EXACT
    else:
        low = _cut(low, text)
    if len(high) <= STATISTIC_BYTES:
        flags |= PageFlag.MAX_EXACT
    else:
        above = _above_text(_cut(high, True)) if text else _above_bytes(_cut(high, False))
        if above is None:
            return Bounds(_NONE, b"", b"", 0)
        high = above
    return Bounds(flags, low, high, 0)


def _cut(value: bytes, text: bool) -> bytes:
    """At most 64 bytes of `value`; of text, whole characters."""
    end = STATISTIC_BYTES
    while text and value[end] & 0xC0 == 0x80:
        end -= 1
    return value[:end]


def _above_bytes(prefix: bytes) -> bytes | None:
    """The smallest byte string above all that start with `prefix`; None if there is none."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


def _above_text(prefix: bytes) -> bytes | None:
    """Like `_above_bytes`, in whole characters, so that the bound is text again."""
    kept = prefix.decode("utf-8").rstrip("\U0010ffff")
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    if 0xD800 <= following <= 0xDFFF:
        following = 0xE000
    return (kept[:-1] + chr(following)).encode("utf-8")


@dataclass(frozen=True, slots=True)
class BlockBounds:
    """Bounds of every block of a page: arrays of one entry for each block, None where the type has none.

    `low` and `high` are int64, uint64 or float64 by the type; of strings, the first 8 bytes as a big-endian
    number (uint64), which sorts as the strings do. `known` is False for blocks without a value that counts.
    """

    form: BoundsForm
    low: np.ndarray[Any, Any] | None = None
    high: np.ndarray[Any, Any] | None = None
    known: np.ndarray[Any, np.dtype[np.bool_]] | None = None
    nans: np.ndarray[Any, Any] | None = None

    def put(self, out: Builder) -> None:
        """Append the section of a page index."""
        out.u32(self.form)
        if self.low is not None and self.high is not None and self.known is not None:
            out.raw(self.low.tobytes()).raw(self.high.tobytes()).raw(self.known.tobytes())
        if self.nans is not None:
            out.raw(self.nans.astype("<u4").tobytes())

    @staticmethod
    def skip(cursor: Cursor, blocks: int) -> None:
        """Step over the section; `get` reads it once somebody wants the bounds."""
        code = cursor.u32("form of block bounds")
        if code:
            cursor.take((21 if code == BoundsForm.FLOAT else 17) * blocks, "block bounds")

    @staticmethod
    def get(cursor: Cursor, blocks: int, kind: DataType) -> BlockBounds:
        """Read the section; bounds of a form that the type does not have are damage."""
        code = cursor.u32("form of block bounds")
        if code == BoundsForm.NONE:
            return BlockBounds(BoundsForm.NONE)
        form = bounds_form(kind)
        if code != form:
            raise cursor.fail(f"block bounds of form {code} for {kind}")
        low, high = (np.frombuffer(cursor.take(8 * blocks, "block bounds"), DTYPES[form]) for _ in range(2))
        known = np.frombuffer(cursor.take(blocks, "flags of block bounds"), np.uint8)
        nans = None
        if form is BoundsForm.FLOAT:
            nans = np.frombuffer(cursor.take(4 * blocks, "NaN counts of blocks"), "<u4")
        return BlockBounds(form, low, high, known != 0, nans)


def measure_blocks(
    column: Column, starts: list[int], nulls: list[int], keys: Prefixes | None = None
) -> BlockBounds:
    """Bounds of the blocks that begin at `starts` (its last entry is the number of rows)."""
    kind = column.type
    form = bounds_form(kind)
    if form is BoundsForm.NONE:
        return BlockBounds(form)
    if column.null_count == len(column):
        return BlockBounds(BoundsForm.NONE)
    begins = np.array(starts[:-1])
    known = np.array(nulls) < np.diff(starts)
    if isinstance(column, CodedColumn):
        codes = column.codes if column.validity is None else _filled(column.codes, column.validity)
        ends = (extreme.reduceat(codes, begins) for extreme in (np.minimum, np.maximum))
        low, high = (np.array([_prefix(column.words[c]) for c in e.tolist()], np.uint64) for e in ends)
        return BlockBounds(form, low, high, known)
    if form is BoundsForm.PREFIX:
        keys = prefixes(column) if keys is None else keys
        assert keys is not None
        if column.validity is not None:
            keys = _filled(keys, column.validity)
        return BlockBounds(form, *_extremes(keys, begins, form), known)
    values = numbers(column.array, kind)
    if column.validity is not None:
        values = _filled(values, column.validity)
    nans = None
    if form is BoundsForm.FLOAT:
        nan = np.isnan(values)
        valid = nan if column.validity is None else nan & column.validity
        nans = np.add.reduceat(valid, begins, dtype=np.int64)
        known &= ~np.logical_and.reduceat(nan, begins)
    return BlockBounds(form, *_extremes(values, begins, form), known, nans)


def _prefix(word: bytes) -> int:
    """What `prefixes` makes of a string."""
    return int.from_bytes(word[:8].ljust(8, b"\0"), "big")


def _filled(values: np.ndarray[Any, Any], validity: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """`values` with those of nulls replaced by the valid one before, which widens no bounds but its block's."""
    latest = np.maximum.accumulate(np.where(validity, np.arange(len(validity)), int(validity.argmax())))
    return values[latest]


def _extremes(
    values: np.ndarray[Any, Any], begins: np.ndarray[Any, Any], form: BoundsForm
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    if form is BoundsForm.FLOAT:
        low, high = np.fmin.reduceat(values, begins), np.fmax.reduceat(values, begins)
    else:
        low, high = np.minimum.reduceat(values, begins), np.maximum.reduceat(values, begins)
    return low.astype(DTYPES[form]), high.astype(DTYPES[form])
