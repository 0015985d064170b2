"""A partition: the rows of a collection that have one value of the key it is partitioned by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vego.errors import InvalidMetadataError

MAX_TEXT_BYTES = 512
MAX_PARTITIONS = 1_000  # of a collection: each has a file, and the process has all of them open

_INT64 = range(-(1 << 63), 1 << 63)


@dataclass(frozen=True, slots=True, eq=False)
class Partition:
    """The one value, a str, int (64 bits) or bool; None for documents that lack the key or hold None.

    Values of different types are different partitions: 1, "1" and True. Raises InvalidMetadataError for any other.
    """

    value: str | int | bool | None

    def __post_init__(self) -> None:
        what = refusal(self.value)
        if what:
            raise InvalidMetadataError(f"partition: {what}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Partition):
            return NotImplemented
        return type(self.value) is type(other.value) and self.value == other.value

    def __hash__(self) -> int:
        return hash((type(self.value), self.value))

    def __str__(self) -> str:
        return repr(self.value)

    @property
    def order(self) -> tuple[int, str | int]:
        """By what partitions are sorted: none, false and true, numbers, text."""
        value = self.value
        if value is None:
            return 0, 0
        rank = 1 if isinstance(value, bool) else 2 if isinstance(value, int) else 3
        return rank, value


@dataclass(frozen=True, slots=True)
class PartitionInfo:
    """One partition as it is now. `bytes` are of its `segments` files; buffered documents are in none yet."""

    value: str | int | bool | None
    documents: int
    segments: int
    bytes: int


def refusal(value: Any) -> str:
    """Why `value` is none that a partition can have; nothing where it is one."""
    kind = type(value)
    if value is None or kind is bool:
        return ""
    if kind is int:
        if value in _INT64:
            return ""
        return f"an integer of 64 bits expected, found one of {value.bit_length()}"
    if kind is str:
        # A surrogate is refused with the document; here it must not stop the measuring.
        size = len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
        if size <= MAX_TEXT_BYTES:
            return ""
        return f"text of at most {MAX_TEXT_BYTES} bytes expected, found {size:,}: {value[:40]!r}..."
    shown = repr(value)
    return f"str, int, bool or None expected, found {kind.__name__} {shown[:60]}"
