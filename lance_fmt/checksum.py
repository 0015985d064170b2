"""CRC32C (Castagnoli, RFC 3720 appendix B.4), the only checksum of the format."""

from __future__ import annotations

from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import Protocol


def _native() -> Checksum:
    """The function of the package crc32c, from its extension module alone where that can be found.

    The package itself looks up its own version among all that is installed, which takes longer than to open a file.
    """
    package = PathFinder.find_spec("crc32c")
    places = None if package is None else package.submodule_search_locations
    extension = None if places is None else PathFinder.find_spec("crc32c._crc32c", places)
    if extension is None or extension.loader is None:
        from crc32c import crc32c as found
    else:
        module = module_from_spec(extension)
        extension.loader.exec_module(module)
        found = module.crc32c
    native: Checksum = found
    return native


class Checksum(Protocol):
    """A checksum of bytes."""

    def __call__(self, data: bytes | bytearray | memoryview, seed: int = 0, /) -> int:
        """CRC32C of the contiguous buffer `data`, continuing from `seed` (the CRC of the bytes before it)."""


crc32c: Checksum = _native()
