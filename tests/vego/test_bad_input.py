"""Every kind of bad input gets a typed error that names what, where, expected and found; nothing is half done."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vego


@pytest.fixture
def docs(tmp_path: Path) -> Iterator[vego.Collection]:
    with vego.open(tmp_path / "db", dimension=3, metric="l2", durability="none") as db:
        docs = db.collection("books")
        docs.insert_batch(
            ids=["a", "b"],
            vectors=np.eye(3, dtype=np.float32)[:2],
            metadata={"year": [1999, 2020], "title": ["x", "y"]},
        )
        yield docs


def refused(docs: vego.Collection, error: type[Exception], *fragments: str) -> Any:
    """Expect `error` whose message has every fragment, and the collection as it was."""

    class Check:
        def __enter__(self) -> None:
            self.before = (len(docs), docs.stats()["buffered_rows"], docs.get("a"))
            self.raises = pytest.raises(error)
            self.caught = self.raises.__enter__()

        def __exit__(self, *args: Any) -> bool:
            done = self.raises.__exit__(*args)
            assert done
            for fragment in fragments:
                assert fragment in str(self.caught.value), str(self.caught.value)
            assert (len(docs), docs.stats()["buffered_rows"], docs.get("a")) == self.before
            assert isinstance(self.caught.value, vego.VegoError)
            return bool(done)

    return Check()


def test_wrong_dimension(docs: vego.Collection) -> None:
    with refused(docs, vego.DimensionMismatchError, "books.insert", "dimension 2", "has 3"):
        docs.insert(id="c", vector=[1, 2])
    with refused(docs, vego.DimensionMismatchError, "books.insert_batch", "row 1", "'d'", "dimension 4"):
        docs.insert_batch([vego.Document("c", [1, 2, 3]), vego.Document("d", [1, 2, 3, 4])])
    with refused(docs, vego.DimensionMismatchError, "dimension 5", "has 3"):
        docs.insert_batch(ids=["c"], vectors=np.zeros((1, 5)))
    with refused(docs, vego.DimensionMismatchError, "books", "dimension 2", "has 3"):
        docs.search([1, 2])
    with refused(docs, vego.DimensionMismatchError, "dimension 2"):
        docs.search_batch([[1, 2]])
    with refused(docs, vego.InvalidVectorError, "shape (d,)", "(1, 3)"):
        docs.search([[1, 2, 3]])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e39])
def test_vector_that_is_not_finite(docs: vego.Collection, bad: float) -> None:
    vectors = np.zeros((3, 3))
    vectors[2, 1] = bad
    with refused(
        docs, vego.InvalidVectorError, "books.insert_batch", "row 2", "'e'", "component 1", str(bad)
    ):
        docs.insert_batch(ids=["c", "d", "e"], vectors=vectors)
    with refused(docs, vego.InvalidVectorError, "component 1"):
        docs.insert(id="c", vector=vectors[2])
    with refused(docs, vego.InvalidVectorError, "component 1"):
        docs.update("a", vector=vectors[2])
    with refused(docs, vego.InvalidVectorError, "component 1"):
        docs.search(vectors[2])


@pytest.mark.parametrize("bad", ["abc", ["x", "y", "z"], None, object(), {"a": 1}])
def test_vector_that_is_not_numbers(docs: vego.Collection, bad: Any) -> None:
    with refused(docs, vego.InvalidArgumentError, "books.insert"):
        docs.insert(id="c", vector=bad)


@pytest.mark.parametrize(
    ("bad", "fragment"),
    [("", "empty"), (7, "str(id)"), ("x" * 513, "513 bytes"), ("\ud800", "surrogate"), (b"x", "bytes")],
)
def test_bad_ids(docs: vego.Collection, bad: Any, fragment: str) -> None:
    with refused(docs, vego.InvalidIdError, "books", "row 1", fragment):
        docs.insert_batch(ids=["c", bad], vectors=np.zeros((2, 3)))
    with refused(docs, vego.InvalidIdError, "books", fragment):
        docs.insert(vego.Document(bad, [1, 2, 3]))


def test_duplicate_ids(docs: vego.Collection) -> None:
    with refused(docs, vego.DuplicateIdError, "books.insert", "'a'", "upsert"):
        docs.insert(id="a", vector=[0, 0, 0])
    with refused(docs, vego.DuplicateIdError, "books.insert_batch", "row 1", "'b'"):
        docs.insert_batch(ids=["c", "b"], vectors=np.zeros((2, 3)))
    with refused(docs, vego.DuplicateIdError, "'c'", "rows 0 and 2"):
        docs.insert_batch(ids=["c", "d", "c"], vectors=np.zeros((3, 3)))
    with refused(docs, vego.DuplicateIdError, "twice"):
        docs.upsert_batch([vego.Document("c", [1, 2, 3]), vego.Document("c", [1, 2, 3])])


@pytest.mark.parametrize(
    ("bad", "fragment"),
    [
        ({"k": object()}, "object"),
        ({"k": {1: 2}}, "not a string"),
        ({"k": {1, 2}}, "set"),
        ({"k": (1, 2)}, "tuple"),
        ({"k": 1 + 2j}, "complex"),
        ({"k": "\ud800"}, "surrogate"),
        ({"": 1}, "non-empty"),
        ({"$id": 1}, "reserved"),
        ({3: 1}, "non-empty string"),
        ("text", "must be a dict"),
    ],
)
def test_metadata_that_cannot_be_stored(docs: vego.Collection, bad: Any, fragment: str) -> None:
    with refused(docs, vego.InvalidMetadataError, "books", fragment):
        docs.insert_batch([vego.Document("c", [1, 2, 3], bad)])


def test_metadata_nested_without_end(docs: vego.Collection) -> None:
    nested: list[Any] = []
    nested.append(nested)
    with refused(docs, vego.InvalidMetadataError, "nested deeper"):
        docs.insert(id="c", vector=[1, 2, 3], metadata={"k": nested})


def test_columns_of_different_lengths(docs: vego.Collection) -> None:
    with refused(docs, vego.InvalidMetadataError, "'year'", "1 values for 2 rows"):
        docs.insert_batch(ids=["c", "d"], vectors=np.zeros((2, 3)), metadata={"year": [1]})
    with refused(docs, vego.InvalidArgumentError, "1 ids for 2 vectors"):
        docs.insert_batch(ids=["c"], vectors=np.zeros((2, 3)))
    with refused(docs, vego.InvalidArgumentError, "not both"):
        docs.insert_batch([vego.Document("c", [1, 2, 3])], ids=["c"])


def test_arguments_of_the_wrong_kind(docs: vego.Collection) -> None:
    with refused(docs, vego.InvalidMetadataError, "dict of columns"):
        docs.insert_batch(ids=["c"], vectors=np.zeros((1, 3)), metadata=[{"a": 1}])  # type: ignore[arg-type]
    with refused(docs, vego.InvalidIdError, "expected a list of ids", "'cd'"):
        docs.insert_batch(ids="cd", vectors=np.zeros((2, 3)))
    for bad in (5, "abc", {"id": "c"}, vego.Document("c", [1, 2, 3])):
        with refused(
            docs, vego.InvalidArgumentError, "books.insert_batch", "list of documents", type(bad).__name__
        ):
            docs.insert_batch(bad)
    with refused(docs, vego.InvalidArgumentError, "vectors are missing"):
        docs.insert_batch(ids=["c"])
    with refused(docs, vego.InvalidIdError, "books.get", "str(id)"):
        docs.get(5)  # type: ignore[arg-type]


def test_unknown_field_in_a_filter(docs: vego.Collection) -> None:
    with refused(docs, vego.UnknownFieldError, "books", "'yaer'", "year"):
        docs.search([1, 2, 3], filter="yaer > 2000")


def test_filter_syntax_names_the_position(docs: vego.Collection) -> None:
    with pytest.raises(vego.FilterSyntaxError) as caught:
        docs.search([1, 2, 3], filter="year >= 2000 and and title == 'x'")
    assert caught.value.position == 17


@pytest.mark.parametrize(
    "options", [{"k": 0}, {"k": -1}, {"k": 1.5}, {"k": True}, {"k": 10**6}, {"ef": 0}, {"ef": "many"}]
)
def test_search_options(docs: vego.Collection, options: dict[str, Any]) -> None:
    name = next(iter(options))
    with refused(docs, vego.UnknownOptionError, "books", f"{name} must be an integer"):
        docs.search([1, 2, 3], **options)


def test_unknown_options(tmp_path: Path) -> None:
    with pytest.raises(vego.UnknownOptionError, match="did you mean 'ef_search'"):
        vego.open(tmp_path / "db", ef_serch=9)
    with pytest.raises(vego.UnknownOptionError, match=r"expected an integer from 4 to 64, got 1"):
        vego.open(tmp_path / "db", m=1)
    with pytest.raises(vego.UnknownOptionError, match="durability"):
        vego.open(tmp_path / "db", durability="maybe")
    with pytest.raises(vego.InvalidArgumentError, match="chebyshev"):
        vego.open(tmp_path / "db", metric="chebyshev")
    with pytest.raises(vego.UnknownOptionError, match="dimension"):
        vego.open(tmp_path / "db", dimension=0)


def test_collection_exists_with_another_shape(docs: vego.Collection, tmp_path: Path) -> None:
    docs._close()
    with vego.open(tmp_path / "other", dimension=3) as db:
        db.collection("books")
        with pytest.raises(vego.InvalidArgumentError, match="dimension 3, not 4"):
            db.collection("books", dimension=4)
        with pytest.raises(vego.InvalidArgumentError, match="metric 'cosine', not 'l2'"):
            db.collection("books", metric="l2")
        with pytest.raises(vego.InvalidArgumentError, match="m=16, not 8"):
            db.collection("books", m=8)
        with pytest.raises(vego.CollectionNotFoundError, match="films.*books"):
            db.collection("films", create=False)
        with pytest.raises(vego.InvalidArgumentError, match="collection name"):
            db.collection("../books")


def test_not_found(docs: vego.Collection) -> None:
    assert docs.get("zzz") is None
    assert docs.get_batch(["a", "zzz"])[1] is None
    assert docs.delete("zzz") is False
    with refused(docs, vego.DocumentNotFoundError, "'zzz'", "upsert"):
        docs.update("zzz", metadata={"year": 1})
    with refused(docs, vego.InvalidArgumentError, "one string"):
        docs.delete_batch("abc")


def test_paths_that_are_no_database(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("hello")
    for path in ["file", "full"]:
        with pytest.raises(vego.NotADatabaseError, match=re.escape(str(tmp_path / path))):
            vego.open(tmp_path / path)
    with pytest.raises(vego.NotADatabaseError):
        vego.open(tmp_path / "absent", read_only=True)
    with pytest.raises(vego.NotADatabaseError):
        vego.open(tmp_path / "absent", create=False)
    assert not (tmp_path / "absent").exists()
    assert sorted(os.listdir(tmp_path)) == ["file", "full"]


def test_second_writer_and_reader(tmp_path: Path) -> None:
    with vego.open(tmp_path / "db", dimension=2) as db:
        db.collection("c").insert(id="a", vector=[1, 2])
        with pytest.raises(vego.DatabaseLockedError, match=f"{os.getpid()}.*read_only=True"):
            vego.open(tmp_path / "db")
        with vego.open(tmp_path / "db", read_only=True) as reader:
            docs = reader.collection("c")
            assert docs.get("a") is not None
            for change in (
                lambda: docs.insert(id="b", vector=[1, 2]),
                lambda: docs.delete("a"),
                lambda: docs.update("a", metadata={}),
                lambda: reader.drop("c"),
            ):
                with pytest.raises(vego.ReadOnlyError, match="read_only=True"):
                    change()
            db.collection("c").insert(id="b", vector=[2, 1])
            assert docs.get("b") is None
            reader.refresh()
            assert docs.get("b") is not None
    with pytest.raises(vego.ClosedError, match="closed"):
        docs.get("a")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_directory(tmp_path: Path) -> None:
    with vego.open(tmp_path / "db", dimension=2) as db:
        db.collection("c").insert(id="a", vector=[1, 2])
    everything = [tmp_path / "db", *(tmp_path / "db").rglob("*")]
    for path in everything:
        path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        with pytest.raises(vego.ReadOnlyError, match="read_only=True"):
            vego.open(tmp_path / "db")
        with vego.open(tmp_path / "db", read_only=True) as db:
            assert db.collection("c").get("a") is not None
    finally:
        for path in everything:
            path.chmod(0o700)


def test_damaged_segment_names_path_and_offset(tmp_path: Path) -> None:
    with vego.open(tmp_path / "db", dimension=2) as db:
        docs = db.collection("c")
        docs.insert_batch(ids=list("abcd"), vectors=np.ones((4, 2)), metadata={"t": list("wxyz")})
        docs.flush()
    (segment,) = (tmp_path / "db" / "collections" / "c" / "data").iterdir()
    pristine = segment.read_bytes()
    for position in range(0, len(pristine), 7):
        damaged = bytearray(pristine)
        damaged[position] ^= 0x10
        segment.write_bytes(bytes(damaged))
        with pytest.raises(vego.CorruptionError) as caught, vego.open(tmp_path / "db") as db:
            docs = db.collection("c")
            assert [docs.get(name).metadata for name in "abcd"] == [{"t": t} for t in "wxyz"]  # type: ignore[union-attr]
        assert segment.name in str(caught.value)
        assert "byte" in str(caught.value)
    segment.write_bytes(pristine)
    with vego.open(tmp_path / "db") as db:
        assert db.collection("c").get("d") is not None
    shutil.rmtree(tmp_path / "db")
