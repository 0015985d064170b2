"""Files of every released version, as they were written then."""

from __future__ import annotations

from hashlib import sha256

import pytest

import lance_fmt
from tests.support import golden_files
from tests.support.golden_files import FOLDER, GOLDEN, METADATA

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


def test_every_encoding_is_among_them() -> None:
    with lance_fmt.open(FOLDER / "v1.0-pages.lfmt") as file:
        assert {name: file.column(name).encoding for name in file.schema.names} == {
            "packed": "bitpacked",
            "dictionary": "dictionary",
            "zstd": "zstd",
            "plain": "plain",
        }


def test_the_tool_writes_no_file_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(golden_files.GOLDEN, "v1.0-types.lfmt", lambda: pytest.fail("built again"))
    golden_files.main()
