"""Strategies for ids, metadata and vectors."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
ZONES = st.sampled_from([None, UTC, timezone(timedelta(hours=-5, minutes=-30))])
TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=ZONES)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 70), 1 << 70),
    st.floats(),
    TEXT,
    st.binary(max_size=8),
    TIMES,
    st.dates(date(1, 1, 1), date(9999, 12, 31)),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | st.just("$bytes"), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(["a", "b", "id", "vector", "größe", "x.y"])
METADATA = st.dictionaries(KEYS, VALUES, max_size=4)
IDS = st.sampled_from([f"doc-{number}" for number in range(12)] + ["ü", "a b", "0"])


def vectors(dimension: int) -> st.SearchStrategy[np.ndarray]:
    """Small float32 vectors; components from a grid, so that ties and duplicates happen."""
    component = st.integers(-8, 8).map(lambda value: value / 4)
    return st.lists(component, min_size=dimension, max_size=dimension).map(
        lambda values: np.asarray(values, np.float32)
    )
