"""Which index an option or a file asks for."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lance_fmt import Column
from vego.errors import InvalidArgumentError
from vego.index.disk import DiskIndex
from vego.index.hnsw import HnswIndex
from vego.index.ivf import IvfIndex
from vego.index.lsh import LshIndex
from vego.index.metrics import Metric
from vego.index.vector_index import VectorIndex
from vego.options import INDEX_KINDS, CollectionOptions
from vego.vector_type import Element

# option -> code and number of lists (0: as many as go with the rows) of an IvfIndex
IVF_KINDS = {
    "ivf": ("flat", 0),
    "ivf_sq8": ("sq8", 0),
    "ivf_pq": ("pq", 0),
    "ivf_rabitq": ("rabitq", 0),
    "flat_sq8": ("sq8", 1),
    "flat_pq": ("pq", 1),
    "flat_rabitq": ("rabitq", 1),
}


def check_options(options: CollectionOptions, metric: Metric) -> None:
    """Refuse options that do not go with the metric; InvalidArgumentError."""
    bits = options.dtype == Element.BIT.value
    if bits != (metric is Metric.HAMMING):
        works = "metric 'hamming'" if bits else f"dtype={Element.BIT.value!r}"
        raise InvalidArgumentError(
            f"dtype={options.dtype!r} does not go with metric {metric.value!r}; use {works}"
        )
    kind = options.index
    if metric not in _metrics_of(kind):
        works = ", ".join(repr(other) for other in INDEX_KINDS if metric in _metrics_of(other))
        raise InvalidArgumentError(
            f"index={kind!r} does not work with metric {metric.value!r}; with it use one of {works}"
        )


def _metrics_of(kind: str) -> Collection[Metric]:
    return tuple(Metric) if kind == "flat" else _class_of(kind).metrics


def _class_of(kind: str) -> type[VectorIndex]:
    """The class of what an option other than "flat" asks for."""
    if kind in IVF_KINDS:
        return IvfIndex
    classes: dict[str, type[VectorIndex]] = {DiskIndex.kind: DiskIndex, LshIndex.kind: LshIndex}
    return classes.get(kind, HnswIndex)


def empty_index(options: CollectionOptions, metric: Metric, dimension: int) -> VectorIndex:
    """An index without rows, of the kind that the options ask for, which is not "flat"."""
    if options.index == LshIndex.kind:
        return LshIndex(dimension)
    if options.index in IVF_KINDS:
        code, lists = IVF_KINDS[options.index]
        return IvfIndex(metric, dimension, code, lists)
    kind = DiskIndex if options.index == DiskIndex.kind else HnswIndex
    return kind(metric, dimension, m=options.m, ef_construction=options.ef_construction)


def index_from_columns(columns: Mapping[str, Column], metadata: Mapping[str, str], path: str) -> VectorIndex:
    """The index that a file holds, by the format it names. Raises CorruptionError, NewerVersionError."""
    for kind in (IvfIndex, DiskIndex, LshIndex):
        if metadata.get("format") == kind.format:
            return kind.from_columns(columns, metadata, path)
    return HnswIndex.from_columns(columns, metadata, path)
