"""Batches of which rows may be left out: exactly the wrong rows are, each with its reason."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

import vego
from vego.inputs import Given, valid_rows
from vego.vector_type import VectorType

GOOD = {"vector": [1.0, 2.0], "metadata": {"a": 1}}
BAD = [
    {"vector": [1.0, math.nan]},
    {"vector": [1.0]},
    {"vector": [1.0, 2.0], "metadata": {"a": object()}},
    {"vector": [1.0, 2.0], "metadata": {"$a": 1}},
    {"vector": None},
    {"vector": [1.0, 2.0], "more": 1},
    {"id": "", "vector": [1.0, 2.0]},
    7,
]


def fresh() -> Any:
    numbers = iter(range(10**6))
    return lambda: f"new-{next(numbers)}"


@examples(st.lists(st.one_of(st.none(), st.sampled_from(BAD)), max_size=40))
def test_documents(rows: list[Any]) -> None:
    """None stands for a good row."""
    documents = [{**GOOD, "id": f"id-{n}"} if row is None else row for n, row in enumerate(rows)]
    batch, numbers, rejected = valid_rows(Given(iter(documents)), VectorType(dimension=2), "here", fresh())
    good = [number for number, row in enumerate(rows) if row is None]
    assert numbers == good and list(batch.ids) == [f"id-{n}" for n in good]
    assert batch.vectors.shape == (len(good), 2) and list(batch.metadata_rows()) == [{"a": 1}] * len(good)
    assert [one.row for one in rejected] == [n for n, row in enumerate(rows) if row is not None]
    for one in rejected:
        assert isinstance(one.error, vego.InvalidArgumentError)
        assert f"row {one.row} of the batch" in str(one.error)


@examples(st.lists(st.sampled_from(["a", "b", "c", "d", 5, None]), max_size=12))
def test_of_an_id_that_occurs_twice_the_first_counts(ids: list[Any]) -> None:
    columns = {"n": list(range(len(ids)))}
    given = Given(ids=ids, vectors=np.ones((len(ids), 2)), metadata=columns)
    batch, numbers, rejected = valid_rows(given, VectorType(), "here", fresh())
    first = {name: row for row, name in reversed(list(enumerate(ids))) if isinstance(name, str)}
    assert dict(zip(batch.ids, numbers, strict=True)) == first
    assert sorted([*numbers, *(one.row for one in rejected)]) == list(range(len(ids)))
    assert [row["n"] for row in batch.metadata_rows()] == numbers
    assert all(one.id == (ids[one.row] if isinstance(ids[one.row], str) else None) for one in rejected)


def test_tables() -> None:
    pandas, pa = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    columns = {"id": ["a", "b", "a"], "vector": [[1.0, 2.0], [math.inf, 1.0], [3.0, 4.0]], "n": [1, 2, 3]}
    for table in (pandas.DataFrame(columns), pa.table(columns)):
        batch, numbers, rejected = valid_rows(Given(table), VectorType(dimension=2), "here", fresh())
        assert (list(batch.ids), numbers) == (["a"], [0])
        assert list(batch.metadata_rows()) == [{"n": 1}]
        assert [(one.row, one.id) for one in rejected] == [(1, "b"), (2, "a")]
        assert "component 0 is inf" in str(rejected[0].error) and "occurs twice" in str(rejected[1].error)


@pytest.mark.parametrize(
    "given",
    [
        Given("text"), Given(5), Given(), Given(ids="ab", vectors=np.ones((2, 2))),
        Given(ids=["a"], vectors=np.ones((2, 2))), Given(vectors=np.ones((2, 2)), metadata={"a": [1]}),
    ],
)  # fmt: skip
def test_a_wrong_call_is_no_row(given: Given) -> None:
    with pytest.raises(vego.InvalidArgumentError):
        valid_rows(given, VectorType(dimension=2), "here", fresh())
