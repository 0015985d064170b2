"""How streams of values become bytes: one file for each encoding, all of them named in `ENCODINGS`."""

from __future__ import annotations

from lance_fmt.constants import StreamId
from lance_fmt.encodings.alp import Alp
from lance_fmt.encodings.bitpacked import BitPacked
from lance_fmt.encodings.byte_stream_split import ByteStreamSplit
from lance_fmt.encodings.constant import Constant
from lance_fmt.encodings.delta import Delta
from lance_fmt.encodings.dictionary import Dictionary
from lance_fmt.encodings.frame_of_reference import FrameOfReference
from lance_fmt.encodings.fsst import Fsst
from lance_fmt.encodings.plain import Plain
from lance_fmt.encodings.protocol import Encoding
from lance_fmt.encodings.run_length import RunLength
from lance_fmt.encodings.snappy import Snappy
from lance_fmt.encodings.varint import Varint
from lance_fmt.encodings.zstd import Zstd

__all__ = ["ENCODINGS", "Encoding"]

# In the order of their ids: where two would do equally well, the first is taken.
_ALL: tuple[Encoding, ...] = (
    Plain(),
    Constant(),
    BitPacked(),
    FrameOfReference(),
    Delta(),
    Varint(),
    RunLength(),
    Dictionary(),
    ByteStreamSplit(),
    Alp(),
    Fsst(),
    Snappy(),
    Zstd(),
)
ENCODINGS: dict[StreamId, Encoding] = {encoding.id: encoding for encoding in _ALL}
