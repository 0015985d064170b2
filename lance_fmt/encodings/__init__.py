"""How streams of values become bytes: one file for each encoding, all of them named in `ENCODINGS`."""

from __future__ import annotations

from lance_fmt.constants import StreamId
from lance_fmt.encodings.constant import Constant
from lance_fmt.encodings.plain import Plain
from lance_fmt.encodings.protocol import Encoding

__all__ = ["ENCODINGS", "Encoding"]

# In the order of their ids: where two would do equally well, the first is taken.
_ALL: tuple[Encoding, ...] = (Plain(), Constant())
ENCODINGS: dict[StreamId, Encoding] = {encoding.id: encoding for encoding in _ALL}
