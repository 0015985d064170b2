"""Collections whose vectors stay in their files: answers in bounded memory, and damage that is met late."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vego

ROWS, WIDTH = 100_000, 768  # 307 MB of vectors

# With at most so much private memory as a fresh process has once its kernels are loaded, and 80 MB.
SMALL = """
import resource, sys
import numpy as np
import vego
from vego.index import exact_search, Metric

def anonymous():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

path, rows, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
small = vego.open(sys.argv[1] + "-small")  # loads what is loaded once
docs = small.collection("c")
docs.search(np.ones(4, np.float32), exact=True), docs.search(np.ones(4, np.float32), filter="n < 3"), docs.get("d1")
before = anonymous()
status = open("/proc/self/status").read().splitlines()
data = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (data + 80_000_000,) * 2)

db = vego.open(path)
opened = anonymous()
docs = db.collection("c")
assert len(docs) == rows
rng = np.random.default_rng(1)
for n in rng.integers(0, rows, 300).tolist():
    found = docs.get(f"d{n}")
    assert found.metadata == {"n": n}
    assert found.vector[0] == np.float32(n) and found.vector[1] == n % 7, found.vector[:3]
assert docs.get("nobody") is None
for n in (0, 5, rows - 1):
    query = np.zeros(width, np.float32)
    query[0], query[1] = n, n % 7
    assert docs.search(query, k=1, exact=True).ids == [f"d{n}"]
    hits = docs.search(query, k=3, filter=f"n >= {n - 1} and n < {n + 3}")
    assert hits.ids[0] == f"d{n}" and len(hits) == min(3, rows - n + 1), hits
docs.insert(id="new", vector=np.ones(width, np.float32))
docs.delete("d17")
assert docs.get("d17") is None and docs.get("new") is not None
assert len(docs) == rows
most = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("RssAnon"))
print(opened - before, most - before)
db.close()
"""


def test_a_collection_larger_than_the_memory_it_may_use(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with vego.open(path, dimension=WIDTH, metric="l2", index="flat") as db:
        docs = db.collection("c")
        for first in range(0, ROWS, ROWS // 4):
            numbers = np.arange(first, first + ROWS // 4)
            vectors = np.zeros((len(numbers), WIDTH), np.float32)
            vectors[:, 0], vectors[:, 1] = numbers, numbers % 7
            docs.insert_batch(ids=[f"d{n}" for n in numbers], vectors=vectors, metadata={"n": numbers})
    with vego.open(f"{path}-small", dimension=4, metric="l2", index="flat") as db:
        docs = db.collection("c")
        docs.insert_batch(ids=["d1", "d2"], vectors=np.ones((2, 4)), metadata={"n": [1, 2]})
        docs.flush()
    run = subprocess.run(
        [sys.executable, "-c", SMALL, str(path), str(ROWS), str(WIDTH)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    opened, most = map(int, run.stdout.split())
    assert opened < 20 * ROWS
    assert most < 300 * ROWS  # a tenth of the vectors


def some(tmp_path: Path, metric: str = "cosine") -> tuple[Path, np.ndarray]:
    """3,000 documents in two segments of 1,500."""
    vectors = np.random.default_rng(4).standard_normal((3_000, 16)).astype(np.float32)
    path = tmp_path / "db"
    with vego.open(path, dimension=16, metric=metric, index="flat", retain_versions=9) as db:
        docs = db.collection("c")
        for first in (0, 1_500):
            ids = [f"d{n}" for n in range(first, first + 1_500)]
            docs.insert_batch(ids=ids, vectors=vectors[first : first + 1_500])
    return path, vectors


def segment_with(path: Path, vector: np.ndarray) -> tuple[Path, int]:
    """The file that holds a vector, and where."""
    for file in sorted(path.rglob("*.lfmt")):
        at = file.read_bytes().find(vector.tobytes())
        if at >= 0:
            return file, at
    raise AssertionError("there is no such vector")


def test_damage_is_found_when_it_is_met_and_by_verify(tmp_path: Path) -> None:
    path, vectors = some(tmp_path)
    file, at = segment_with(path, vectors[2_000])
    data = bytearray(file.read_bytes())
    data[at + 5] ^= 16
    file.write_bytes(data)
    with vego.open(path) as db:
        docs = db.collection("c")
        assert docs.get("d1").vector.tobytes() == vectors[1].tobytes()
        with pytest.raises(vego.CorruptionError, match="does not match its checksum"):
            docs.get("d2000")
        with pytest.raises(vego.CorruptionError):
            docs.search(vectors[0], exact=True)
        with pytest.raises(vego.CorruptionError):
            docs.compact(full=True)
        with pytest.raises(vego.CorruptionError):
            docs.to_table()
        docs.insert(id="more", vector=vectors[7])
        assert docs.get("d2999").vector.tobytes() == vectors[2_999].tobytes()
    assert file.name in str(vego.verify(path, deep=True))


def test_mapped_files_outlive_their_names(tmp_path: Path) -> None:
    path, vectors = some(tmp_path)
    with vego.open(path) as db:
        docs = db.collection("c")
        hits = docs.search(vectors[3], k=5, exact=True)
        docs.delete_batch([f"d{n}" for n in range(0, 3_000, 2)])
        old = docs.search(vectors[3], k=5, exact=True)
        docs.compact(full=True)
        docs.vacuum(2)
        assert len(list(path.rglob("data/*.lfmt"))) == 1
        assert [hit.vector.tobytes() for hit in hits] == [vectors[int(i[1:])].tobytes() for i in hits.ids]
        assert old.ids[0] == "d3"
        assert old[0].vector.tobytes() == vectors[3].tobytes()
        left = {f"d{n}": vectors[n].tobytes() for n in range(1, 3_000, 2)}
        assert {name: docs.get(name).vector.tobytes() for name in left} == left
        assert docs.get("d0") is None
    assert hits.ids[0] == "d3"
    assert hits[0].vector.tobytes() == vectors[3].tobytes()


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_answers_are_the_same_bits_before_and_after_reopening(tmp_path: Path, metric: str) -> None:
    path = tmp_path / "db"
    rng = np.random.default_rng(8)
    vectors = rng.standard_normal((2_600, 24)).astype(np.float32)
    queries = rng.standard_normal((20, 24)).astype(np.float32)

    def answers(docs: vego.Collection) -> list[bytes]:
        found = [docs.search_batch(queries, 10), docs.search_batch(queries, 10, exact=True)]
        return [part.distances.tobytes() for part in found] + [
            str(part.ids.tolist()).encode() for part in found
        ]

    with vego.open(path, dimension=24, metric=metric) as db:
        docs = db.collection("c")
        docs.insert_batch(ids=[f"a{n}" for n in range(1_300)], vectors=vectors[:1_300])
        docs.insert_batch(ids=[f"b{n}" for n in range(1_200)], vectors=vectors[1_300:2_500])
        for n in range(100):
            docs.insert(id=f"c{n}", vector=vectors[2_500 + n])
        docs.delete_batch([f"a{n}" for n in range(0, 1_300, 5)])
        docs.build_index()
        buffered = answers(docs)
        docs.flush()
        assert answers(docs) == buffered
    with vego.open(path) as db:
        assert answers(db.collection("c")) == buffered
    with vego.open(path) as db:
        for query, ids in zip(queries, db.collection("c").search_batch(queries, 10).ids, strict=True):
            assert db.collection("c").search(query, 10).ids == list(ids)


def test_a_segment_that_is_large_is_rewritten_piece_by_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, vectors = some(tmp_path)
    monkeypatch.setattr("vego.table.compaction.MOST_BYTES", 1_500 * 16 * 4)
    monkeypatch.setattr("vego.table.compaction.PIECE_BYTES", 700 * 16 * 4)
    rest = [n for n in range(3_000) if n % 10]
    with vego.open(path) as db:
        docs = db.collection("c")
        docs.upsert_batch(
            ids=[f"e{n}" for n in range(4_000)],
            vectors=np.concatenate([vectors, vectors[:1_000]]),
            metadata={"n": np.arange(4_000), "text": [f"text {n}" for n in range(4_000)]},
        )
        docs.delete_batch([f"{kind}{n}" for kind in "de" for n in range(0, 3_000, 10)])
        docs.compact(full=True)
        before = docs.search(vectors[1], k=3, exact=True)
    with vego.open(path) as db:
        docs = db.collection("c")
        assert len(docs) == 2 * len(rest) + 1_000
        assert docs.stats()["dead_slots"] == 0
        assert docs.search(vectors[1], k=3, exact=True).ids == before.ids
        for n in rest:
            assert docs.get(f"d{n}").vector.tobytes() == vectors[n].tobytes()
            found = docs.get(f"e{n}")
            assert found.vector.tobytes() == vectors[n].tobytes()
            assert found.metadata == {"n": n, "text": f"text {n}"}
        assert docs.get("d10") is None
    assert vego.verify(path, deep=True).ok
