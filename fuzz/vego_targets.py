"""Targets of the database: what it reads from its own files, and the text of filters."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import lance_fmt
import vego
from fuzz.target import Target
from vego.query import parse_filter
from vego.table.manifest import Manifest, SegmentEntry
from vego.table.marker import Marker
from vego.table.partition import Partition
from vego.table.values import load_metadata
from vego.wal.format import SegmentHeader
from vego.wal.record import decode

ERRORS = (vego.VegoError, lance_fmt.CorruptFileError)


def manifest(data: bytes) -> None:
    """A manifest."""
    with suppress(*ERRORS):
        Manifest.from_bytes(data, "fuzz")


def marker(data: bytes) -> None:
    """The marker of a database."""
    with suppress(*ERRORS):
        Marker.from_bytes(data, "fuzz")


def wal(data: bytes) -> None:
    """A log segment's header, and the payload of a batch."""
    with suppress(*ERRORS):
        SegmentHeader.from_bytes(data, "fuzz")
    with suppress(*ERRORS):
        decode(data[1:], data[0] if data else 0, path="fuzz", base=0)


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
    with suppress(ValueError):
        load_metadata(data)


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
    values = (Partition(value) for value in ("a", 1, True, None))
    segments = [
        SegmentEntry(file=f"{n}" * 32 + ".lfmt", rows=9, length=1, crc=1, partition=value)
        for n, value in enumerate(values)
    ]
    segments[0] = segments[0].without_rows()
    parted = replace(made, options={"partition_by": "key"}, segments=tuple(segments))
    return [made.to_bytes(), parted.to_bytes()]


VEGO_TARGETS: dict[str, Target] = {
    "manifest": Target(manifest, _manifests),
    "marker": Target(marker, lambda: [Marker(database_id="0" * 32, created_us=1).to_bytes()]),
    "wal": Target(wal, lambda: [SegmentHeader("0" * 32, "1" * 32, 1, 1, None).to_bytes(), bytes(80)]),
    "filter_text": Target(
        filter_text,
        lambda: [
            b"a >= 1 and (b == 'x' or not c in (1, 2.5, true))",
            b"`x.y` is not null and t < timestamp '2024-01-31T12:00:00Z'",
        ],
    ),
    "metadata": Target(
        metadata,
        lambda: [
            b'{"a":{"$time":"2024-01-31T00:00:00"},"b":[1,{"$float":"nan"}],"c":{"$object":{"$x":null}}}'
        ],
    ),
}
