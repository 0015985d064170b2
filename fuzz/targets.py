"""One function a kind of hostile input. Each takes bytes and returns; anything but the typed errors is a finding."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress

import lance_fmt
import vego
from vego.query import parse_filter
from vego.table.manifest import Manifest
from vego.table.marker import Marker
from vego.table.values import load_metadata
from vego.wal.format import SegmentHeader
from vego.wal.record import decode

FORMAT_ERRORS = (lance_fmt.FormatError,)
VEGO_ERRORS = (vego.VegoError, lance_fmt.CorruptFileError)


def file(data: bytes) -> None:
    """An `.lfmt` file: open, schema, every column, one row, verify."""
    try:
        with lance_fmt.open(data) as opened:
            opened.read().to_pydict()
            if opened.num_rows:
                opened.row(opened.num_rows - 1)
                opened.take([0])
            opened.verify()
    except FORMAT_ERRORS:
        return


def manifest(data: bytes) -> None:
    """A manifest."""
    try:
        Manifest.from_bytes(data, "fuzz")
    except VEGO_ERRORS:
        return


def marker(data: bytes) -> None:
    """The marker of a database."""
    try:
        Marker.from_bytes(data, "fuzz")
    except VEGO_ERRORS:
        return


def wal(data: bytes) -> None:
    """A log segment's header, and the payload of a batch."""
    with suppress(*VEGO_ERRORS):
        SegmentHeader.from_bytes(data, "fuzz")
    try:
        decode(data[1:], data[0] if data else 0, path="fuzz", base=0)
    except VEGO_ERRORS:
        return


def filter_text(data: bytes) -> None:
    """A filter in its text spelling; one that parses must print as itself."""
    try:
        expr = parse_filter(data.decode("utf-8", "replace"))
    except vego.FilterError:
        return
    if expr is not None:
        assert parse_filter(str(expr)) == expr, str(expr)


def metadata(data: bytes) -> None:
    """Metadata as it lies in the log."""
    try:
        load_metadata(data)
    except ValueError:
        return


def canary(data: bytes) -> None:
    """Fails on purpose, so that a harness that reports nothing is noticed."""
    if len(data) > 3:
        raise IndexError("the canary sings")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "file": file,
    "manifest": manifest,
    "marker": marker,
    "wal": wal,
    "filter_text": filter_text,
    "metadata": metadata,
}


def seeds(name: str) -> list[bytes]:
    """Valid inputs to start from."""
    return SEEDS[name]()


def _files() -> list[bytes]:
    columns = {
        "i": list(range(300)),
        "f": [0.5 * i for i in range(300)],
        "s": [f"text {i % 7}" if i % 5 else None for i in range(300)],
        "u": [f"{i * 7919 % 1000:x}" * (i % 4) for i in range(300)],
        "l": [[i, i + 1][: i % 3] for i in range(300)],
        "b": [i % 3 == 0 for i in range(300)],
    }
    found = []
    for level in ("speed", "balanced", "small"):
        sink = io.BytesIO()
        lance_fmt.write(sink, columns, metadata={"k": "v"}, level=level)
        found.append(sink.getvalue())
    return found


def _manifests() -> list[bytes]:
    identity = "0" * 32
    made = Manifest(
        version=1,
        collection_id=identity,
        commit_id=identity,
        created_us=1,
        dimension=3,
        metric="l2",
        options={},
        writer="fuzz",
        summary="seed",
    )
    return [made.to_bytes()]


SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "file": _files,
    "manifest": _manifests,
    "marker": lambda: [Marker(database_id="0" * 32, created_us=1).to_bytes()],
    "wal": lambda: [SegmentHeader("0" * 32, "1" * 32, 1, 1, None).to_bytes(), bytes(80)],
    "filter_text": lambda: [
        b"a >= 1 and (b == 'x' or not c in (1, 2.5, true))",
        b"`x.y` is not null and t < timestamp '2024-01-31T12:00:00Z'",
    ],
    "metadata": lambda: [
        b'{"a":{"$time":"2024-01-31T00:00:00"},"b":[1,{"$float":"nan"}],"c":{"$object":{"$x":null}}}'
    ],
}
