"""Byte strings given as numbers of their distinct values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lance_fmt.encodings.protocol import Array, Strings
from lance_fmt.kernels import loader

Words = tuple[bytes, ...]


class Coded(Strings):
    """Byte strings of which each is one of `words`, distinct and in the order of their bytes.

    `codes` (of `code_type(words)`, one for each string) are numbers of words.
    To whoever knows only `Strings` it is one: `data` and `offsets` are made when they are asked for.
    """

    codes: Array
    words: Words
    _made: Strings | None
    _counts: NDArray[np.int64] | None

    def __new__(cls, codes: Array, words: Words) -> Coded:
        """`words` is not empty."""
        nothing = np.empty(0, np.uint8), np.zeros(1, np.int64)
        made = super().__new__(cls, *nothing)
        made.codes, made.words, made._made, made._counts = codes, words, None, None
        return made

    @property
    def _strings(self) -> Strings:
        if self._made is None:
            self._made = gather(strings_of(self.words), self.codes.astype(np.int64))
        return self._made

    @property
    def data(self) -> NDArray[np.uint8]:
        """The bytes of all strings."""
        return self._strings.data

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each string lies in `data`."""
        return self._strings.offsets

    @property
    def rows(self) -> int:
        """Number of strings."""
        return len(self.codes)

    @property
    def size(self) -> int:
        """Bytes of all strings."""
        return int(np.dot(self.counts, [len(word) for word in self.words]))

    @property
    def counts(self) -> NDArray[np.int64]:
        """How often each word is used."""
        if self._counts is None:
            self._counts = np.bincount(self.codes, minlength=len(self.words))
        return self._counts

    def first(self) -> bytes:
        """The first of at least one string."""
        return self.words[int(self.codes[0])]


def code_type(words: Sequence[bytes]) -> np.dtype[Any]:
    """The unsigned integers that number `words`."""
    return np.min_scalar_type(len(words) - 1)


def strings_of(words: Sequence[bytes]) -> Strings:
    """The words one behind another."""
    offsets = np.zeros(len(words) + 1, np.int64)
    np.cumsum([len(word) for word in words], out=offsets[1:])
    return Strings(np.frombuffer(b"".join(words), np.uint8), offsets)


def gather(values: Strings, rows: NDArray[np.int64]) -> Strings:
    """The strings `rows`, which exist; the offsets of `values` may be any."""
    offsets = np.empty(len(rows) + 1, np.int64)
    total = loader.offsets_of_indices()(values.offsets, rows, 1 << 62, offsets)
    data = np.empty(total, np.uint8)
    loader.gather_bytes()(values.data, values.offsets, rows, offsets, data)
    return Strings(data, offsets)
