"""Vectors of every type, under every metric that goes with it: what is stored, found, and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lance_fmt
import vego
from tests.support.contents import files_below
from vego import names
from vego.document import check_vectors
from vego.index import HnswIndex, Metric, exact_search
from vego.options import DTYPES
from vego.salvaging import salvage_segments
from vego.store import LocalStore
from vego.table.manifest import load_latest
from vego.vector_type import Element, VectorType

FLOATS = ("cosine", "l2", "ip", "l1")
KINDS = [(dtype, metric) for dtype in DTYPES if dtype != "bit" for metric in FLOATS] + [("bit", "hamming")]


def some(dtype: str, rows: int, dimension: int, seed: int = 0) -> np.ndarray:
    """Rows as they are stored; the same rows for fewer of them."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 40, (20, dimension))
    values = centres[rng.integers(0, 20, rows)] + rng.normal(0, 12, (rows, dimension))
    if dtype == "bit":
        return np.packbits(values > 0, axis=1)
    if dtype.startswith("float"):
        return values.astype(dtype)
    values += 128 * (dtype == "uint8")
    return np.clip(np.rint(values), *(0, 255) if dtype == "uint8" else (-128, 127)).astype(dtype)


def wide(dtype: str, rows: np.ndarray) -> np.ndarray:
    """What stored rows mean, float64 (n, d)."""
    return (np.unpackbits(rows, axis=1) if dtype == "bit" else rows).astype(np.float64)


def truth(dtype: str, metric: str, rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Distances (m, n), straight from the definition."""
    x, q = wide(dtype, rows), wide(dtype, queries)
    if metric in ("l1", "hamming"):
        return np.abs(x[None] - q[:, None]).sum(axis=2)
    if metric == "l2":
        return np.sqrt(((x[None] - q[:, None]) ** 2).sum(axis=2))
    products = q @ x.T
    if metric == "ip":
        return -products
    lengths = np.linalg.norm(q, axis=1)[:, None] * np.linalg.norm(x, axis=1)
    return 1 - np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)


def check(
    docs: vego.Collection, dtype: str, metric: str, there: dict[str, np.ndarray], queries: np.ndarray
) -> None:
    """Every verb that reads, against the definition over the documents that are there."""
    ids, rows = list(there), np.stack(list(there.values()))
    away = truth(dtype, metric, rows, queries)
    slack = 1e-5 * np.abs(away).max() + 1e-5
    ten = np.sort(away, axis=1)[:, :10]
    assert len(docs) == len(there)
    for name in ids[:: max(1, len(ids) // 7)]:
        found = docs.get(name)
        assert found is not None and np.asarray(found.vector).dtype == rows.dtype
        np.testing.assert_array_equal(found.vector, there[name])
    _, exact = docs.search_batch(queries, 10, exact=True)
    np.testing.assert_allclose(exact, ten, atol=slack)
    _, walked = docs.search_batch(queries, 10)
    assert (walked <= ten[:, -1:] + slack).mean() >= 0.9
    even = np.array([int(name) % 2 == 0 for name in ids])
    _, filtered = docs.search_batch(queries, 10, filter="even == true")
    assert (filtered <= np.sort(away[:, even], axis=1)[:, 9:10] + slack).mean() >= 0.9
    for query, distances, nearest in zip(queries[:4], away, ten, strict=False):
        hits = docs.search(query, 10, exact=True)
        assert hits.distances.tolist() == sorted(hits.distances.tolist())
        at = {name: distances[place] for place, name in enumerate(ids)}
        np.testing.assert_allclose([at[name] for name in hits.ids], hits.distances, atol=slack)
        np.testing.assert_array_equal(hits[0].document.vector, there[hits.ids[0]])
        radius = float(nearest[6]) + slack
        within = docs.search_range(query, radius, exact=True)
        assert len(within) == int((distances <= radius).sum()) or dtype != "bit"
        assert abs(len(within) - int((distances <= radius).sum())) <= 2


def change(docs: vego.Collection, rows: np.ndarray, there: dict[str, np.ndarray]) -> None:
    """Updates, an upsert, a transaction and deletes; `there` is changed as the collection is."""
    docs.update("7", vector=rows[2_500])
    docs.update("8", metadata={"even": True})
    docs.upsert(id="2101", vector=rows[2_501], metadata={"even": False})
    there["7"], there["2101"] = rows[2_500], rows[2_501]
    with docs.transaction() as changes:
        changes.insert(id="9000", vector=rows[2_502], metadata={"even": True})
        changes.update("9", vector=rows[2_503])
    there["9000"], there["9"] = rows[2_502], rows[2_503]
    docs.delete_batch([str(row) for row in range(0, 600, 5)])
    for row in range(0, 600, 5):
        del there[str(row)]


@pytest.mark.parametrize(("dtype", "metric"), KINDS)
def test_the_life_of_a_collection(tmp_path: Path, dtype: str, metric: str) -> None:
    """Segments, log, graph, deletes, updates, compaction, opening again, a backup, a branch, a moment, verification."""
    dimension = 48
    rows, queries = some(dtype, 2_600, dimension), some(dtype, 2_630, dimension)[2_600:]
    there: dict[str, np.ndarray] = {}
    with vego.open(tmp_path / "db", metric=metric, dtype=dtype, background=False) as db:
        docs = db.collection("docs")

        def add(first: int, stop: int) -> None:
            ids = [str(row) for row in range(first, stop)]
            docs.insert_batch(
                ids=ids,
                vectors=rows[first:stop],
                metadata={"even": [row % 2 == 0 for row in range(first, stop)]},
            )
            there.update(zip(ids, rows[first:stop], strict=True))

        add(0, 2_000)  # a segment and a graph
        add(2_000, 2_100)  # through the log
        for row in range(2_100, 2_110):
            docs.insert(id=str(row), vector=rows[row], metadata={"even": row % 2 == 0})
            there[str(row)] = rows[row]
        assert docs.stats()["indexed_slots"] == 2_000 and not docs.explain(queries[0]).exact
        assert docs.dimension == dimension
        check(docs, dtype, metric, there, queries)
        change(docs, rows, there)
        check(docs, dtype, metric, there, queries)
        before = docs.search_batch(queries, 10)
    with vego.open(tmp_path / "db", background=False) as db:
        docs = db.collection("docs")
        assert (docs.options.dtype, docs.metric.value) == (dtype, metric)
        after = docs.search_batch(queries, 10)
        np.testing.assert_array_equal(after[0], before[0])
        np.testing.assert_array_equal(after[1], before[1])
        docs.compact(full=True)
        docs.build_index()
        check(docs, dtype, metric, there, queries)
        table = docs.to_table(["id", "vector"])
        np.testing.assert_array_equal(
            table["vector"].to_numpy(), np.stack([there[str(name)] for name in table["id"].to_pylist()])
        )
        db.backup(tmp_path / "copy")
        check(db.branch("docs", "other"), dtype, metric, there, queries)
        docs.insert(id="late", vector=rows[2_504], metadata={"even": True})
        check(docs.at(version=docs.versions()[-1].version), dtype, metric, there, queries)
    vego.restore(tmp_path / "copy", tmp_path / "again")
    with vego.open(tmp_path / "again") as db:
        check(db.collection("docs"), dtype, metric, there, queries)
    for name in ("db", "again"):
        report = vego.verify(tmp_path / name, deep=True)
        assert report.ok, report


@pytest.mark.parametrize(
    ("dtype", "size"), [("float32", 4), ("float16", 2), ("uint8", 1), ("int8", 1), ("bit", 1 / 8)]
)
def test_rows_take_their_own_size_in_segments_and_log(tmp_path: Path, dtype: str, size: float) -> None:
    rows = some(dtype, 4_000, 256)
    metric = "hamming" if dtype == "bit" else "l2"
    with vego.open(tmp_path / "db", metric=metric, dtype=dtype, index="flat", background=False) as db:
        db.collection("segment").insert_batch(vectors=rows)
        db.collection("log").insert_batch(ids=[str(i) for i in range(900)], vectors=rows[:900])
        (segment,) = (tmp_path / "db/collections/segment/data").iterdir()
        own = 4_000 * 256 * size
        assert own <= segment.stat().st_size <= own + 200_000  # ids
        (log,) = (tmp_path / "db/collections/log/wal").iterdir()
        own = 900 * 256 * size
        assert own <= log.stat().st_size <= own + 60_000
        with lance_fmt.open(segment) as file:
            stored = file.read(["$vector"])["$vector"].to_numpy()
        assert stored.dtype == rows.dtype
        np.testing.assert_array_equal(stored, rows)
        report = db.collection("segment").index_report()
        assert report.memory["vectors"] == 4_000 * 256 * size


@pytest.mark.parametrize(
    ("index", "dtype", "metric"),
    [
        ("ivf", "uint8", "l2"),
        ("ivf_sq8", "float16", "cosine"),
        ("ivf_pq", "int8", "l2"),
        ("flat_sq8", "float16", "ip"),
    ],
)
def test_lists_and_codes_over_rows_of_every_type(tmp_path: Path, index: str, dtype: str, metric: str) -> None:
    rows, queries = some(dtype, 2_000, 48), some(dtype, 2_030, 48)[2_000:]
    with vego.open(tmp_path / "db", metric=metric, dtype=dtype, index=index, background=False) as db:
        docs = db.collection("docs")
        even = [row % 2 == 0 for row in range(2_000)]
        docs.insert_batch(ids=[str(row) for row in range(2_000)], vectors=rows, metadata={"even": even})
        docs.build_index()
        assert docs.explain(queries[0]).strategy == "lists"
        check(docs, dtype, metric, {str(row): rows[row] for row in range(2_000)}, queries)


@given(
    kind=st.sampled_from(KINDS),
    rows=st.integers(0, 40),
    dimension=st.integers(1, 200),
    k=st.integers(1, 50),
    seed=st.integers(0, 1 << 32),
)
def test_scans_equal_the_definition(
    kind: tuple[str, str], rows: int, dimension: int, k: int, seed: int
) -> None:
    """Of few values, so that distances tie: those come by slot."""
    dtype, metric = kind
    dimension = -(-dimension // 8) * 8 if dtype == "bit" else dimension
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 3, (rows + 2, dimension))
    stored = np.packbits(values > 1, axis=1) if dtype == "bit" else values.astype(dtype)
    from vego.table.vectors import Vectors, inverse_norms_of

    known = Vectors.of(stored[2:], inverse_norms_of(stored[2:]), Element(dtype))
    queries = stored[:2] if dtype == "bit" else stored[:2].astype(np.float32)
    slots, distances = exact_search(Metric(metric), known, None, queries, k)
    away = truth(dtype, metric, stored[2:], stored[:2])
    size = min(k, rows)
    assert (slots[:, size:] == -1).all() and np.isinf(distances[:, size:]).all()
    for i in range(2):
        order = np.lexsort((np.arange(rows), away[i]))[:size]
        np.testing.assert_allclose(distances[i, :size], away[i][order], rtol=1e-5, atol=1e-5)
        if metric != "cosine":
            assert slots[i, :size].tolist() == order.tolist()


# -- what is accepted ----------------------------------------------------------------------------------


@given(dtype=st.sampled_from(["uint8", "int8"]), values=st.lists(st.integers(-300, 300), min_size=1, max_size=6),
       given_as=st.sampled_from([np.int64, np.float32, np.float64, np.int16, list]))  # fmt: skip
@settings(max_examples=100)
def test_integers_are_stored_or_refused(dtype: str, values: list[int], given_as: Any) -> None:
    row: Any = [values] if given_as is list else np.array([values], given_as)
    bounds = np.iinfo(dtype)
    kind = VectorType(Element(dtype), len(values))
    if all(bounds.min <= value <= bounds.max for value in values):
        found = check_vectors(row, kind, "here", [])
        assert found.dtype == dtype and found.flags.c_contiguous
        assert found.tolist() == [values]
    else:
        wrong = next(i for i, value in enumerate(values) if not bounds.min <= value <= bounds.max)
        with pytest.raises(vego.InvalidVectorError, match=f"component {wrong} is .*{bounds.max}"):
            check_vectors(row, kind, "here", ["a"])


BAD = [
    ("uint8", [0.5, 1, 2, 3, 4, 5, 6, 7], "component 0 is 0.5"),
    ("uint8", [1, 2, 3, 4, 5, 6, 7, float("nan")], "component 7 is nan"),
    ("int8", [1, 2, float("inf"), 4, 5, 6, 7, 8], "component 2 is inf"),
    ("int8", [1, 2, 3, 128, 5, 6, 7, 8], "component 3 is 128; int8 needs whole numbers from -128 to 127"),
    ("float16", [1, 2, 3, 70_000, 5, 6, 7, 8], "component 3 is 70000; every component must be finite in float16"),
    ("float16", [float("nan")] * 8, "component 0 is nan"),
    ("bit", [0, 1, 2, 0, 0, 0, 0, 0], "component 2 is 2; a bit is 0 or 1"),
    ("bit", [0, float("nan"), 1, 0, 0, 0, 0, 0], "component 1 is nan"),
    ("bit", [256], "component 0 is 256"),
    ("bit", [-1], "component 0 is -1"),
    ("bit", [True], "expected 8 bits, or 1 bytes"),
    ("bit", [0, 1], "expected 8 bits, or 1 bytes"),
    ("bit", ["0"], "a vector needs numbers"),
    ("uint8", [True] * 8, "a vector needs numbers"),
    ("uint8", [1, 2], "dimension 2, the collection has 8"),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "row", "fragment"), BAD)
def test_what_does_not_fit_is_refused(tmp_path: Path, dtype: str, row: list[Any], fragment: str) -> None:
    metric = "hamming" if dtype == "bit" else "l2"
    good = [1, 0, 1, 1, 0, 0, 0, 1]
    with vego.open(tmp_path / "db", dimension=8, metric=metric, dtype=dtype) as db:
        docs = db.collection("docs")
        docs.insert(id="a", vector=good)
        before = files_below(tmp_path / "db")
        for call in (
            lambda: docs.insert(id="b", vector=row),
            lambda: docs.insert(id="b", vector=np.array(row)),
            lambda: docs.insert_batch(ids=["b"], vectors=[row]),
            lambda: docs.insert_batch(ids=["b"], vectors=np.array([row])),
            lambda: docs.insert_batch([vego.Document("b", row)]),
            lambda: docs.upsert(id="a", vector=row),
            lambda: docs.update("a", vector=row),
        ):
            with pytest.raises(vego.InvalidArgumentError, match=fragment):
                call()
        assert files_below(tmp_path / "db") == before and len(docs) == 1
        outcome = docs.insert_valid(ids=["x", "y"], vectors=[good, row])
        assert (outcome.ids, len(outcome.rejected)) == (["x"], 1)
        if fragment.endswith("finite in float16"):  # what is asked is not stored
            assert docs.search(row, 1).ids == ["a"]
            return
        for ask in (docs.search, docs.explain, lambda query: docs.search_range(query, 1.0)):
            with pytest.raises(vego.InvalidArgumentError):
                ask(row)
        with pytest.raises(vego.InvalidArgumentError):
            docs.search_batch([row])


def test_bits_come_as_bits_or_packed(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).random((50, 24)) < 0.5
    packed = np.packbits(bits, axis=1)
    spellings = [
        bits,
        packed,
        bits.astype(int),
        bits.astype(np.float32),
        bits.tolist(),
        packed.tolist(),
        list(packed),
    ]
    with vego.open(tmp_path / "db") as db:
        for number, rows in enumerate(spellings):
            docs = db.collection(f"c{number}", dimension=24, dtype="bit")
            docs.insert_batch(ids=[str(i) for i in range(50)], vectors=rows)
            assert docs.metric is Metric.HAMMING
            found = docs.get("3")
            assert found is not None
            np.testing.assert_array_equal(found.vector, packed[3])
            for query in (bits[3], packed[3], bits[3].tolist()):
                hit = docs.search(query, 1)[0]
                assert (hit.id, hit.distance, hit.score) == ("3", 0, 1)
        for rows in (bits, packed):  # the first insert says how many
            docs = db.collection(f"first-{rows.dtype}", metric="hamming")
            docs.insert_batch(vectors=rows)
            assert (docs.dimension, docs.options.dtype) == (24, "bit")
        with pytest.raises(vego.InvalidArgumentError, match="a multiple of 8 expected, found 20"):
            db.collection("odd", dimension=20, metric="hamming")
        with pytest.raises(vego.InvalidArgumentError, match="a multiple of 8 expected, found 20"):
            db.collection("odd", metric="hamming").insert_batch(vectors=bits[:, :20])
        with pytest.raises(vego.InvalidArgumentError, match="exists with dtype='bit'"):
            db.collection("c0", dtype="uint8")


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ({"dtype": "bit", "metric": "l2"}, "dtype='bit' does not go with metric 'l2'; use metric 'hamming'"),
        (
            {"dtype": "uint8", "metric": "hamming"},
            "dtype='uint8' does not go with metric 'hamming'; use dtype='bit'",
        ),
        ({"dtype": "float64"}, "expected one of 'float32'"),
        ({"dtype": np.float16}, "expected one of 'float32'"),
        ({"metric": "hamming", "index": "ivf_pq"}, "index='ivf_pq' does not work with metric 'hamming'"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, options: dict[str, Any], fragment: str) -> None:
    with vego.open(tmp_path / "db", dimension=8) as db:
        with pytest.raises(vego.VegoError, match=fragment):
            db.collection("docs", **options)
        assert db.collections() == []


def test_manifests_say_what_earlier_versions_cannot_read(tmp_path: Path) -> None:
    with vego.open(tmp_path / "db", dimension=8) as db:
        versions = {"plain": 1, "half": 4, "bits": 4, "l1": 4}
        db.collection("plain", metric="l2", dtype="float32")
        db.collection("half", metric="l2", dtype="float16")
        db.collection("bits", metric="hamming")
        db.collection("l1", metric="l1")
    store = LocalStore(tmp_path / "db", read_only=True)
    for name, version in versions.items():
        manifest = load_latest(store, name)
        assert manifest is not None and manifest.format_version == version
        data = store.read(names.manifest_path(name, 1))
        assert int.from_bytes(data[4:8], "little") == version
        assert (b"dtype" in data) == (name in ("half", "bits"))


@pytest.mark.parametrize(("dtype", "metric"), [("float16", "l2"), ("bit", "hamming")])
def test_damage_is_found_and_what_is_whole_is_saved(tmp_path: Path, dtype: str, metric: str) -> None:
    rows = some(dtype, 3_000, 1_024)
    path = tmp_path / "db"
    with vego.open(path, metric=metric, dtype=dtype, index="flat", background=False) as db:
        db.collection("docs").insert_batch(ids=[str(i) for i in range(3_000)], vectors=rows)
    (segment,) = (path / "collections/docs/data").iterdir()
    data = bytearray(segment.read_bytes())
    at = data.find(rows[2_900].tobytes())
    assert at > 0
    data[at] ^= 1
    segment.write_bytes(data)
    with vego.open(path, read_only=True) as db:
        docs = db.collection("docs")
        assert docs.get("5") is not None
        with pytest.raises(vego.CorruptionError):
            docs.get("2900")
        with pytest.raises(vego.CorruptionError):
            docs.search(rows[0], 3)
    assert not vego.verify(path, deep=True).ok
    salvaged = salvage_segments(path, "docs")
    assert 0 < salvaged.lost_rows < 1_000, salvaged
    with vego.open(path) as db:
        docs = db.collection("docs")
        assert len(docs) == 3_000 - salvaged.lost_rows
        np.testing.assert_array_equal(docs.search(rows[7], 1)[0].document.vector, rows[7])


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_array_of_float32_is_stored_as_the_collection_has_it(tmp_path: Path, dtype: str) -> None:
    """What most callers have at hand, one document at a time."""
    rows = (np.random.default_rng(0).random((40, 16)) < 0.5).astype(np.float32)
    with vego.open(
        tmp_path / "db", dimension=16, dtype=dtype, metric="hamming" if dtype == "bit" else "l2"
    ) as db:
        docs = db.collection("docs")
        for number, row in enumerate(rows):
            docs.insert(id=f"d{number}", vector=row, metadata={"n": number})
        for _ in range(2):
            for number, row in enumerate(rows):
                found = docs.get(f"d{number}")
                assert found is not None
                expected = np.packbits(row > 0) if dtype == "bit" else row.astype(dtype)
                assert np.asarray(found.vector).dtype == expected.dtype
                np.testing.assert_array_equal(found.vector, expected)
                assert docs.search(row, 1, exact=True).distances[0] == 0
            docs.flush()


def test_a_graph_of_bits_of_which_many_are_set() -> None:
    """More than a byte can count."""
    random = np.random.default_rng(0)
    rows = np.packbits(random.random((600, 1024)) < random.random((600, 1)), axis=1)
    index = HnswIndex(Metric.HAMMING, 1024)
    index.extend(rows, None, 600)
    expected = exact_search(Metric.HAMMING, rows, None, rows[:50], 10)[1]
    found = index.search_batch(rows, None, rows[:50], 10, ef=64)[1]
    assert np.mean(found <= expected[:, -1:]) > 0.95
    graph = index._graph
    np.testing.assert_array_equal(graph.bias[:600], np.bitwise_count(rows).sum(axis=1))
