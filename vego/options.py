"""Options of databases and collections: names, defaults, bounds; nothing else checks them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from vego.errors import UnknownOptionError

MAX_DIMENSION = 32_768  # the 8-bit distance of that many components still fits an int32
MAX_K = 16_384
MAX_EF = 65_536
LEAST_TARGET = 0.5
MAX_ID_BYTES = 512
MAX_METADATA_KEYS = 1_024
MAX_METADATA_DEPTH = 32
MAX_PARTITION_KEY = 256

DURABILITIES = ("sync", "interval", "none")
MAX_INTERVAL_MS = 60_000
INDEX_KINDS = (
    "auto",
    "hnsw",
    "flat",
    "ivf",
    "ivf_sq8",
    "ivf_pq",
    "ivf_rabitq",
    "flat_sq8",
    "flat_pq",
    "flat_rabitq",
    "disk",
    "lsh",
)
DTYPES = ("float32", "float16", "uint8", "int8", "bit")
AUTO_ROWS = 1_024  # with index="auto", collections of fewer rows have no graph: a scan takes microseconds


def _bounded(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UnknownOptionError(
            f"option {name!r}: expected an integer from {low:,} to {high:,}, got {value!r}"
        )


def _one_of(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UnknownOptionError(
            f"option {name!r}: expected one of {', '.join(map(repr, choices))}, got {value!r}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionOptions:
    """How a collection is indexed and kept; stored in its manifest when it is created.

    index: "auto" (exact scans below AUTO_ROWS rows, a graph over 8-bit codes from there on), "hnsw" (the same, but
        `build_index` makes a graph of any number of rows), "flat" (always exact), "ivf" (inverted lists), or one of
        these two over codes, the best re-ranked exactly: "ivf_sq8", "ivf_pq", "ivf_rabitq", "flat_sq8", "flat_pq",
        "flat_rabitq"; "lsh" (of bits: hash tables of some of them). "disk" is a graph that stays on the disk with its
        vectors, in bounded memory.
    target_recall: share of the true nearest that a search is to find where it does not say how hard to try. Recall of
        a graph is measured when it is built and when it has grown, and `ef` is chosen by it. 1.0: always exact.
    m: links per node of the graph; level 0 has twice as many.
    ef_construction: candidates weighed for each node while the graph is built.
    ef_search: candidates kept, or inverted lists or buckets of a table looked at, by a search that does not say `ef=`;
        None: of a graph or table what reaches `target_recall`, of lists a share that does not depend on it.
    flush_bytes: size of the write buffer at which it becomes a segment file.
    retain_versions: how many of the newest versions stay to be opened with `at`, at least 2; tagged ones stay as well.
    retain_seconds: what is needed to go back to any moment of this time stays, however many versions there are.
    partition_by: a metadata key; documents with different values of it never share a segment file. None: no such key.
    dtype: what vectors are made of, in files and in memory: "float32", "float16" (half as large; given numbers are
        rounded), "uint8" or "int8" (a quarter; whole numbers), or "bit" (metric "hamming").
    """

    index: str = "auto"
    target_recall: float = 0.95
    m: int = 16
    ef_construction: int = 128
    ef_search: int | None = None
    flush_bytes: int = 10_000_000
    retain_versions: int = 10
    retain_seconds: int = 0
    partition_by: str | None = None
    dtype: str = "float32"

    def __post_init__(self) -> None:
        _one_of("index", self.index, INDEX_KINDS)
        _bounded("m", self.m, 4, 64)
        _bounded("ef_construction", self.ef_construction, 8, 4_096)
        if self.ef_search is not None:
            _bounded("ef_search", self.ef_search, 1, MAX_EF)
        object.__setattr__(self, "target_recall", check_target(self.target_recall, "option 'target_recall'"))
        _bounded("flush_bytes", self.flush_bytes, 1_000, 1 << 32)
        check_retained(self.retain_versions)
        _bounded("retain_seconds", self.retain_seconds, 0, 10 * 365 * 86_400)
        _check_partition_by(self.partition_by)
        _one_of("dtype", self.dtype, DTYPES)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> CollectionOptions:
        """Options from keyword arguments; raises UnknownOptionError naming the nearest known one."""
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise UnknownOptionError(f"unknown option {name!r}{hint} Options are: {', '.join(known)}")
        return cls(**options)

    def to_json(self) -> dict[str, Any]:
        """The options as a JSON object; one that came later is there only where it is used."""
        options = asdict(self)
        if self.partition_by is None:
            del options["partition_by"]
        if self.dtype == "float32":
            del options["dtype"]
        return options


def _check_partition_by(key: object) -> None:
    if key is None:
        return
    if not isinstance(key, str) or not key or key.startswith("$") or len(key) > MAX_PARTITION_KEY:
        raise UnknownOptionError(
            f"option 'partition_by': expected a metadata key (1 to {MAX_PARTITION_KEY} characters, the first no '$') "
            f"or None, got {key!r}"
        )


def check_target(value: object, what: str) -> float:
    """A recall to aim at, from LEAST_TARGET to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not LEAST_TARGET <= value <= 1:
        raise UnknownOptionError(f"{what}: expected a number from {LEAST_TARGET} to 1, got {value!r}")
    return float(value)


def check_retained(versions: object) -> None:
    """How many versions are kept: at least 2, the newest and the one before it."""
    _bounded("retain_versions", versions, 2, 1_000_000)


def check_dimension(value: object) -> int:
    """A vector dimension from 1 to MAX_DIMENSION."""
    _bounded("dimension", value, 1, MAX_DIMENSION)
    assert isinstance(value, int)
    return value


@dataclass(frozen=True, slots=True)
class Durability:
    """When what was written to the log becomes durable.

    mode: "sync" (before the call returns), "interval" (within `seconds`) or "none" (when the system likes).
    """

    mode: str = "sync"
    seconds: float = 0.1


DURABLE = Durability()


def check_durability(mode: object, interval_ms: object) -> Durability:
    """One of DURABILITIES, with from 1 to MAX_INTERVAL_MS milliseconds (None: 100) where it is "interval"."""
    _one_of("durability", mode, DURABILITIES)
    if interval_ms is None:
        return Durability(str(mode))
    if mode != "interval":
        raise UnknownOptionError(
            f"option 'interval_ms' goes with durability=\"interval\", not with {mode!r}; leave one of them out"
        )
    _bounded("interval_ms", interval_ms, 1, MAX_INTERVAL_MS)
    assert isinstance(interval_ms, int)
    return Durability(str(mode), interval_ms / 1000)
