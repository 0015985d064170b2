"""The bytes of a manifest: what goes in comes out, and no other bytes are taken for a manifest."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lance_fmt import Builder, crc32c
from vego.errors import CorruptionError, InvalidArgumentError, NewerVersionError
from vego.table.manifest import (
    HEADER_SIZE,
    MAGIC,
    DeletesEntry,
    IndexEntry,
    Manifest,
    Parent,
    SegmentEntry,
)

ids = st.text("0123456789abcdef", min_size=32, max_size=32)
crcs = st.integers(0, 2**32 - 1)
sizes = st.integers(0, 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def segments(draw):
    rows = draw(st.integers(1, 2**40))
    deletes = None
    if draw(st.booleans()):
        deletes = DeletesEntry(
            file=draw(ids) + ".del", count=draw(st.integers(1, rows)), length=draw(sizes), crc=draw(crcs)
        )
    return SegmentEntry(
        file=draw(ids) + ".lfmt", rows=rows, length=draw(sizes), crc=draw(crcs), deletes=deletes
    )


@st.composite
def manifests(draw):
    version = draw(st.integers(1, 2**63 - 1))
    entries = tuple(draw(st.lists(segments(), max_size=4, unique_by=lambda entry: entry.file)))
    rows = sum(entry.rows for entry in entries)
    index = None
    if rows and draw(st.booleans()):
        index = IndexEntry(
            file="f" * 32 + ".lfmt", rows=draw(st.integers(1, rows)), length=1, crc=draw(crcs), kind="hnsw"
        )
    parent = Parent(version=version - 1, crc=draw(crcs)) if version > 1 and draw(st.booleans()) else None
    return Manifest(
        version=version,
        collection_id=draw(ids),
        commit_id=draw(ids),
        created_us=draw(sizes),
        dimension=draw(st.integers(1, 32_768)),
        metric=draw(st.sampled_from(["l2", "cosine", "ip", "l1"])),
        options=draw(st.dictionaries(texts, json_values, max_size=3)),
        segments=entries,
        index=index,
        flushed_lsn=draw(sizes),
        first_wal=draw(st.integers(1, 2**63 - 1)),
        parent=parent,
        writer=draw(texts),
        summary=draw(texts),
    )


def example() -> Manifest:
    return Manifest(
        version=4,
        collection_id="a" * 32,
        commit_id="b" * 32,
        created_us=1_700_000_000_000_000,
        dimension=384,
        metric="cosine",
        options={"index": "hnsw", "m": 16},
        segments=(
            SegmentEntry(
                file="1" * 32 + ".lfmt",
                rows=100,
                length=5000,
                crc=7,
                deletes=DeletesEntry(file="2" * 32 + ".del", count=3, length=80, crc=9),
            ),
        ),
        index=IndexEntry(file="3" * 32 + ".lfmt", rows=90, length=70, crc=8, kind="hnsw"),
        flushed_lsn=12,
        first_wal=3,
        parent=Parent(version=3, crc=11),
        writer="vego",
        summary="flush",
    )


def sealed(body: bytes, version: int = 1, flags: int = 0, magic: bytes = MAGIC) -> bytes:
    """A file with right checksums around any body."""
    header = Builder().raw(magic).u32(version).u32(flags).u64(len(body)).u32(crc32c(body)).finish()
    return header + Builder().u32(crc32c(header)).finish() + body


@given(manifests())
def test_round_trip(manifest):
    data = manifest.to_bytes()
    again = Manifest.from_bytes(data, "p")
    assert again == manifest
    assert again.to_bytes() == data
    assert again.checksum == crc32c(data)


def test_every_bit_and_every_truncation():
    data = example().to_bytes()
    for position in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            with pytest.raises(CorruptionError):
                Manifest.from_bytes(bytes(changed), "p")
        with pytest.raises(CorruptionError):
            Manifest.from_bytes(data[:position], "p")
    for tail in (b"\0", b"{}", data):
        with pytest.raises(CorruptionError):
            Manifest.from_bytes(data + tail, "p")


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data):
    with pytest.raises(CorruptionError):
        Manifest.from_bytes(data, "p")
    for version in (0, 1):
        with pytest.raises(CorruptionError):
            Manifest.from_bytes(sealed(data, version), "p")


@given(json_values)
def test_any_json_is_refused(value):
    with pytest.raises(CorruptionError):
        Manifest.from_bytes(sealed(json.dumps(value).encode()), "p")


@given(st.data())
def test_any_field_may_hold_anything(data):
    """A right checksum around wrong contents, as a faulty program would write them."""
    fields = json.loads(example().to_bytes()[HEADER_SIZE:])
    where = data.draw(
        st.sampled_from([fields, fields["segments"][0], fields["segments"][0]["deletes"], fields["index"]])
    )
    key = data.draw(st.sampled_from([*where, "unknown"]))
    if data.draw(st.booleans()):
        where[key] = data.draw(json_values)
    else:
        where.pop(key, None)
    body = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    try:
        manifest = Manifest.from_bytes(sealed(body), "p")
    except CorruptionError:
        return
    assert manifest.to_bytes() == sealed(body)


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"a":NaN}', b"\xff\xfe", b"", b"null", b"9" * 5000,
     b'{"segments":[[]],"index":null,"parent":null}'],
)  # fmt: skip
def test_hostile_json(body):
    with pytest.raises(CorruptionError, match="make no sense"):
        Manifest.from_bytes(sealed(body), "p")


def test_another_spelling_of_the_same_is_refused():
    fields = json.loads(example().to_bytes()[HEADER_SIZE:])
    with pytest.raises(CorruptionError, match="canonical"):
        Manifest.from_bytes(sealed(json.dumps(fields).encode()), "p")


def test_a_newer_format_is_named():
    body = example().to_bytes()[HEADER_SIZE:]
    with pytest.raises(NewerVersionError, match=r"format 5 .* newer than 4"):
        Manifest.from_bytes(sealed(body, version=5), "p")
    with pytest.raises(NewerVersionError, match="flags 4"):
        Manifest.from_bytes(sealed(body, flags=4), "p")
    with pytest.raises(CorruptionError, match="not a manifest"):
        Manifest.from_bytes(sealed(body, magic=b"LFMT"), "p")


@pytest.mark.parametrize(
    "change",
    [
        {"version": 0}, {"version": True}, {"version": 1.0}, {"collection_id": "A" * 32}, {"commit_id": ""},
        {"created_us": -1}, {"dimension": 0}, {"dimension": 32_769}, {"metric": ""}, {"options": []},
        {"flushed_lsn": 2**63}, {"first_wal": 0}, {"parent": Parent(version=2, crc=0)},
        {"summary": "x" * 5000},
        {"index": IndexEntry(file="3" * 32 + ".lfmt", rows=101, length=1, crc=1, kind="hnsw")},
        {"index": IndexEntry(file="1" * 32 + ".lfmt", rows=1, length=1, crc=1, kind="hnsw")},
    ],
)  # fmt: skip
def test_what_cannot_be_is_not_made(change):
    with pytest.raises(InvalidArgumentError, match="manifest"):
        replace(example(), **change)


@pytest.mark.parametrize("file", ["", "../../etc/passwd", "x.lfmt", "1" * 32, "1" * 32 + ".del", None, 5])
def test_file_names_lead_nowhere_else(file):
    with pytest.raises(InvalidArgumentError, match="file"):
        SegmentEntry(file=file, rows=1, length=1, crc=1)
    with pytest.raises(InvalidArgumentError, match="file"):
        IndexEntry(file=file, rows=1, length=1, crc=1, kind="hnsw")
    with pytest.raises(InvalidArgumentError, match="file"):
        DeletesEntry(file=str(file).replace(".del", ".lfmt"), count=1, length=1, crc=1)


def test_more_deletes_than_rows():
    with pytest.raises(InvalidArgumentError, match="at most 1 rows"):
        SegmentEntry(
            file="1" * 32 + ".lfmt",
            rows=1,
            length=1,
            crc=1,
            deletes=DeletesEntry(file="2" * 32 + ".del", count=2, length=1, crc=1),
        )


@pytest.mark.parametrize("options", [{"a": float("nan")}, {"a": {1, 2}}, {"a": "\ud800"}, {1: 2, "a": 3}])
def test_options_are_json(options):
    with pytest.raises(InvalidArgumentError, match="JSON expected"):
        replace(example(), options=options).to_bytes()


def test_what_earlier_versions_do_not_know_raises_the_format():
    assert example().format_version < 4
    for metric in ("l2", "cosine", "ip"):
        assert replace(example(), metric=metric).format_version < 4
    found = replace(example(), metric="l1")
    assert found.format_version == 4
    assert Manifest.from_bytes(found.to_bytes(), "p") == found
