from __future__ import annotations

import numpy as np
import pytest

from vego.errors import InvalidArgumentError
from vego.index import Metric
from vego.index.kernels import distance


def test_names_and_aliases():
    assert Metric.parse("l2") is Metric.parse("Euclidean") is Metric.L2
    assert Metric.parse("cosine") is Metric.parse(Metric.COSINE) is Metric.COSINE
    assert Metric.parse("ip") is Metric.parse("dot") is Metric.parse("inner_product") is Metric.INNER_PRODUCT
    assert Metric.parse("l1") is Metric.parse("Manhattan") is Metric.L1
    for wrong in ("chebyshev", "", 3):
        with pytest.raises(InvalidArgumentError, match="known are"):
            Metric.parse(wrong)


def test_codes_are_those_of_the_kernels():
    assert {metric: metric.code for metric in Metric} == {
        Metric.L2: distance.L2,
        Metric.COSINE: distance.COSINE,
        Metric.INNER_PRODUCT: distance.INNER_PRODUCT,
        Metric.L1: distance.L1,
        Metric.HAMMING: distance.HAMMING,
    }


def test_scores_are_higher_for_nearer():
    distances = np.array([0, 0.5, 2], np.float32)
    np.testing.assert_allclose(Metric.L2.scores(distances), [1, 2 / 3, 1 / 3])
    np.testing.assert_allclose(Metric.L1.scores(distances), [1, 2 / 3, 1 / 3])
    np.testing.assert_allclose(Metric.COSINE.scores(distances), [1, 0.5, -1])
    np.testing.assert_allclose(Metric.INNER_PRODUCT.scores(-distances), distances)
