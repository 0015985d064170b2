"""The comparison of kinds of index runs, counts recall rightly, and names a peer for every row; no figure is judged."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import ann_indexes


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    place = tmp_path / "debian-packages"
    place.mkdir()
    np.save(place / "vectors_f16.npy", rng.standard_normal((1500, 16)).astype(np.float16))
    np.save(place / "queries_f32.npy", rng.standard_normal((30, 16)).astype(np.float32))
    return tmp_path


def test_recall_is_counted_by_distance(folder):
    data = ann_indexes.load("debian-packages", folder, 30, None)
    products = data.queries @ data.vectors.T
    order = np.argsort(-products, axis=1)
    assert data.recall(order[:, :10]) == 1
    assert data.recall(order[:, 10:20]) == 0
    mixed = order[:, :10].copy()
    mixed[:, 5:] = -1
    assert data.recall(mixed) == 0.5


def test_every_row_has_a_figure_and_a_peer(folder, capsys):
    pytest.importorskip("faiss")
    arguments = ["--folder", str(folder), "--data", "debian-packages", "--queries", "20", "--rounds", "1"]
    assert ann_indexes.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "debian-packages: 1,500 x 16, cosine, 20 queries"
    rows = [line for line in lines if line.startswith(("vego", "faiss"))]
    assert len(rows) == 19
    for row in rows:
        assert ("x  faiss" in row) == row.startswith(("vego", "faiss flat pq", "faiss flat sq8"))
        if row.startswith("vego flat") and "rabitq" not in row:  # 16 bits say little about 16 components
            assert float(row[26:36]) > 0.9
