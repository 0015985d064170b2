"""Verification of whole databases and backups: what is damaged, where, and what can be done about it."""

from vego.verification.database import verify
from vego.verification.report import CollectionReport, Finding, VerifyReport

__all__ = ["CollectionReport", "Finding", "VerifyReport", "verify"]
