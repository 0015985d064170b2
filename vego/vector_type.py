"""What the vectors of a collection are made of: how they are given, kept in files and memory, and known to kernels."""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vego.errors import InvalidArgumentError
from vego.options import check_dimension

BITS = 8  # of a stored byte


class Element(Enum):
    """A component of a vector; the value is the name in options and on disk.

    FLOAT32, FLOAT16 (rounded to it), UINT8 and INT8 (whole numbers in their range), or BIT, of which eight are kept
    in a byte, the first in its highest bit, as `numpy.packbits` does.
    """

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    UINT8 = "uint8"
    INT8 = "int8"
    BIT = "bit"

    @property
    def stored(self) -> np.dtype[Any]:
        """The NumPy type of what is kept."""
        return _STORED[self]

    @property
    def code(self) -> int:
        """The number that kernels know it by (vego/index/kernels/scoring.py)."""
        return _CODES[self]

    @classmethod
    def of(cls, rows: NDArray[Any]) -> Element:
        """The element of stored rows of which nothing is known but the type; bits are not told from UINT8."""
        return _ELEMENTS[rows.dtype.name]


_STORED = {
    one: np.dtype(name)
    for one, name in (
        (Element.FLOAT32, "float32"), (Element.FLOAT16, "float16"),
        (Element.UINT8, "uint8"), (Element.INT8, "int8"), (Element.BIT, "uint8"),
    )
}  # fmt: skip
# Repeated from vego/index/kernels/scoring.py, so that naming an element does not import numba.
_CODES = {Element.FLOAT32: 0, Element.FLOAT16: 1, Element.UINT8: 2, Element.INT8: 3, Element.BIT: 4}
_ELEMENTS = {one.value: one for one in Element if one is not Element.BIT}


class VectorType(NamedTuple):
    """Vectors of `dimension` components; None where the first vector is to say how many."""

    element: Element = Element.FLOAT32
    dimension: int | None = None

    @property
    def width(self) -> int:
        """Stored items of a row. There is a dimension."""
        assert self.dimension is not None
        return self.dimension // BITS if self.element is Element.BIT else self.dimension

    @property
    def row_bytes(self) -> int:
        """Stored bytes of a row."""
        return self.width * self.element.stored.itemsize

    def like(self, rows: NDArray[Any]) -> VectorType:
        """The type with the dimension of stored rows (n, width)."""
        return VectorType(self.element, self.dimension_of(int(rows.shape[1])))

    def dimension_of(self, width: int) -> int:
        """The dimension of stored rows of so many items."""
        return width * BITS if self.element is Element.BIT else width

    def empty(self, rows: int = 0) -> NDArray[Any]:
        """Stored rows, not filled in."""
        width = 0 if self.dimension is None else self.width
        return np.empty((rows, width), self.element.stored)

    def checked(self) -> VectorType:
        """The same; UnknownOptionError for a dimension out of bounds, InvalidArgumentError for a part of a byte."""
        check_dimension(self.dimension)
        if self.element is Element.BIT and self.dimension is not None and self.dimension % BITS:
            raise InvalidArgumentError(
                f"dimension: of bits a multiple of {BITS} expected, found {self.dimension}; pad the vectors with zeros"
            )
        return self

    def __str__(self) -> str:
        return f"{self.dimension} x {self.element.value}"
