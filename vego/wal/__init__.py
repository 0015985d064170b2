"""The write-ahead log: operations that are not yet in a segment file."""

from vego.wal.format import SegmentEnd, SegmentHeader
from vego.wal.group import GroupCommit
from vego.wal.history import read_history
from vego.wal.log import Log, read_log, resume_log, sealed_copy, segment_numbers
from vego.wal.reader import Batch, WalContents, read_wal, salvage_wal
from vego.wal.record import Delete, Operation, Put, encode_deletes, encode_puts
from vego.wal.writer import WalWriter

__all__ = [
    "Batch",
    "Delete",
    "GroupCommit",
    "Log",
    "Operation",
    "Put",
    "SegmentEnd",
    "SegmentHeader",
    "WalContents",
    "WalWriter",
    "encode_deletes",
    "encode_puts",
    "read_history",
    "read_log",
    "read_wal",
    "resume_log",
    "salvage_wal",
    "sealed_copy",
    "segment_numbers",
]
