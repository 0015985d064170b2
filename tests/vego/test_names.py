"""Names are built and parsed in one place, and no name leads out of its directory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vego import names
from vego.errors import InvalidArgumentError

ID = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("name", ["a", "A9", "documents", "my-docs_2.v1", "x" * 64, "0"])
def test_good_collection_names(name):
    assert names.check_collection(name) == name
    assert names.collection_path(name) == f"collections/{name}"


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "-a", "_a", "a/b", "a\\b", "a:b", "a b", "a\n", "a.", "a..b", "x" * 65,
     "ä", "a\0", "٣", "con", "NUL", "com1.txt", "Lpt9", None, 3],
)  # fmt: skip
def test_bad_collection_names(name):
    with pytest.raises(InvalidArgumentError, match="collection name"):
        names.check_collection(name)
    assert not names.is_collection(name)


@given(st.integers(0, names.MAX_NUMBER))
def test_numbers_come_back_and_sort(number):
    file = names.manifest_path("c", number).rpartition("/")[2]
    assert names.parse_manifest(file) == number
    assert len(file) == 20 + len(".manifest")
    log = names.wal_path("c", number).rpartition("/")[2]
    assert names.parse_wal(log) == number
    assert names.parse_wal(file) is None
    assert names.parse_manifest(log) is None


@pytest.mark.parametrize("number", [-1, names.MAX_NUMBER + 1])
def test_numbers_out_of_range(number):
    with pytest.raises(InvalidArgumentError):
        names.wal_path("c", number)


@given(st.text(max_size=40))
def test_parsers_take_any_text(text):
    for parse in (names.parse_manifest, names.parse_wal):
        assert parse(text) is None or text.startswith(f"{parse(text):020d}.")
    assert isinstance(names.is_temporary(text), bool)
    assert not names.is_segment_file(text) or "/" not in text


def test_a_number_beyond_the_range_is_not_one_of_ours():
    assert names.parse_manifest("99999999999999999999.manifest") is None


def test_files():
    assert names.segment_file(ID) == f"{ID}.lfmt"
    assert names.is_segment_file(names.index_file(ID))
    assert names.is_deletes_file(names.deletes_file(ID))
    assert names.data_path("c", names.segment_file(ID)) == f"collections/c/data/{ID}.lfmt"
    assert names.deletes_path("c", names.deletes_file(ID)) == f"collections/c/deletes/{ID}.del"
    assert names.index_path("c", names.index_file(ID)) == f"collections/c/index/{ID}.lfmt"
    assert names.is_temporary(names.temporary_file(ID))
    assert not names.is_temporary(".tmp-x")
    dropped = names.dropped_path(ID).rpartition("/")[2]
    assert names.is_dropped(dropped)
    assert not names.is_collection(dropped)
    assert names.parent("a/b/c") == "a/b"
    assert names.parent("a") == ""
    for build in (
        names.segment_file,
        names.deletes_file,
        names.index_file,
        names.temporary_file,
        names.dropped_path,
    ):
        with pytest.raises(InvalidArgumentError):
            build("../escape")
