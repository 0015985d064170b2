"""This data, this encoding: what each level chooses, what it comes to, and what users may say instead."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

import lance_fmt
from lance_fmt import Column, InvalidDataError, SchemaError
from lance_fmt.constants import StreamId
from lance_fmt.encodings import ENCODINGS
from lance_fmt.encodings.protocol import Sample
from lance_fmt.encodings.select import (
    BYTES_PER_NS,
    DECODE_COST,
    MAX_CASCADE,
    LevelChooser,
    encoding_named,
    sample_of,
)
from lance_fmt.page import PageBuilder
from tests.support.format_values import file_of
from tests.support.stream_values import depth_of

N = 40_000
LEVELS = ("speed", "balanced", "small")


def _rng() -> np.random.Generator:
    return np.random.default_rng(7)


def _strings(values: list[str]) -> Column:
    return Column.from_pylist(values, lance_fmt.string())


# The column; by level the first words of what is chosen, and the most bits a value may take on disk.
Wanted = dict[str, tuple[str, float]]
DATA: dict[str, tuple[Callable[[], Column], Wanted]] = {
    "ids in order": (
        lambda: Column.from_numpy(np.arange(N) + 10**6),
        dict.fromkeys(LEVELS, ("delta(", 0.1)),
    ),
    "timestamps": (
        lambda: Column.from_numpy(1_700_000_000_000_000 + np.cumsum(_rng().integers(0, 2_000_000, N))),
        dict.fromkeys(LEVELS, ("delta(bitpacked)", 22)),
    ),
    "decimals in float32": (
        lambda: Column.from_numpy((_rng().integers(0, 10_000, N) / 100).astype(np.float32)),
        dict.fromkeys(LEVELS, ("alp(", 18)),
    ),
    "decimals in float64": (
        lambda: Column.from_numpy(_rng().integers(0, 100_000, N) / 100),
        dict.fromkeys(LEVELS, ("alp(", 19)),
    ),
    "categories": (
        lambda: _strings([f"category number {i}" for i in _rng().integers(0, 50, N).tolist()]),
        {"speed": ("dictionary(", 10), "balanced": ("dictionary(", 8), "small": ("dictionary(", 7)},
    ),
    "integers far apart, few of them": (
        lambda: Column.from_numpy(_rng().choice(np.array([7, 2**50, -(2**40), 2**33]), N)),
        dict.fromkeys(LEVELS, ("dictionary(", 9)),
    ),
    "runs of bools": (
        lambda: Column.from_numpy(np.arange(N) // 2000 % 2 == 0),
        {"speed": ("plain", 1.1), "balanced": ("run_length(", 0.1), "small": ("run_length(", 0.1)},
    ),
    "random bools": (
        lambda: Column.from_numpy(_rng().random(N) < 0.5),
        dict.fromkeys(LEVELS, ("plain", 1.1)),
    ),
    "one value": (lambda: Column.from_numpy(np.full(N, 7)), dict.fromkeys(LEVELS, ("", 0.1))),
    "small random integers": (
        lambda: Column.from_numpy(_rng().integers(0, 1000, N).astype(np.uint32)),
        dict.fromkeys(LEVELS, ("bitpacked", 10.2)),
    ),
    "random integers about zero": (
        lambda: Column.from_numpy(_rng().integers(-500, 500, N)),
        dict.fromkeys(LEVELS, ("frame_of_reference(bitpacked)", 10.2)),
    ),
    "random integers of full width": (
        lambda: Column.from_numpy(_rng().integers(-(2**63), 2**63 - 1, N)),
        dict.fromkeys(LEVELS, ("plain", 64.2)),
    ),
    "runs of integers": (
        lambda: Column.from_numpy(np.repeat(_rng().integers(0, 2**40, N // 100), 100)),
        dict.fromkeys(LEVELS, ("run_length(", 1.2)),
    ),
    "mostly small, some huge": (
        lambda: Column.from_numpy((_rng().pareto(0.7, N) * 10).clip(0, 2**40).astype(np.int64)),
        {"balanced": ("varint", 12), "small": ("byte_stream_split(zstd, ", 10)},
    ),
    "vectors": (
        lambda: Column.from_numpy(_rng().standard_normal((N // 50, 64), np.float32)),
        {
            "speed": ("plain", 64 * 33),
            "balanced": ("plain", 64 * 33),
            "small": ("byte_stream_split(plain, plain, plain, zstd)", 64 * 28),
        },
    ),
    "prose": (
        lambda: _strings(
            [f"the quick brown fox jumps over {i} lazy dogs, then rests" for i in range(N // 8)]
        ),
        {"speed": ("fsst(", 80), "balanced": ("snappy(", 45), "small": ("zstd(", 20)},
    ),
    "random bytes": (
        lambda: Column(
            lance_fmt.binary(), _rng().integers(0, 256, N * 9, np.uint8), np.arange(0, N * 9 + 1, 9)
        ),
        dict.fromkeys(LEVELS, ("plain(", 73)),
    ),
    "nulls": (lambda: Column.nulls(lance_fmt.int64(), N), dict.fromkeys(LEVELS, ("plain", 0.1))),
}


def _written(column: Column, **options: object) -> tuple[str, float]:
    """The recipe of the first page, and bits of a value, page indexes and all."""
    with lance_fmt.open(file_of({"c": column}, **options)) as file:
        info = file.column("c")
        return info.pages[0].encoding, 8 * info.length / len(column)


@pytest.mark.parametrize("name", DATA)
def test_this_data_this_encoding(name: str) -> None:
    make, wanted = DATA[name]
    column = make()
    for level, (recipe, most_bits) in wanted.items():
        found, bits = _written(column, level=level)
        assert found.startswith(recipe), (level, found)
        assert bits <= most_bits, (level, found)


def test_levels_differ_as_they_should() -> None:
    """More speed is never bought with smaller files, and the smallest level is the smallest."""
    sizes = {}
    for name, (make, _) in DATA.items():
        column = make()
        sizes[name] = [_written(column, level=level)[1] for level in LEVELS]
    for name, (speed, balanced, small) in sizes.items():
        # Sampling, and a stronger Zstandard that is not always smaller, leave some room.
        assert balanced <= speed * 1.05 + 0.1, name
        assert small <= balanced * 1.1 + 0.1, name
    totals = np.array(list(sizes.values())).sum(axis=0)
    assert totals[2] < totals[1] < totals[0]


def test_every_encoding_is_chosen_for_something() -> None:
    chosen = {recipe.partition("(")[0] for _, wanted in DATA.values() for recipe, _ in wanted.values()}
    expected = {e.name for e in ENCODINGS.values()} - {"constant"}  # which the stream writer sees to
    assert expected <= chosen


def test_the_tables_of_the_choice_are_complete() -> None:
    assert set(DECODE_COST) == set(ENCODINGS) == set(StreamId)
    assert set(BYTES_PER_NS) == set(LEVELS)
    assert BYTES_PER_NS["speed"] > BYTES_PER_NS["balanced"] > BYTES_PER_NS["small"]


def test_no_choice_is_deeper_than_allowed() -> None:
    for make, _ in DATA.values():
        column = make()
        if not (column.type.is_variable or column.type.is_vector):
            for level in LEVELS:
                blocks = [column.array[:8192], column.array[8192:16384]]
                kind = lance_fmt.encodings.protocol.kind_of(column.array.dtype)
                recipe = LevelChooser(level).weigh(sample_of(blocks), kind).recipe  # type: ignore[arg-type]
                assert depth_of(recipe) <= MAX_CASCADE


def test_the_choice_goes_by_blocks_from_within_the_page() -> None:
    blocks = [np.full(3, i) for i in range(10)]
    assert [int(b[0]) for b in sample_of(list(blocks)).blocks] == [2, 7]  # type: ignore[call-overload, index]
    assert len(sample_of(list(blocks[:2])).blocks) == 2


def test_the_evidence_is_in_the_file() -> None:
    with lance_fmt.open(file_of({"a": DATA["prose"][0](), "b": np.arange(N // 8)})) as file:
        info = file.column("a")
        evidence = info.evidence
        assert evidence.startswith(f"page 0: {info.pages[0].encoding}; of ")
        assert all(word in evidence for word in ("bytes sampled: plain(", "fsst(", "snappy(", " us"))
        assert file.column("b").evidence.startswith("page 0: delta(")
    with lance_fmt.open(file_of({"a": DATA["prose"][0]()}, encodings={"a": "snappy"})) as file:
        assert "as asked for" in file.column("a").evidence


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=lambda e: e.name)
def test_what_is_asked_for_is_done(encoding: lance_fmt.encodings.Encoding) -> None:
    i = np.zeros(500, np.int64) if encoding.name == "constant" else np.arange(500)
    columns = {
        "integers": Column.from_numpy(i.astype(np.uint32)),
        "floats": Column.from_numpy(i / 8),
        "text": _strings([f"text {k % 40}" for k in i.tolist()]),
    }
    kinds = {"integers": np.uint32, "floats": np.float64}
    taken = 0
    for name, column in columns.items():
        kind = lance_fmt.encodings.protocol.STRINGS if name == "text" else None
        kind = kind or lance_fmt.encodings.protocol.kind_of(kinds[name])
        if encoding.accepts(kind):
            assert _written(column, encodings={"c": encoding.name})[0].partition("(")[0] == encoding.name
            taken += 1
        else:
            with pytest.raises(
                InvalidDataError, match=f"column 'c': encoding '{encoding.name}' cannot write"
            ):
                file_of({"c": column}, encodings={"c": encoding.name})
    assert taken


def test_overrides_are_checked_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.lfmt"
    with pytest.raises(InvalidDataError, match="there is no encoding 'lz4'; there are plain, constant, "):
        lance_fmt.write(path, {"a": [1]}, encodings={"a": "lz4"})
    with pytest.raises(SchemaError, match="encodings: no column 'b'; there are 'a'"):
        lance_fmt.write(path, {"a": [1]}, encodings={"b": "plain"})
    with pytest.raises(InvalidDataError, match="'alp' cannot write string values"):
        lance_fmt.write(path, {"a": ["x"]}, encodings={"a": "alp"})
    with pytest.raises(InvalidDataError, match="'tiny' is not one of speed, balanced, small"):
        lance_fmt.write(path, {"a": [1]}, level="tiny")
    with pytest.raises(InvalidDataError, match="differ within a block"):
        lance_fmt.write(path, {"a": [1, 2]}, encodings={"a": "constant"})
    with pytest.raises(InvalidDataError, match="more than 65536 distinct values"):
        lance_fmt.write(path, {"a": np.arange(70_000, dtype=np.uint64)}, encodings={"a": "dictionary"})
    assert list(tmp_path.iterdir()) == []


def test_an_override_leaves_the_streams_of_other_kinds_to_the_choice() -> None:
    pairs = [{"n": i, "t": f"text {i % 7}"} for i in range(900)]
    column = Column.from_pylist(pairs, lance_fmt.struct({"n": lance_fmt.int64(), "t": lance_fmt.string()}))
    found, _ = _written(column, encodings={"c": "fsst"})
    assert "fsst(" in found
    assert found.count("fsst") == 1


def test_every_encoding_has_its_name() -> None:
    for stream in StreamId:
        assert encoding_named(stream.name.lower()).id is stream


def test_equal_input_gives_equal_bytes() -> None:
    for level in LEVELS:
        columns = {name: make().slice(0, 700) for name, (make, _) in DATA.items()}
        assert file_of(columns, level=level) == file_of(columns, level=level)


_PROGRAM = """
import sys
import tracemalloc
from hashlib import sha256
from tests.lance_fmt.test_select import DATA
from tests.support.format_values import file_of
print(sha256(file_of({name: make().slice(0, 700) for name, (make, _) in DATA.items()})).hexdigest())
"""


def test_another_process_writes_the_same_bytes() -> None:
    expected = sha256(file_of({name: make().slice(0, 700) for name, (make, _) in DATA.items()})).hexdigest()
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(root)}
    found = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=root,
    )
    assert found.stdout.strip() == expected


def _pages(*parts: Column) -> tuple[list[str], str]:
    """The recipe of each page of a column written in parts, which reads as it was; and the evidence."""
    sink = io.BytesIO()
    with lance_fmt.Writer(sink, lance_fmt.Schema([lance_fmt.Field("c", parts[0].type)])) as writer:
        for part in parts:
            writer.write({"c": part})
    with lance_fmt.open(sink.getvalue()) as file:
        assert file.read(["c"])["c"].equals(Column.concat(parts))
        info = file.column("c")
        return [page.encoding for page in info.pages], info.evidence


PAGE = 131_072  # rows of a page of int64


def test_like_pages_are_written_alike_and_explained_once() -> None:
    recipes, evidence = _pages(*(Column.from_numpy(_rng().integers(0, 1000, PAGE)) for _ in range(4)))
    assert recipes == [recipes[0]] * 4
    assert evidence.startswith("page 0: ")
    assert "\n" not in evidence


def test_a_page_of_other_data_is_weighed_again() -> None:
    small, runs = _rng().integers(0, 1000, PAGE), np.repeat(_rng().integers(0, 2**40, PAGE // 128), 128)
    recipes, evidence = _pages(*map(Column.from_numpy, (small, small, runs, runs, small)))
    assert recipes[0] == recipes[1] == recipes[4]
    assert recipes[2] == recipes[3] != recipes[0]
    assert recipes[2].startswith("run_length(")
    assert [line.partition(":")[0] for line in evidence.splitlines()] == ["page 0", "page 2", "page 4"]


def test_plain_pages_are_weighed_again_now_and_then() -> None:
    wide = [Column.from_numpy(_rng().integers(-(2**63), 2**63 - 1, PAGE)) for _ in range(3)]
    # Decimals as bits: full width as plain shows it, but of few values.
    few = [
        Column.from_numpy(_rng().choice(_rng().integers(-(2**63), 2**63 - 1, 100), PAGE)) for _ in range(20)
    ]
    recipes, _ = _pages(*wide, *few)
    assert set(recipes[:3]) == {"plain"}
    found = [recipe.startswith("dictionary(") for recipe in recipes]
    assert found.index(True) < 8
    assert all(found[found.index(True) :])


def test_the_dictionary_of_each_page_is_its_own() -> None:
    words = [[f"{k}: {i}" for i in range(60)] for k in range(3)]
    parts = [
        _strings([few[i] for i in _rng().integers(0, 60, 20_000).tolist()]) for few in words for _ in range(8)
    ]
    recipes, _ = _pages(*parts)
    assert len(recipes) > 3
    assert all(recipe.startswith("dictionary(") for recipe in recipes)


def test_what_was_given_up_leaves_nothing_in_the_page() -> None:
    """A page whose habit does not hold is, byte for byte, as the page of a column that has no habit."""
    few = _strings([f"word {i}" for i in _rng().integers(0, 60, 4096).tolist()])
    more = _strings([f"word {i}" for i in _rng().integers(0, 100, 4096).tolist()])
    builder = PageBuilder("balanced", None)
    assert builder.build(few, 12).evidence.startswith("dictionary(")
    found, expected = builder.build(more, 12), PageBuilder("balanced", None).build(more, 12)
    assert "as the page before" not in found.evidence
    assert [bytes(part) for part in found.data] == [bytes(part) for part in expected.data]
    assert found.index == expected.index


def test_blocks_that_the_sample_missed_are_written_however_they_are() -> None:
    """The sampled blocks hold one value each, the first block does not."""
    texts = [f"text {i}" for i in range(256)] + ["same"] * 256 * 7
    image = PageBuilder("balanced", None).build(_strings(texts), 8)
    assert "one value" in image.evidence
    # Four blocks of them are what a page of text has.
    whole = [f"{'x' * 200} {i}" for i in range(1024)] + ["same"] * 120_000
    with lance_fmt.open(file_of({"c": _strings(whole)})) as file:
        assert file.read(["c"])["c"].to_pylist() == whole


def test_a_dictionary_of_wider_codes_is_no_renewal_of_one_of_narrow_codes() -> None:
    page = [np.arange(400, dtype=np.int64) % 200 * 2**40]
    kind = lance_fmt.encodings.protocol.kind_of("<i8")
    recipe = encoding_named("dictionary").fixed(Sample(page, page), kind, LevelChooser("small"))
    mapping = recipe.parameters
    mapping.forget()
    again = mapping.renewed([page[0] + 1])
    assert again is not None
    assert again.codes(page[0] + 1).tolist() == (np.arange(400) % 200).tolist()
    assert mapping.renewed([np.arange(800, dtype=np.int64) % 300]) is None


def test_what_is_remembered_of_a_page_is_not_its_values() -> None:
    builder = PageBuilder("balanced", None)
    builder.build(_strings([f"word {i % 50}" for i in range(5000)]), 12)  # loads what is loaded once
    tracemalloc.start()
    page = _strings([f"a longer word {i % 50}" for i in range(50_000)])
    builder = PageBuilder("balanced", None)
    assert "dictionary(" in builder.build(page, 14).evidence
    size = page.nbytes
    del page
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < size / 4
