"""Manifests of partitioned collections, the actions on them, and what a compaction chooses of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vego
from lance_fmt import Builder, crc32c
from vego.table.commit import ReplaceSegments, SetDeletes, apply
from vego.table.compaction import choose, order_after
from vego.table.manifest import DeletesEntry, Manifest, SegmentEntry
from vego.table.partition import Partition

# -- manifests ---------------------------------------------------------------------------------------------------------


def entry(digit: str, partition: Any = "x", **fields: Any) -> SegmentEntry:
    value = {"partition": Partition(partition)} | fields
    return SegmentEntry(file=digit * 32 + ".lfmt", rows=10, **({"length": 100, "crc": 1} | value))


def manifest(*segments: SegmentEntry, key: str | None = "p") -> Manifest:
    options = {} if key is None else {"partition_by": key}
    fields = {
        "collection_id": "a" * 32,
        "commit_id": "b" * 32,
        "created_us": 1,
        "dimension": 2,
        "metric": "l2",
    }
    return Manifest(version=1, options=options, segments=segments, **fields)


def test_manifests_keep_the_types_of_values() -> None:
    values = ["x", "1", 1, True, False, 0, None, "", -(1 << 63), "ü"]
    made = manifest(*(entry(f"{n}", value) for n, value in enumerate(values)), entry("a").without_rows())
    again = Manifest.from_bytes(made.to_bytes(), "p")
    assert again == made and again.format_version == 3
    assert [type(one.partition.value) for one in again.segments] == [*map(type, values), str]
    assert (again.segments[-1].dead, again.live_rows, again.rows) == (10, 100, 110)
    assert b'"dropped":true' in made.to_bytes() and made.to_bytes().count(b'"dropped"') == 1
    assert manifest(key=None).format_version == 1


@pytest.mark.parametrize("value", [1.0, [1], {}, 1 << 64, "x" * 600])
def test_manifests_with_impossible_partitions(value: Any) -> None:
    good = manifest(entry("1", "here")).to_bytes()
    with pytest.raises(vego.InvalidMetadataError):
        entry("1", value)
    body = good[28:].replace(b'"here"', json.dumps(value).encode())
    header = Builder().raw(b"VMAN").u32(3).u32(0).u64(len(body)).u32(crc32c(body)).finish()
    data = header + Builder().u32(crc32c(header)).finish() + body
    with pytest.raises(vego.CorruptionError):
        Manifest.from_bytes(data, "p")


def test_entries_that_cannot_be() -> None:
    deletes = DeletesEntry(file="e" * 32 + ".del", count=3, length=1, crc=1)
    for wrong in (
        {"dropped": True},
        {"dropped": 1},
        {"dropped": True, "length": 0, "crc": 0, "deletes": deletes},
    ):
        with pytest.raises(vego.InvalidArgumentError, match="segment dropped"):
            entry("1", **wrong)
    plain = SegmentEntry(file="1" * 32 + ".lfmt", rows=1, length=1, crc=1)
    with pytest.raises(vego.InvalidArgumentError, match="partition_by='p'"):
        manifest(plain)
    with pytest.raises(vego.InvalidArgumentError, match="partition_by=None"):
        manifest(entry("1"), key=None)


def test_actions() -> None:
    base = manifest(entry("1"), entry("2", "y"), entry("3"), entry("4", "y").without_rows())
    files = tuple(one.file for one in base.segments)
    merged = apply(ReplaceSegments((files[0], files[2]), entry("5")), base)
    assert [one.file[0] for one in merged.segments] == ["5", "2", "4"]
    for wrong in (
        ReplaceSegments((files[0], files[1]), entry("5")),
        ReplaceSegments((files[0], files[2]), entry("5", "y")),
        ReplaceSegments((files[2], files[0]), entry("5")),
        ReplaceSegments((files[0], "9" * 32 + ".lfmt"), entry("5")),
        ReplaceSegments((), None),
        SetDeletes(files[3], DeletesEntry(file="e" * 32 + ".del", count=10, length=1, crc=1)),
    ):
        with pytest.raises(vego.CommitConflictError):
            apply(wrong, base)


def test_the_bytes_of_format_3() -> None:
    made = manifest(entry("1", 7), entry("2", True).without_rows())
    assert json.loads(made.to_bytes()[28:])["segments"] == [
        {"crc": 1, "deletes": None, "file": "1" * 32 + ".lfmt", "length": 100, "partition": {"value": 7}, "rows": 10},
        {
            "crc": 0, "deletes": None, "dropped": True, "file": "2" * 32 + ".lfmt", "length": 0,
            "partition": {"value": True}, "rows": 10,
        },
    ]  # fmt: skip
    assert made.to_bytes()[4:8] == b"\x03\0\0\0"


# -- what is merged ----------------------------------------------------------------------------------------------------


@given(
    parts=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 5), st.sampled_from([False] * 4 + [True])),
        max_size=24,
    ),
    tenths=st.integers(0, 10),
    full=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_merging_keeps_what_the_graph_covers_in_front(
    parts: list[tuple[str, int, bool]], tenths: int, full: bool
) -> None:
    entries = []
    for number, (part, rows, dropped) in enumerate(parts):
        one = replace(entry("1", part), file=f"{number:032x}.lfmt", rows=rows, length=100 * rows)
        entries.append(one.without_rows() if dropped else one)
    made = manifest(*entries)
    covered = made.rows * tenths // 10
    groups = choose(made, indexed=covered, full=full)
    positions = [position for group in groups for position in group]
    assert len(positions) == len(set(positions)) and list(groups) == sorted(groups)
    for group in groups:
        assert list(group) == sorted(group) and len({entries[position].partition for position in group}) == 1
        assert len(group) == 1 or not any(entries[position].dropped for position in group)
    assert {position for position, one in enumerate(entries) if one.dropped} <= set(positions)
    bases = np.cumsum([0, *(one.rows for one in entries)]).tolist()
    order = order_after(bases, groups)
    assert sorted(order.tolist()) == list(range(made.rows))
    assert sorted(order[:covered].tolist()) == list(range(covered))
    if full:
        left: dict[tuple[Partition | None, bool], int] = {}
        for position, one in enumerate(entries):
            if not one.dropped and position not in positions:
                place = one.partition, bases[position + 1] <= covered
                left[place] = left.get(place, 0) + 1
        assert set(left.values()) <= {1}
