"""The comparison on bits runs, counts recall rightly, and names a peer for every row of Vego; no figure is judged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import binary


def test_recall_is_counted_by_distance():
    data = binary.load("clusters", binary.DATA, 20, 2_000)
    bits = np.unpackbits(data.rows, axis=1).astype(int)
    away = np.sort(np.abs(bits[None] - np.unpackbits(data.queries, axis=1)[:, None]).sum(axis=2), axis=1)
    np.testing.assert_array_equal(data.limit[:, 0], away[:, 9])
    assert (data.dimension, data.recall(away[:, :10])) == (256, 1)
    assert data.recall(np.full((20, 10), 1 << 30)) == 0
    assert data.recall(np.concatenate([away[:, :5], away[:, 1_990:1_995]], axis=1)) == 0.5


def test_every_row_has_a_figure_and_a_peer(tmp_path, capsys):
    pytest.importorskip("faiss")
    arguments = ["--data", "clusters", "--rows", "2000", "--queries", "20", "--rounds", "1"]
    assert binary.main([*arguments, "--json", str(tmp_path / "figures.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "clusters: 2,000 x 256 bits, 20 queries"
    (run,) = json.loads((tmp_path / "figures.json").read_text())["runs"]
    by_name = {row["name"]: row for row in run["figures"]}
    assert len(by_name) == 2 + 2 * len(binary.EFFORTS) + len(binary.BUCKETS) + 3 == len(lines) - 3
    for name, row in by_name.items():
        assert row["queries_per_second"] > 0
        assert ("peer" in row) == (name.startswith("vego") or "multi-hash" in name)
        if "hnsw" in name or "flat" in name or name == "vego lsh, 160 buckets":
            assert row["recall"] > 0.9
    assert by_name["vego flat"]["recall"] == by_name["faiss flat"]["recall"] == 1
