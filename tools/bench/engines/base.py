"""What every engine looks like to the benchmark, and where to find each one.

An adapter module imports its library at the top, so that loading the adapter is importing the library.
Everything an adapter returns from a timed method is plain ids and distances: no engine may answer with a
promise. Ids are the decimal row numbers of the data set, as strings for the databases.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

NEIGHBOURS = 16  # M of every HNSW graph
EF_CONSTRUCTION = 200


@dataclass(frozen=True)
class Filter:
    """One comparison every database can express: ``column operator value``, operator ``==`` or ``>=``."""

    column: str
    operator: str
    value: str | int | float

    def __str__(self) -> str:
        return f"{self.column} {self.operator} {self.value!r}"


@dataclass(frozen=True)
class Rows:
    """What is loaded: ids, float32 vectors ``(n, d)`` and metadata columns of n strings or ints each."""

    ids: list[str]
    vectors: np.ndarray
    metadata: Mapping[str, list[Any]]
    indexed: tuple[
        str, ...
    ] = ()  # the columns that filters compare: engines that have such indexes make them

    def head(self, count: int) -> Rows:
        """The first ``count`` of them."""
        columns = {column: values[:count] for column, values in self.metadata.items()}
        return Rows(self.ids[:count], self.vectors[:count], columns, self.indexed)


class Index(ABC):
    """A vector index alone: built from an array, searched with an array of queries."""

    name: ClassVar[str]
    package: ClassVar[str]  # the distribution whose version is reported

    def __init__(self, threads: int) -> None:
        self.threads = threads

    @abstractmethod
    def build(self, path: Path, rows: Rows) -> None:
        """Load all rows and leave the index built (databases: durable under ``path`` too)."""

    @abstractmethod
    def search_batch(self, queries: np.ndarray, k: int, effort: int) -> Any:
        """The k neighbours of every query, in the engine's own form."""

    def batch_rows(self, answer: Any) -> np.ndarray:
        """That answer as row numbers ``(m, k)``, -1 where there is none (not timed)."""
        return np.asarray(answer)

    def close(self) -> None:  # noqa: B027 - an index in memory has nothing to release
        """Release what the engine holds."""


class Database(ABC):
    """A vector database: opened from disk, searched one query at a time, filtered, asked for documents."""

    name: ClassVar[str]
    package: ClassVar[str]
    efforts: ClassVar[
        tuple[int, ...]
    ]  # the first is the setting the engine is known for; 0 is its own default

    def __init__(self, threads: int) -> None:
        self.threads = threads

    @abstractmethod
    def build(self, path: Path, rows: Rows) -> None:
        """Load all rows, with metadata, and leave the index built and durable under ``path``."""

    @abstractmethod
    def open(self, path: Path) -> None:
        """Open what ``build`` left under ``path``."""

    @abstractmethod
    def set_effort(self, effort: int) -> None:
        """Make later searches more or less thorough (``ef`` and its like)."""

    @abstractmethod
    def search(self, query: np.ndarray, k: int, where: Any) -> tuple[list[str], list[float]]:
        """Ids and distances of the nearest neighbours; ``where`` comes from ``translate``."""

    @abstractmethod
    def translate(self, where: Filter | None) -> Any:
        """The filter in this engine's own language (not timed)."""

    @abstractmethod
    def get(self, document_id: str) -> object:
        """The whole document, vector and metadata included."""

    @abstractmethod
    def close(self) -> None:
        """Release what the engine holds."""


ENGINES: dict[str, str] = {
    "vego": "vego_tools.bench.engines.vego_engine:VegoDatabase",
    "vego-index": "vego_tools.bench.engines.vego_engine:VegoIndex",
    "zvec": "vego_tools.bench.engines.zvec_engine:Zvec",
    "zvec-int8": "vego_tools.bench.engines.zvec_engine:ZvecInt8",
    "chroma": "vego_tools.bench.engines.chroma_engine:Chroma",
    "lancedb": "vego_tools.bench.engines.lancedb_engine:LanceDB",
    "hnswlib": "vego_tools.bench.engines.hnswlib_engine:Hnswlib",
    "faiss": "vego_tools.bench.engines.faiss_engine:FaissHnsw",
    "faiss-sq8": "vego_tools.bench.engines.faiss_engine:FaissHnswSq8",
}
DATABASES = ("vego", "zvec", "zvec-int8", "chroma", "lancedb")
INDEXES = ("vego-index", "hnswlib", "faiss", "faiss-sq8")


def load_engine(name: str, threads: int) -> Any:
    """The adapter called ``name``; ``ImportError`` where its library is not installed."""
    module, _, class_name = ENGINES[name].partition(":")
    return getattr(importlib.import_module(module), class_name)(threads)
