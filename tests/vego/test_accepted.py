"""What filters accept is kept between searches: never stale, never more than its budget."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vego
from vego.index import Accepted, AcceptedByFilter, accepted
from vego.query import And, Expr, field, matches, parse_filter

FILTERS: list[Any] = [
    "a == 1",
    "a == 1.0",
    "a == true",
    "a != 1",
    "a in (1, 2)",
    "a in (2, 1)",
    "not (a == 1)",
    "a is null",
    "b == 'x' and a < 2",
    "b == 'x' or a < 2",
    {"a": {"$gte": 1}, "b": {"$ne": "x"}},
    ~(field("b") == "y"),
]
values = st.sampled_from([None, 0, 1, 2, 1.5, True, "x"])
ids = st.integers(0, 11).map(str)
put = st.tuples(st.just("upsert"), ids, values, st.sampled_from(["x", "y"]))
steps = st.lists(
    st.one_of(
        put,
        put,
        st.tuples(st.just("update"), ids, values),
        st.tuples(st.just("delete"), ids),
        st.tuples(st.sampled_from(["flush", "optimize"])),
    ),
    max_size=12,
)


def metadata_of(a: Any, b: str) -> dict[str, Any]:
    return {"b": b} if a is None else {"a": a, "b": b}


def applied(docs: vego.Collection, naive: dict[str, dict[str, Any]], step: tuple[Any, ...]) -> None:
    """One step, on the collection and on a dict of metadata."""
    verb, *rest = step
    if verb == "upsert":
        name, a, b = rest
        naive[name] = metadata_of(a, b)
        docs.upsert(id=name, vector=[float(name), 1.0], metadata=naive[name])
    elif verb == "update" and rest[0] in naive:
        changed = metadata_of(rest[1], "z")
        naive[rest[0]] = naive[rest[0]] | changed
        docs.update(rest[0], metadata=changed)
    elif verb == "delete" and rest[0] in naive:
        del naive[rest[0]]
        docs.delete(rest[0])
    elif verb == "flush":
        docs.flush()
    elif verb == "optimize":
        docs.optimize()


@settings(max_examples=60, deadline=None)
@given(steps, st.lists(st.sampled_from(FILTERS), min_size=1, max_size=3))
def test_answers_follow_every_write(steps: list[tuple[Any, ...]], filters: list[Any]) -> None:
    with TemporaryDirectory() as folder, vego.open(folder, durability="none", background=False) as db:
        docs = db.collection("docs")
        naive: dict[str, dict[str, Any]] = {}
        for step in [("upsert", "0", 1, "x"), ("upsert", "1", 2, "y"), *steps]:
            applied(docs, naive, step)
            for spelled in filters:
                expr = parse_filter(spelled)
                assert expr is not None
                expected = {name for name, metadata in naive.items() if matches(expr, metadata)}
                for _ in range(3):  # made, made and kept, found
                    assert set(docs.search([0.0, 1.0], 50, filter=spelled).ids) == expected
                assert set(docs.search_batch([[0.0, 1.0]], 50, filter=spelled).ids[0]) - {None} == expected
                assert docs.explain([0.0, 1.0], filter=spelled).matches == len(expected)


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_answers_of_an_index_follow_every_write(tmp_path: Path, share: float) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((3_000, 16)).astype(np.float32)
    group = (rng.random(3_000) < share).astype(int)
    with vego.open(tmp_path, durability="none", background=False) as db:
        docs = db.collection("docs", index="hnsw")
        docs.insert_batch(
            ids=[str(row) for row in range(3_000)], vectors=vectors, metadata={"g": group.tolist()}
        )
        docs.optimize()
        live = {str(row) for row in np.flatnonzero(group)}
        for row in range(0, 60, 3):
            for _ in range(3):
                hits = docs.search(vectors[row], 20, filter={"g": 1})
                assert len(hits) == 20
                assert live.issuperset(hits.ids)
            if row % 2:
                docs.delete_batch(hits.ids[:5])
                live -= set(hits.ids[:5])
            else:
                moved = hits.ids[0]
                docs.update(moved, metadata={"g": 0})
                live.discard(moved)
                added = f"new {row}"
                docs.insert(id=added, vector=vectors[row], metadata={"g": 1})
                live.add(added)
                assert added in docs.search(vectors[row], 3, filter={"g": 1}).ids


def test_readers_see_all_of_a_write_or_nothing(tmp_path: Path) -> None:
    count, rounds, seen = 40, 60, list[set[int]]()
    vectors = np.ones((count, 4), np.float32)
    names = [str(row) for row in range(count)]
    with vego.open(tmp_path, durability="none") as db:
        docs = db.collection("docs")
        docs.insert_batch(ids=names, vectors=vectors, metadata={"step": [0] * count})
        done = False

        def read() -> None:
            found = set[int]()
            while not done:
                for spelled in ("step >= 0", "step < 1000000", "step in (0, 1, 2, 3)", "step > 3"):
                    found.add(len(docs.search(vectors[0], 1_000, filter=spelled)))
            seen.append(found)

        readers = [Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for step in range(1, rounds):
            docs.upsert_batch(ids=names, vectors=vectors, metadata={"step": [step] * count})
        done = True
        for reader in readers:
            reader.join()
    assert len(seen) == 3
    assert set().union(*seen) <= {0, count}


def test_a_filter_is_kept_from_the_second_time_until_the_next_write(tmp_path: Path) -> None:
    with vego.open(tmp_path, durability="none") as db:
        docs = db.collection("docs")
        docs.insert_batch(vectors=np.ones((5, 4)), metadata={"a": [0, 1, 2, 3, 4]})

        def kept() -> AcceptedByFilter:
            state = docs._state()
            assert state is not None
            return state.accepted

        docs.search(np.ones(4), filter="a < 3")
        assert len(kept()) == 0
        docs.search(np.ones(4), filter={"a": {"$lt": 3}})
        assert len(kept()) == 1
        found = kept().get((field("a") < 3).key())
        docs.search(np.ones(4), filter=field("a") < 3)
        assert kept().get((field("a") < 3).key()) is found
        assert found is not None
        assert found.count == 3
        docs.insert(vector=np.ones(4), metadata={"a": 0})
        assert len(kept()) == 0
        assert kept().nbytes == 0
        assert len(docs.search(np.ones(4), filter="a < 3")) == 4


def asked_twice(kept: AcceptedByFilter, expr: Expr, rows: int) -> Accepted:
    found = Accepted(np.ones(rows, np.bool_))
    for _ in range(2):
        kept.keep(expr.key(), found, expr.nbytes)
    return found


def test_the_oldest_go_where_the_budget_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepted, "KEPT_BYTES", 100_000)
    kept, made = AcceptedByFilter(), {}
    for number in range(50):
        expr = field("a") == number
        made[number] = asked_twice(kept, expr, 2_000)  # 10,000 bytes and those of the filter
        assert kept.nbytes <= 100_000
        assert kept.get(expr.key()) is made[number]
    assert [number for number in made if kept.get((field("a") == number).key())] == list(range(41, 50))
    assert len(kept) == 9
    before = kept.nbytes
    asked_twice(kept, field("a") == 49, 2_000)  # is there already
    assert (len(kept), kept.nbytes) == (9, before)
    large = field("a") == "large"
    asked_twice(kept, large, 20_001)
    assert kept.get(large.key()) is None
    assert (len(kept), kept.nbytes) == (9, before)


def test_long_filters_count_against_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepted, "KEPT_BYTES", 100_000)
    kept = AcceptedByFilter()
    text, many = "x" * 100_000, [f"value {number}" for number in range(2_000)]
    for expr in (
        field("a") == text,
        ~(field("a") == text),
        field("a").is_in(many),
        And(((field("a") == 1), field("a").is_in(many))),
        And(tuple(field("a") != number for number in range(100))),
    ):
        asked_twice(kept, expr, 1)
        assert len(kept) == 0
    asked_twice(kept, field("a").is_null(), 1)
    assert len(kept) == 1


def test_filters_asked_once_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepted, "MOST_ASKED", 10)
    kept, found = AcceptedByFilter(), Accepted(np.ones(3, np.bool_))
    for number in range(1_000):
        expr = field("a") == number
        kept.keep(expr.key(), found, expr.nbytes)
    assert len(kept) == 0
    assert len(kept._asked) <= 10
    assert sys.getsizeof(kept._asked) < 2_000


@given(st.lists(st.booleans(), min_size=1, max_size=300), st.integers(0, 300), st.integers(0, 300))
@settings(deadline=None)
def test_slots_of_any_part(marks: list[bool], one: int, other: int) -> None:
    mask = np.array(marks)
    start, stop = sorted((min(one, len(marks)), min(other, len(marks))))
    expected = [slot for slot in range(start, stop) if marks[slot]]
    every = [slot for slot, marked in enumerate(marks) if marked]
    found = Accepted(mask)
    assert found.count == len(every)
    assert found.slots(start, stop).tolist() == expected
    assert found.slots(0, len(marks)).tolist() == every
    assert found.slots(start, stop).tolist() == expected  # of the list that is there now
    assert found.slots(start, stop).dtype == np.uint32


def test_keys_tell_filters_apart() -> None:
    filters = [parse_filter(spelled) for spelled in FILTERS]
    filters += [~one for one in filters if one is not None]
    filters += [field("a") == "1", field("a") == b"1", field("b") == 1, field("a").is_in([1])]
    keys = [one.key() for one in filters if one is not None]
    assert len(set(keys)) == len({str(one) for one in filters})
    same = parse_filter("b == 'x' and a < 2")
    assert same is not None
    assert same.key() == parse_filter({"b": "x", "a": {"$lt": 2}}).key()  # type: ignore[union-attr]
