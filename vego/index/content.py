"""Reading the content of an index file: every check that fails names the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lance_fmt import Column
from vego.errors import CorruptionError, NewerVersionError


class ContentChecker:
    """Reads pieces of one file's content and raises CorruptionError, naming the file, for what cannot be."""

    def __init__(self, path: str) -> None:
        self.path = path

    def that(self, holds: bool, what: str) -> None:
        """Refuse what does not hold."""
        if not holds:
            raise CorruptionError(self.path, 0, what, "The index can be built again from the rows.")

    def format(self, metadata: Mapping[str, str], name: str, newest: int) -> None:
        """The format is `name` in a version up to `newest`; NewerVersionError for a later one."""
        found = self.text(metadata, "format")
        self.that(found == name, f"format is {found!r}, not {name!r}")
        version = self.number(metadata, "version", 1, 1 << 31)
        if version > newest:
            raise NewerVersionError(
                f"{self.path}: index version {version}, this Vego reads up to {newest}; update Vego"
            )

    def text(self, metadata: Mapping[str, str], name: str) -> str:
        """A text that must be there."""
        self.that(name in metadata, f"metadata lacks {name!r}")
        return metadata[name]

    def number(self, metadata: Mapping[str, str], name: str, low: int, high: int) -> int:
        """A whole number within bounds."""
        text = self.text(metadata, name)
        self.that(text.isascii() and text.isdigit() and len(text) <= 20, f"{name}: {text!r} is not a number")
        self.that(low <= int(text) <= high, f"{name}: expected {low} to {high}, found {text}")
        return int(text)

    def real(self, metadata: Mapping[str, str], name: str) -> float:
        """A finite number, as `float.hex` writes it."""
        try:
            value = float.fromhex(self.text(metadata, name))
        except (ValueError, OverflowError):
            value = float("nan")
        self.that(bool(np.isfinite(value)), f"{name}: {metadata[name]!r} is not a number")
        return value

    def array(
        self, columns: Mapping[str, Column], name: str, dtype: npt.DTypeLike, shape: tuple[int, ...]
    ) -> npt.NDArray[Any]:
        """A column of that type and shape, without nulls."""
        self.that(name in columns, f"column {name!r} is missing")
        column = columns[name]
        self.that(column.offsets is None and column.validity is None, f"{name}: expected plain values")
        array = column.array
        self.that(
            array.dtype == dtype and array.shape == shape,
            f"{name}: expected {np.dtype(dtype)} {shape}, found {array.dtype} {array.shape}",
        )
        return np.ascontiguousarray(array)
