"""The data the demo ships: where it lies and what is in it. README.md says where it is from."""

from __future__ import annotations

from pathlib import Path

import lance_fmt
from lance_fmt import Field, Schema

DIMENSION = 384
DIRECTORY = Path(__file__).resolve().parent
PACKAGES = DIRECTORY / "packages.lfmt"
QUERIES = DIRECTORY / "queries.lfmt"

PACKAGES_SCHEMA = Schema(
    [
        Field("id", lance_fmt.string(), nullable=False),
        Field("vector", lance_fmt.vector(lance_fmt.float16(), DIMENSION), nullable=False),
        Field("title", lance_fmt.string(), nullable=False),
        Field("description", lance_fmt.string(), nullable=False),
        Field("section", lance_fmt.string(), nullable=False),
        Field("size", lance_fmt.int64(), nullable=False),
        Field("installed_kib", lance_fmt.int64(), nullable=False),
        Field("n_depends", lance_fmt.int32(), nullable=False),
        Field("priority", lance_fmt.string(), nullable=False),
        Field("maintainer", lance_fmt.string(), nullable=False),
        Field("homepage", lance_fmt.string()),
        Field("tags", lance_fmt.list_(lance_fmt.string()), nullable=False),
    ]
)

QUERIES_SCHEMA = Schema(
    [
        Field("text", lance_fmt.string(), nullable=False),
        Field("package", lance_fmt.string(), nullable=False),
        Field("vector", lance_fmt.vector(lance_fmt.float32(), DIMENSION), nullable=False),
    ]
)
