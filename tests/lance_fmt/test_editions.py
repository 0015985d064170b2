"""What each version of the format has: frozen for ever, complete, and stated truly by writers."""

from __future__ import annotations

import pytest

import lance_fmt
from lance_fmt import Column, constants
from lance_fmt.constants import AuxiliaryId, EncodingId, Feature, StreamId, TypeId
from lance_fmt.editions import EDITIONS, oldest_version
from tests.support.format_values import file_of

# Never to be changed, only added to: files of these versions are on people's disks.
FROZEN: list[dict[str, object]] = [
    {
        "version": (1, 0),
        "release": "0.1.0",
        "types": set(range(1, 19)),
        "pages": {1, 2, 3, 4},
        "streams": set(),
        "auxiliary": set(),
        "features": 0,
    },
    {
        "version": (1, 1),
        "release": "0.2.0",
        "types": {19, 20, 21, 22, 23, 24, 25},
        "pages": {5},
        "streams": {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
        "auxiliary": {1, 2},
        "features": 7,
    },
]


def test_editions_are_frozen() -> None:
    assert [
        {
            "version": e.version,
            "release": e.release,
            "types": {int(i) for i in e.types},
            "pages": {int(i) for i in e.pages},
            "streams": {int(i) for i in e.streams},
            "auxiliary": {int(i) for i in e.auxiliary},
            "features": int(e.features),
        }
        for e in EDITIONS
    ] == FROZEN


@pytest.mark.parametrize(
    ("ids", "part"),
    [(TypeId, "types"), (EncodingId, "pages"), (StreamId, "streams"), (AuxiliaryId, "auxiliary")],
)
def test_every_id_is_of_exactly_one_edition(ids: type, part: str) -> None:
    listed = [i for edition in EDITIONS for i in getattr(edition, part)]
    assert sorted(listed) == sorted(ids)  # type: ignore[call-overload]


def test_every_feature_flag_is_of_exactly_one_edition() -> None:
    listed = [int(edition.features) for edition in EDITIONS]
    assert sum(listed) == sum(Feature) == constants.KNOWN_FEATURES
    assert all(a & b == 0 for i, a in enumerate(listed) for b in listed[:i])


def test_editions_are_in_order_up_to_the_version_of_the_code() -> None:
    versions = [edition.version for edition in EDITIONS]
    assert versions == sorted(set(versions))
    assert versions[-1] == (constants.VERSION_MAJOR, constants.VERSION_MINOR)
    assert versions[0] == oldest_version(Feature(0))
    assert {oldest_version(feature) for feature in Feature} == {(1, 1)}


def _stated(data: bytes) -> tuple[tuple[int, int], Feature]:
    footer = data[-64:]
    numbers = [int.from_bytes(footer[a:b], "little") for a, b in ((48, 52), (52, 54), (54, 56))]
    return (numbers[1], numbers[2]), Feature(numbers[0])


def test_a_writer_states_the_oldest_edition_that_has_what_a_file_uses() -> None:
    vectors = Column.from_pylist([[1.0, 2.0]], lance_fmt.vector(lance_fmt.float32(), 2))
    halves = Column.from_pylist([[1.0, 2.0]], lance_fmt.vector(lance_fmt.bfloat16(), 2))
    one = Column.from_pylist([1], lance_fmt.int64())
    day = Column.from_pylist([None], lance_fmt.date())
    assert _stated(file_of({})) == ((1, 0), Feature(0))
    assert _stated(file_of({"v": vectors})) == ((1, 0), Feature(0))
    assert _stated(file_of({"v": vectors}, level="small")) == ((1, 1), Feature.STREAMS)
    assert _stated(file_of({"v": halves}))[1] & Feature.TYPES_1_1
    assert _stated(file_of({"a": one})) == ((1, 1), Feature.STREAMS)
    assert _stated(file_of({"a": day})) == ((1, 1), Feature.STREAMS | Feature.TYPES_1_1)
    assert _stated(file_of({"a": one}, bloom=["a"])) == ((1, 1), Feature.STREAMS | Feature.AUXILIARY)
    # A type counts even where no row has a value of it.
    assert _stated(file_of({"a": day.slice(0, 0)})) == ((1, 1), Feature.TYPES_1_1)


def test_types_know_since_when_they_exist() -> None:
    assert lance_fmt.list_(lance_fmt.string()).since == "1.0"
    newer = [
        lance_fmt.list_(lance_fmt.string(), True),
        lance_fmt.list_(lance_fmt.bool_()),
        lance_fmt.list_(lance_fmt.list_(lance_fmt.int8())),
        lance_fmt.vector(lance_fmt.bfloat16(), 2),
        lance_fmt.struct({"a": lance_fmt.int8()}),
        lance_fmt.decimal(3),
        lance_fmt.time(),
    ]
    assert {kind.since for kind in newer} == {"1.1"}
