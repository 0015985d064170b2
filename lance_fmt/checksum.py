"""CRC32C (Castagnoli, RFC 3720 appendix B.4), the only checksum of the format."""

from __future__ import annotations

from crc32c import crc32c as _crc32c


def crc32c(data: bytes | bytearray | memoryview, seed: int = 0) -> int:
    """CRC32C of the contiguous buffer `data`, continuing from `seed` (the CRC of the bytes before it)."""
    return int(_crc32c(data, seed))
