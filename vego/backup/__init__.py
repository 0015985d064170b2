"""Backups: a copy of a whole database as of one moment, and the way back (docs/backup.md)."""

from vego.backup.record import BackupRecord, FileEntry, load_record
from vego.backup.restoring import RestoreReport, restore
from vego.backup.taking import BackupReport, Moment, moment_of, take_backup

__all__ = [
    "BackupRecord",
    "BackupReport",
    "FileEntry",
    "Moment",
    "RestoreReport",
    "load_record",
    "moment_of",
    "restore",
    "take_backup",
]
