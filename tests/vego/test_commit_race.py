"""Processes that commit the same version: each version has exactly one winner, and each winner is told so."""

from __future__ import annotations

import pytest

from tests.support import processes
from vego.store import LocalStore
from vego.table.commit import create_collection
from vego.table.manifest import load_latest, load_version


@pytest.mark.parametrize("racers", [2, 4])
def test_one_winner_per_version(tmp_path, racers):
    store = LocalStore(tmp_path)
    create_collection(store, "c", dimension=2, metric="l2", options={})
    rounds = 25
    children = [processes.start("race", tmp_path, 1, rounds) for _ in range(racers)]
    for child in children:
        child.stdin.write(b"go\n")
        child.stdin.flush()
    outputs = [child.communicate(timeout=60)[0].decode() for child in children]
    assert all(child.returncode == 0 for child in children)
    winners: dict[int, list[int]] = {}
    losers = 0
    for line in "".join(outputs).splitlines():
        version, outcome, pid = line.split()
        if outcome == "won":
            winners.setdefault(int(version), []).append(int(pid))
        else:
            losers += 1
    assert set(winners) == set(range(2, rounds + 2))
    assert losers == rounds * (racers - 1)
    for version, pids in winners.items():
        assert len(pids) == 1, f"version {version} has several winners"
        manifest = load_version(store, "c", version)
        assert manifest.options == {"winner": pids[0]}
        assert manifest.parent.crc == load_version(store, "c", version - 1).checksum
    assert load_latest(store, "c").version == rounds + 1
    assert len(store.list("collections/c/manifests")) == rounds + 1
