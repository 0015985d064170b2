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
from tests.support.golden_files import ALL_GOLDEN, FOLDER, METADATA
from tests.support.naive_reader import Seen

# Written once. A file that differs from its digest was tampered with: restore it.
DIGESTS = {
    "v1.0-pages.lfmt": "09bf47c843e2156bc09141d068b8599d2d0179d9e3f5d4a10a5cbcd423c31b86",
    "v1.0-rows.lfmt": "6387716c4f8e33a442b4bc9d9bf16f3ce79660ee344fcdf34f0974e70d5d2a5d",
    "v1.0-types.lfmt": "22a96aa06a1df1880a9ffec18de69e4ca36c339f2961dd0dd9b9d429b0ecf60e",
    "v1.1-alp.lfmt": "8b1eb6bb2e58a4a30b4ba9a660993e8b942001b0b1fb19c875494673d7ea00e3",
    "v1.1-auxiliary.lfmt": "3caa86d86da4e186e33f0bc9eff09b485b30075d75d7a8993700de619c2c9705",
    "v1.1-bitpacked.lfmt": "c3a58eab81f48e219c7bdb38ea24b8fa8707aed2a10c2b67cf6c0bfee491a916",
    "v1.1-blocks.lfmt": "078846992be88672eef51989b4ce970133d8bb3fb826865010b146477e6d3c16",
    "v1.1-byte_stream_split.lfmt": "f7a94ee838b56a7b06bbaeb08bd2907716954c26c25ba39d375398173e9b1f92",
    "v1.1-constant.lfmt": "695f152c7208ae408ebac0f145f051963e2ad550b4261da951d8787929ab4ff1",
    "v1.1-delta.lfmt": "f76e153f10f7537a9879483637e14fba8694b785419c05c15200692876cc6bc7",
    "v1.1-dictionary.lfmt": "cc4f4b37bcaedf9c57c9197df812627ddd71b435135b1b02ff0416248bd043f6",
    "v1.1-frame_of_reference.lfmt": "508c14627440ee058d528a932f88f086d2b777acc04f50774c19e4620f6400b0",
    "v1.1-fsst.lfmt": "da7cf4e2a7d31a3db1ea34b45f580e01a7892aac85af2e8913373cb580438220",
    "v1.1-plain.lfmt": "50f050655ce6f8aebb4e0557a91ca33cdf0a5c0593d581db812b2b7b0f7fbefa",
    "v1.1-run_length.lfmt": "8150be32ab49c95be1be52394b4a7bf73cb1c8eb4c49e8eb7efcc00b1401a234",
    "v1.1-snappy.lfmt": "570c151fcc2084d7e6d21329b4c8e18fee6e006119191e29b88cfc9526659891",
    "v1.1-types.lfmt": "22cd26ef4e372860d2565d48a34cd9d0301bb3077f93ffa9f039a771739952bb",
    "v1.1-varint.lfmt": "387d2f17e760a2797d1e744410e2e4497c019a666b07643218ae10ae5268b5e9",
    "v1.1-zstd.lfmt": "e594d89c43267dadb629ced858121e09ba76eec2e0cfbfa25e18cf0ef0f0e6ea",
}


def test_the_folder_holds_the_golden_files_and_nothing_else() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(DIGESTS) == sorted(ALL_GOLDEN)


@pytest.mark.parametrize("name", ALL_GOLDEN)
def test_the_file_is_the_one_written_then(name: str) -> None:
    assert sha256((FOLDER / name).read_bytes()).hexdigest() == DIGESTS[name]


@pytest.mark.parametrize("name", ALL_GOLDEN)
def test_it_still_reads_as_what_was_written(name: str) -> None:
    expected = ALL_GOLDEN[name]()
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
    """The file."""
    return (FOLDER / name).read_bytes()


of_1_1 = pytest.mark.parametrize("name", golden_files.GOLDEN_1_1)


@of_1_1
def test_a_builder_always_builds_the_same(name: str) -> None:
    expected, again = ALL_GOLDEN[name](), ALL_GOLDEN[name]()
    assert expected.schema == again.schema
    assert all(again[column].equals(expected[column]) for column in expected)
    assert golden_files.build(name) == golden_files.build(name)


@of_1_1
def test_two_readers_read_what_was_built(name: str) -> None:
    expected = ALL_GOLDEN[name]()
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
    expected = ALL_GOLDEN["v1.1-auxiliary.lfmt"]()
    naive_reader.read(bytes_of("v1.1-auxiliary.lfmt"), seen)
    assert seen.features == 7
    assert {name: set(found) for name, found in seen.auxiliary.items()} == {name: {1, 2} for name in expected}
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
    monkeypatch.setitem(golden_files.ALL_GOLDEN, "v1.0-types.lfmt", lambda: pytest.fail("built again"))
    golden_files.main()
