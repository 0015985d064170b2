"""Files of every released version, as they were written then."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

import pytest

import lance_fmt
from lance_fmt import TypeId
from lance_fmt.block import leaves
from lance_fmt.encodings import ENCODINGS, Encoding
from lance_fmt.encodings.protocol import KINDS, STRINGS
from tests.lance_fmt.test_specification import stored
from tests.support import golden_files, naive_reader
from tests.support.golden_files import FOLDER, GOLDEN, METADATA, NEXT
from tests.support.naive_reader import Seen

# Written once. A file that differs from its digest was tampered with: restore it.
DIGESTS = {
    "v1.0-pages.lfmt": "09bf47c843e2156bc09141d068b8599d2d0179d9e3f5d4a10a5cbcd423c31b86",
    "v1.0-rows.lfmt": "6387716c4f8e33a442b4bc9d9bf16f3ce79660ee344fcdf34f0974e70d5d2a5d",
    "v1.0-types.lfmt": "22a96aa06a1df1880a9ffec18de69e4ca36c339f2961dd0dd9b9d429b0ecf60e",
}


def test_the_folder_holds_the_golden_files_and_nothing_else() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(DIGESTS) == sorted(GOLDEN)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_file_is_the_one_written_then(name: str) -> None:
    assert sha256((FOLDER / name).read_bytes()).hexdigest() == DIGESTS[name]


@pytest.mark.parametrize("name", GOLDEN)
def test_it_still_reads_as_what_was_written(name: str) -> None:
    expected = GOLDEN[name]()
    with lance_fmt.open(FOLDER / name) as file:
        file.verify()
        table = file.read()
        assert file.metadata == METADATA
        assert file.schema == expected.schema
        for column in expected:
            assert table[column].equals(expected[column]), column
        last = file.row(file.num_rows - 1)
    assert list(last) == list(expected)


def test_every_encoding_of_1_0_is_among_them() -> None:
    with lance_fmt.open(FOLDER / "v1.0-pages.lfmt") as file:
        assert {name: file.column(name).encoding for name in file.schema.names} == {
            "packed": "bitpacked",
            "dictionary": "dictionary",
            "zstd": "zstd",
            "plain": "plain",
        }


@cache
def bytes_of(name: str) -> bytes:
    """The file, or what it will be."""
    return (FOLDER / name).read_bytes() if name in GOLDEN else golden_files.build(name)


NAMES_1_1 = [name for name in GOLDEN | NEXT if name.startswith("v1.1-")]
of_1_1 = pytest.mark.parametrize("name", NAMES_1_1)


@of_1_1
def test_a_builder_always_builds_the_same(name: str) -> None:
    expected, again = (GOLDEN | NEXT)[name](), (GOLDEN | NEXT)[name]()
    assert expected.schema == again.schema
    assert all(again[column].equals(expected[column]) for column in expected)
    assert golden_files.build(name) == golden_files.build(name)


@of_1_1
def test_two_readers_read_what_was_built(name: str) -> None:
    expected = (GOLDEN | NEXT)[name]()
    found, metadata = naive_reader.read(bytes_of(name))
    assert metadata == METADATA
    with lance_fmt.open(bytes_of(name)) as file:
        file.verify()
        table = file.read()
    for column in expected:
        assert table[column].equals(expected[column]), column
        assert found[column] == stored(expected[column]), column


@of_1_1
def test_files_of_1_1_are_small_and_say_what_they_need(name: str) -> None:
    seen = Seen()
    naive_reader.read(bytes_of(name), seen)
    assert len(bytes_of(name)) < 40_000
    assert seen.version == (1, 1)


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=lambda e: e.name)
def test_there_is_a_file_of_every_stream_encoding(encoding: Encoding) -> None:
    name = f"v1.1-{encoding.name}.lfmt"
    seen = Seen()
    naive_reader.read(bytes_of(name), seen)
    assert int(encoding.id) in seen.encodings
    with lance_fmt.open(bytes_of(name)) as file:
        kinds = set()
        for field in file.schema:
            assert encoding.name in file.column(field.name).encoding, field
            assert file.column(field.name).nulls
            kinds |= {leaf.kind for leaf in leaves(field.type) if encoding.accepts(leaf.kind)}
    wanted = {kind for kind in (*KINDS.values(), STRINGS) if encoding.accepts(kind)}
    if encoding.name != "constant":  # it is the same for numbers of every width
        assert kinds == wanted


def test_all_types_are_in_one_file() -> None:
    with lance_fmt.open(bytes_of("v1.1-types.lfmt")) as file:
        kinds = [field.type for field in file.schema]
    seen = set()
    while kinds:
        kind = kinds.pop()
        seen.add(kind._wire_id)
        kinds += kind.children
    assert seen == set(TypeId)


def test_all_indexes_are_in_one_file() -> None:
    seen = Seen()
    expected = (GOLDEN | NEXT)["v1.1-auxiliary.lfmt"]()
    naive_reader.read(bytes_of("v1.1-auxiliary.lfmt"), seen)
    assert seen.features == 7
    assert {name: set(found) for name, found in seen.auxiliary.items()} == dict.fromkeys(expected, {1, 2})
    with lance_fmt.open(bytes_of("v1.1-auxiliary.lfmt")) as file:
        for row, value in enumerate(expected["id"].to_pylist()):
            assert file.find("id", value) == [row]


def test_there_are_blocks_of_every_fill() -> None:
    with lance_fmt.open(bytes_of("v1.1-blocks.lfmt")) as file:
        for name in file.schema.names:
            blocks = [(rows, nulls) for page in file.column(name).pages for *_, rows, nulls in page.blocks]
            assert len(blocks) > 1
        fills = [nulls / rows for page in file.column("delta").pages for *_, rows, nulls in page.blocks]
    assert {fill if fill in (0, 1) else 0.5 for fill in fills} == {0, 0.5, 1}


def test_the_tool_writes_no_file_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(golden_files.GOLDEN, "v1.0-types.lfmt", lambda: pytest.fail("built again"))
    golden_files.main()
