"""Byte strings as numbers of their distinct values, on their way from a dictionary to a dictionary.

Dictionaries of other formats come as such, and most of what a writer does with strings it can do with the codes.
Whatever else asks for the bytes gets them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lance_fmt.column import Array, Column
from lance_fmt.constants import TypeId
from lance_fmt.encodings.coded import Coded, Words, code_type

if TYPE_CHECKING:
    from lance_fmt.datatype import DataType

# With more words than this there is little to gain over the strings themselves.
_MOST_WORDS = 1 << 12


class CodedColumn(Column):
    """A column of strings or bytes whose rows are `codes` (`(n,)`) of `words`, as `Coded` has them.

    `values` and `offsets` are made when they are asked for. The code of a null is that of any word.
    """

    __slots__ = ("coded", "codes", "words")

    def __init__(
        self,
        type: DataType,  # noqa: A002
        codes: Array,
        words: Words,
        validity: Array | None = None,
    ) -> None:
        self.type = type
        self.codes = codes
        self.words = words
        self.validity = validity
        self.coded = Coded(codes, words)

    @property
    def values(self) -> Array:  # type: ignore[override]
        """The bytes of all rows."""
        return self.coded.data

    @property
    def offsets(self) -> Array:  # type: ignore[override]
        """Where the rows lie in `values`."""
        return self.coded.offsets

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def nbytes(self) -> int:
        """What the rows would take in memory as strings."""
        size = 8 * len(self) + 8 + (0 if self.validity is None else self.validity.nbytes)
        return size + self.coded.size

    def slice(self, start: int, stop: int) -> CodedColumn:
        """Rows `start..stop`, as views."""
        validity = None if self.validity is None else self.validity[start:stop]
        return CodedColumn(self.type, self.codes[start:stop], self.words, validity)

    def take(self, indices: Array | Sequence[int]) -> Column:
        """The rows at `indices`, copied."""
        rows = np.asarray(indices, np.int64)
        validity = None if self.validity is None else self.validity[rows]
        return CodedColumn(
            self.type, self.codes[rows], self.words, None if validity is None or validity.all() else validity
        )

    def compact(self) -> Column:
        """The column itself."""
        return self

    def copied(self) -> CodedColumn:
        """The same rows in memory of their own."""
        validity = None if self.validity is None else self.validity.copy()
        return CodedColumn(self.type, self.codes.copy(), self.words, validity)


def joined(columns: Sequence[Column]) -> Column:
    """`Column.concat`, that keeps codes where all have them and they have not too many words together."""
    coded = [c for c in columns if isinstance(c, CodedColumn)]
    if len(coded) < len(columns) or len(columns) == 1:
        return Column.concat(columns)
    words = tuple(sorted(set().union(*(c.words for c in coded))))
    if len(words) > _MOST_WORDS:
        return Column.concat(columns)
    places = {word: place for place, word in enumerate(words)}
    parts = [
        c.codes
        if c.words == words
        else np.take(np.array([places[w] for w in c.words], code_type(words)), c.codes)
        for c in coded
    ]
    validity = None
    if any(c.validity is not None for c in coded):
        validity = np.concatenate(
            [np.ones(len(c), np.bool_) if c.validity is None else c.validity for c in coded]
        )
    return CodedColumn(columns[0].type, np.concatenate(parts), words, validity)


def from_dictionary(array: Any, kind: DataType) -> CodedColumn | None:
    """The column of a pyarrow DictionaryArray of text or bytes.

    None if that is not what it is, or if its dictionary is empty, too large, or has nulls.
    """
    import pyarrow as pa

    listed, indices = array.dictionary, array.indices
    if not 0 < len(listed) <= _MOST_WORDS or listed.null_count:
        return None
    try:
        text = listed.cast(pa.large_binary() if kind.id is TypeId.BINARY else pa.large_string())
        found = text.cast(pa.large_binary()).to_pylist()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    validity = None
    if indices.null_count:
        # Arrow's own way to NumPy imports pandas.
        validity = np.from_dlpack(indices.is_valid().cast(pa.uint8())).view(np.bool_)
        indices = indices.fill_null(0)
    places: Array = np.from_dlpack(indices)
    if len(places) and not 0 <= int(places.min()) <= int(places.max()) < len(found):
        return None
    words = tuple(sorted(set(found)))
    ranks = {word: rank for rank, word in enumerate(words)}
    codes = np.array([ranks[word] for word in found], code_type(words))
    return CodedColumn(kind, np.take(codes, places.astype(np.intp)), words, validity)
