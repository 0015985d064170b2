"""Packages that only some users have, and the error where one is missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lance_fmt.errors import FormatError


class MissingPackageError(FormatError, ImportError):
    """A package that is not installed; the message says how to install it."""


def need(module: str, extra: str) -> Any:
    """The imported `module`; raises MissingPackageError naming the extra of this project that brings it."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingPackageError(
            f"this needs {package}, which cannot be imported ({error}): pip install 'vego[{extra}]'"
        ) from error
