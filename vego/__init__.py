"""Vego: an embedded-first vector database. `vego.open(path)` is where to start."""

from typing import TYPE_CHECKING

from lance_fmt.lazy import exports
from vego.errors import (
    ClosedError,
    CollectionNotFoundError,
    CommitConflictError,
    CommitUncertainError,
    CorruptionError,
    DatabaseError,
    DatabaseLockedError,
    DimensionMismatchError,
    DocumentNotFoundError,
    DuplicateIdError,
    FilterError,
    FilterSyntaxError,
    InvalidArgumentError,
    InvalidIdError,
    InvalidMetadataError,
    InvalidVectorError,
    NewerVersionError,
    NotADatabaseError,
    NotFoundError,
    PoisonedError,
    ReadOnlyError,
    StorageError,
    UnknownFieldError,
    UnknownOptionError,
    VegoError,
)

if TYPE_CHECKING:
    from vego.collection import Collection
    from vego.database import Database, Open, open
    from vego.document import Document
    from vego.hits import BatchResult, Hit, Hits
    from vego.planner import Plan
    from vego.query import Expr, field

__version__ = "0.2.0"

__all__ = [
    "BatchResult",
    "ClosedError",
    "Collection",
    "CollectionNotFoundError",
    "CommitConflictError",
    "CommitUncertainError",
    "CorruptionError",
    "Database",
    "DatabaseError",
    "DatabaseLockedError",
    "DimensionMismatchError",
    "Document",
    "DocumentNotFoundError",
    "DuplicateIdError",
    "Expr",
    "FilterError",
    "FilterSyntaxError",
    "Hit",
    "Hits",
    "InvalidArgumentError",
    "InvalidIdError",
    "InvalidMetadataError",
    "InvalidVectorError",
    "NewerVersionError",
    "NotADatabaseError",
    "NotFoundError",
    "Open",
    "Plan",
    "PoisonedError",
    "ReadOnlyError",
    "StorageError",
    "UnknownFieldError",
    "UnknownOptionError",
    "VegoError",
    "__version__",
    "field",
    "open",
]

_HOMES = {
    "vego.collection": "Collection",
    "vego.database": "Database open Open",
    "vego.document": "Document",
    "vego.hits": "BatchResult Hit Hits",
    "vego.planner": "Plan",
    "vego.query": "Expr field",
}
__getattr__, __dir__ = exports(__name__, __all__, _HOMES)
