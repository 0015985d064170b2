"""A pyarrow compute expression as a tree of calls, columns and constants.

pyarrow shows no parts of an expression, but Arrow serialises one exactly: as a record batch whose columns are the
constants and options, each of one row, and whose metadata lists the tree in preorder, as pairs: ("call", function)
.. ("end", function), ("field_ref", name), ("literal", column), ("options", column). Keys repeat, so that
`Schema.metadata`, a dict, does not have them all: they are read through Arrow's C data interface.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lance_fmt.errors import InvalidDataError


@dataclass(frozen=True, slots=True)
class Ref:
    """A column of the table."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A pyarrow Scalar."""

    value: Any


@dataclass(frozen=True, slots=True)
class Call:
    """A function of pyarrow.compute; `options` as a dict, empty where it has none."""

    function: str
    arguments: tuple[Node, ...]
    options: dict[str, Any]


Node = Ref | Constant | Call


class _Schema(ctypes.Structure):
    """ArrowSchema of the C data interface."""

    _fields_ = (
        ("format", ctypes.c_void_p),
        ("name", ctypes.c_void_p),
        ("metadata", ctypes.c_void_p),
        ("flags", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


def tree_of(expression: Any) -> Node:
    """The tree of a pyarrow Expression; raises InvalidDataError for one that Arrow cannot serialise."""
    import pyarrow as pa

    try:
        raw = expression.__reduce__()[1][0]
        batch = pa.ipc.open_file(raw).get_batch(0)
        steps = _metadata(batch.schema)
        node = _node(next(steps), steps, batch)
    except (pa.ArrowException, LookupError, TypeError, ValueError, StopIteration) as error:
        raise InvalidDataError(f"the expression {expression} cannot be taken apart: {error}") from None
    return node


def names_of(node: Node) -> set[str]:
    """Names of the columns of a tree."""
    if isinstance(node, Call):
        return set().union(*map(names_of, node.arguments))
    return {node.name} if isinstance(node, Ref) else set()


def _node(step: tuple[str, str], steps: Iterator[tuple[str, str]], batch: Any) -> Node:
    key, value = step
    if key == "field_ref":
        return Ref(value)
    if key == "literal":
        return Constant(batch.column(int(value))[0])
    if key != "call":
        raise ValueError(f"unknown part {key!r}")
    arguments: list[Node] = []
    options: dict[str, Any] = {}
    for inner in steps:
        if inner[0] == "end":
            return Call(value, tuple(arguments), options)
        if inner[0] == "options":
            options = dict(batch.column(int(inner[1]))[0].items())
        else:
            arguments.append(_node(inner, steps, batch))
    raise ValueError(f"call of {value} without an end")


def _metadata(schema: Any) -> Iterator[tuple[str, str]]:
    """All pairs of a schema's metadata, in order."""
    capsule = schema.__arrow_c_schema__()
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    address = _Schema.from_address(pointer(capsule, b"arrow_schema")).metadata
    if not address:
        return iter(())

    def number() -> int:
        nonlocal address
        found = ctypes.c_int32.from_address(address).value
        address += 4
        return found

    def text() -> str:
        nonlocal address
        size = number()
        found = ctypes.string_at(address, size)
        address += size
        return found.decode()

    # A list: the capsule, which owns the memory, lives no longer than this call.
    return iter([(text(), text()) for _ in range(number())])
