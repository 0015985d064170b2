"""How blocks of values become bytes: one file for each encoding, all of them named in `ENCODINGS`."""

from __future__ import annotations

from lance_fmt.constants import EncodingId
from lance_fmt.v1.bitpacked import BitPacked
from lance_fmt.v1.dictionary import Dictionary
from lance_fmt.v1.plain import Plain
from lance_fmt.v1.protocol import Encoded, Encoding
from lance_fmt.v1.zstd import Zstd

__all__ = ["ENCODINGS", "Encoded", "Encoding"]

ENCODINGS: dict[EncodingId, Encoding] = {
    EncodingId.PLAIN: Plain(),
    EncodingId.BITPACKED: BitPacked(),
    EncodingId.DICTIONARY: Dictionary(),
    EncodingId.ZSTD: Zstd(),
}
