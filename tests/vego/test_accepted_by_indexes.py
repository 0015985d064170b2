"""What a search may return, as a mask or as `Accepted`, which knows its count and keeps its slots: the same answers."""

import numpy as np
import pytest

from vego.errors import InvalidArgumentError
from vego.index import HnswIndex, IvfIndex, Metric
from vego.index.accepted import Accepted, mask_of
from vego.index.disk import DiskIndex
from vego.index.lsh import LshIndex

ROWS = 3_000
VECTORS = np.random.default_rng(1).standard_normal((ROWS, 16)).astype(np.float32)
BITS = np.packbits(VECTORS > 0, axis=1)


def built(kind):
    index = {
        "hnsw": lambda: HnswIndex("l2", 16, m=8, ef_construction=40),
        "ivf": lambda: IvfIndex(Metric.L2, 16, "sq8"),
        "disk": lambda: DiskIndex("l2", 16),
        "lsh": lambda: LshIndex(16),
    }[kind]()
    rows = BITS if kind == "lsh" else VECTORS
    index.extend(rows, None, ROWS - 500)
    return index, rows


@pytest.mark.parametrize("kind", ["hnsw", "ivf", "disk", "lsh"])
def test_accepted_is_its_mask(kind):
    """Also where the mask is longer than what is indexed, read-only, or taken from a wider array."""
    index, rows = built(kind)
    for share in (0.01, 0.2, 0.6, 1.0):
        wide = np.random.default_rng(2).random((ROWS, 2)) < share
        for mask in (wide[:, 0].copy(), wide[:, 0], wide[: ROWS - 500, 1].copy()):
            mask.flags.writeable = False
            accepted = Accepted(mask)
            for _ in range(2):  # the second time from what was kept
                found = index.search_batch(rows, None, rows[:7], 5, 20, 20, accepted)
                np.testing.assert_array_equal(
                    found, index.search_batch(rows, None, rows[:7], 5, 20, 20, mask)
                )
                one, near = index.search(rows, None, rows[9], 5, 20, 20, accepted)
                same = index.search(rows, None, rows[9], 5, 20, 20, mask)
                np.testing.assert_array_equal(one, same[0])
                np.testing.assert_array_equal(near, same[1])
                assert mask[one].all()


@pytest.mark.parametrize("kind", ["hnsw", "ivf", "disk", "lsh"])
def test_too_short_is_refused(kind):
    index, rows = built(kind)
    for accept in (np.ones(ROWS - 501, bool), Accepted(np.ones(ROWS - 501, bool))):
        with pytest.raises(InvalidArgumentError, match=f"expected a bool array of {ROWS - 500} slots"):
            index.search(rows, None, rows[0], 5, 20, 20, accept)


def test_counts_and_slots_of_a_part():
    mask = np.random.default_rng(3).random(1_000) < 0.3
    for accepted in (Accepted(mask), Accepted.of(mask, 900)):
        for stop in (0, 1, 500, 1_000, 700):
            assert accepted.count_below(stop) == mask[:stop].sum()
            assert accepted.slots(0, stop).tolist() == np.flatnonzero(mask[:stop]).tolist()
    assert Accepted.of(accepted, 1_000) is accepted
    assert len(mask_of(None, 5)) == 0 and mask_of(accepted, 5) is accepted.mask
