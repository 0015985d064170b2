"""What an encoding is: blocks of column values to bytes and back, blind to nulls, pages and checksums."""

from __future__ import annotations

from typing import Protocol

from lance_fmt.column import Column
from lance_fmt.constants import EncodingId
from lance_fmt.schema import DataType
from lance_fmt.wire import Cursor


class Encoding(Protocol):
    """One way of writing values. Lists are taken apart by `lists`, so encodings never see them.

    Slots of nulls hold some value of the type and are written like any other.
    """

    @property
    def id(self) -> EncodingId:
        """Wire id."""

    @property
    def name(self) -> str:
        """Name shown by tools."""

    def open(self, shared: Cursor, data_type: DataType) -> Column | None:
        """Decode the page's shared bytes, to be given to every `decode` of the page."""

    def decode(self, block: Cursor, rows: int, data_type: DataType, shared: Column | None) -> Column:
        """Exactly the `rows` values of a block, using up its bytes; CorruptFileError if they do not fit."""
