"""What a stream encoding is: values of one physical kind to bytes and back.

Encodings are blind to nulls, lists, structs, pages and checksums: `lance_fmt.block` takes columns apart into
streams of plain values before it asks here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from lance_fmt.constants import StreamId
from lance_fmt.wire import Cursor

T = TypeVar("T")
Array = NDArray[Any]
Mask = NDArray[np.bool_]


class Strings(NamedTuple):
    """Byte strings: string i is `data[offsets[i]:offsets[i + 1]]`.

    `data` is uint8, `offsets` int64 `(n + 1,)` with `offsets[0] == 0` and `offsets[-1] == len(data)`.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @property
    def rows(self) -> int:
        """Number of strings."""
        return len(self.offsets) - 1

    @property
    def size(self) -> int:
        """Bytes of all strings."""
        return len(self.data)

    def first(self) -> bytes:
        """The first of at least one string."""
        return self.data[: int(self.offsets[1])].tobytes()


Values = Array | Strings


@dataclass(frozen=True, slots=True)
class Kind:
    """Physical kind of a stream's values: a NumPy dtype (1-D arrays), or byte strings (`dtype` uint8)."""

    name: str
    dtype: np.dtype[Any]
    is_strings: bool = False

    @property
    def is_integer(self) -> bool:
        """uint8..uint64 and int8..int64."""
        return not self.is_strings and self.dtype.kind in "iu"

    @property
    def is_float(self) -> bool:
        """float16, float32, float64."""
        return self.dtype.kind == "f"

    @property
    def is_bool(self) -> bool:
        """One bool for each value."""
        return self.dtype.kind == "b"


STRINGS = Kind("strings", np.dtype("u1"), is_strings=True)
KINDS: dict[np.dtype[Any], Kind] = {
    np.dtype(code): Kind(np.dtype(code).name, np.dtype(code))
    for code in ("?", "u1", "<u2", "<u4", "<u8", "i1", "<i2", "<i4", "<i8", "<f2", "<f4", "<f8")
}


def kind_of(dtype: Any) -> Kind:
    """The kind of arrays of `dtype`."""
    return KINDS[np.dtype(dtype)]


def count_of(values: Values) -> int:
    """Number of values."""
    return values.rows if isinstance(values, Strings) else len(values)


def nbytes_of(values: Values) -> int:
    """Bytes of the values in memory, a string's length counted as one byte."""
    return values.size + values.rows if isinstance(values, Strings) else values.nbytes


class PageParameters(ABC):
    """Parameters of a recipe that hold for one page only, unlike those that serve every page alike."""

    @abstractmethod
    def renewed(self, page: Sequence[Values]) -> PageParameters | None:
        """Those of another page of like values, given by all its blocks; None: they are not alike."""

    @abstractmethod
    def forget(self) -> None:
        """Drop what only writing this page needs: the recipe is kept for the next one."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A tree of encodings: how the streams of a page are written.

    `children` are the recipes of the streams within the payload, in the order of the encoding's specification;
    `parameters` is what planning learnt from the page and encoding needs again (its type is the encoding's own;
    `PageParameters` if it goes with that page only).
    """

    id: StreamId
    children: tuple[Recipe, ...] = ()
    parameters: Any = field(default=None, compare=False)

    def __str__(self) -> str:
        name = self.id.name.lower()
        return f"{name}({', '.join(map(str, self.children))})" if self.children else name


@dataclass(frozen=True, slots=True)
class Sample:
    """What a recipe is planned from: whole blocks of the page, and all of its blocks where they are known.

    `blocks` is never empty, and no block is. `page` is None for streams inside another encoding's payload;
    encodings that need all values (dictionary, symbol tables) are not planned there.
    """

    blocks: Sequence[Values]
    page: Sequence[Values] | None = None

    def map(self, function: Callable[[Any], Values]) -> Sample:
        """The sample of a child stream: `function` of every block."""
        return Sample([function(block) for block in self.blocks])


class Chooser(Protocol):
    """Finds the best recipe of a child stream; `encodings.select` is the one implementation."""

    effort: int
    """Compression level for encodings that have one (Zstandard: 1 to 19)."""

    def choose(self, sample: Sample, kind: Kind, *, without: frozenset[StreamId] = frozenset()) -> Recipe:
        """The best recipe for values like these, one level deeper, not using `without` at its root."""


class SharedWriter(Protocol):
    """Gathers what the blocks of a page share."""

    def add(self, data: bytes, owner: str) -> int:
        """Slot of `data`; equal data of the same owner, an encoding of one kind, gets the same slot."""


class StreamWriter(Protocol):
    """Given to `encode`: writes child streams and shared bytes of the page being written."""

    @property
    def shared(self) -> SharedWriter:
        """The shared bytes of the page."""

    def write(self, values: Values, kind: Kind, recipe: Recipe) -> bytes:
        """A whole stream (header, payload, padding) of `values` by `recipe`.

        Values that are all equal may be written as CONSTANT whatever the recipe says.
        """

    def framed(self, payload: bytes, count: int, kind: Kind, stream: StreamId, size: int = 0) -> bytes:
        """A whole stream of a payload: `count` values of `kind`, of strings `size` bytes, written as `stream`."""


class StreamReader(Protocol):
    """Given to `decode`: reads child streams and shared slots of the page being read. Not shared by threads."""

    def read(self, cursor: Cursor, count: int, kind: Kind) -> Values:
        """The next stream of `cursor`: exactly `count` values of `kind`; CorruptFileError otherwise."""

    def match(self, cursor: Cursor, count: int, kind: Kind, test: Test) -> Mask:
        """Which of the next stream's values pass `test`, decoding as little as possible."""

    def shared(self, slot: int, parse: Callable[[Cursor], T]) -> T:
        """`parse` of a shared slot, done once for a page; CorruptFileError if there is no such slot."""


class Test(Protocol):
    """A condition on single values, as filters ask it."""

    def mask(self, values: Values) -> Mask:
        """Which values pass; NaN passes nothing but its own test."""

    @property
    def interval(self) -> tuple[int, int] | None:
        """(low, high), both included, if on integers the test is `low <= value <= high`; else None.

        The interval may reach outside the values' dtype, and is empty where low > high.
        """


class Encoding(Protocol):
    """One way of writing a stream. Registered in `encodings.ENCODINGS`."""

    @property
    def id(self) -> StreamId:
        """Wire id."""

    @property
    def name(self) -> str:
        """Name shown by tools and used in overrides: the id's name in lower case."""

    def accepts(self, kind: Kind) -> bool:
        """Whether values of this kind can be written this way at all."""

    def plan(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe | None:
        """How this encoding would write such values, its children chosen by `chooser`; None: not suited.

        Deterministic. Cheap refusals first: planning is most of what writing costs.
        """

    def fixed(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe:
        """Like `plan`, but the user asked for this encoding: never None where `accepts(kind)`.

        Raises InvalidDataError if these values cannot be written this way at all.
        """

    def encode(self, values: Values, kind: Kind, recipe: Recipe, out: StreamWriter) -> bytes:
        """The payload of one block's values (at least one). Must succeed on values that were not sampled."""

    def decode(self, payload: Cursor, count: int, kind: Kind, source: StreamReader) -> Values:
        """Exactly `count` (at least one) values, using up the payload; arrays may view its bytes.

        Raises CorruptFileError, through `payload.fail`, for bytes that no writer makes.
        """

    def match(self, payload: Cursor, count: int, kind: Kind, source: StreamReader, test: Test) -> Mask:
        """`test.mask(self.decode(...))`, where possible without decoding every value."""
