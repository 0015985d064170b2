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
    SearchCancelledError,
    SearchStoppedError,
    SearchTimeoutError,
    StorageError,
    UnknownFieldError,
    UnknownOptionError,
    VegoError,
)

if TYPE_CHECKING:
    from vego.backup import BackupReport, RestoreReport, restore
    from vego.collection import Collection
    from vego.database import Database, Open, open
    from vego.document import Document
    from vego.hits import BatchResult, Hit, Hits
    from vego.index.compaction_report import CompactionReport
    from vego.index_report import IndexReport
    from vego.inputs import Outcome, Rejected
    from vego.planner import Plan
    from vego.query import Expr, field
    from vego.signals import close_on_sigterm
    from vego.table.partition import PartitionInfo
    from vego.table.versions import Version
    from vego.transaction import Transaction
    from vego.verification import Finding, VerifyReport, verify

__version__ = "0.2.0"

__all__ = [
    "BackupReport",
    "BatchResult",
    "ClosedError",
    "Collection",
    "CollectionNotFoundError",
    "CommitConflictError",
    "CommitUncertainError",
    "CompactionReport",
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
    "Finding",
    "Hit",
    "Hits",
    "IndexReport",
    "InvalidArgumentError",
    "InvalidIdError",
    "InvalidMetadataError",
    "InvalidVectorError",
    "NewerVersionError",
    "NotADatabaseError",
    "NotFoundError",
    "Open",
    "Outcome",
    "PartitionInfo",
    "Plan",
    "PoisonedError",
    "ReadOnlyError",
    "Rejected",
    "RestoreReport",
    "SearchCancelledError",
    "SearchStoppedError",
    "SearchTimeoutError",
    "StorageError",
    "Transaction",
    "UnknownFieldError",
    "UnknownOptionError",
    "VegoError",
    "VerifyReport",
    "Version",
    "__version__",
    "close_on_sigterm",
    "field",
    "open",
    "restore",
    "verify",
]

_HOMES = {
    "vego.backup": "BackupReport RestoreReport restore",
    "vego.collection": "Collection",
    "vego.database": "Database open Open",
    "vego.document": "Document",
    "vego.hits": "BatchResult Hit Hits",
    "vego.index.compaction_report": "CompactionReport",
    "vego.index_report": "IndexReport",
    "vego.inputs": "Outcome Rejected",
    "vego.planner": "Plan",
    "vego.query": "Expr field",
    "vego.signals": "close_on_sigterm",
    "vego.table.partition": "PartitionInfo",
    "vego.table.versions": "Version",
    "vego.transaction": "Transaction",
    "vego.verification": "Finding VerifyReport verify",
}
__getattr__, __dir__ = exports(__name__, __all__, _HOMES)
