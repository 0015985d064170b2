"""Packages whose public names are imported when they are first asked for (PEP 562), so that importing is light."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any


def exports(
    package: str, names: Sequence[str], homes: dict[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package; `homes` maps a module to the public names that live in it."""
    home = {name: module for module, found in homes.items() for name in found.split()}

    def get(name: str) -> Any:
        module = home.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(module), name)
        setattr(sys.modules[package], name, value)
        return value

    def listed() -> list[str]:
        return sorted({*names, *vars(sys.modules[package])})

    return get, listed
