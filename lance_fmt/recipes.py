"""How pages are encoded, in words, out of the indexes of many pages at once (FORMAT.md, "Page index")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lance_fmt.constants import BoundsForm, EncodingId
from lance_fmt.pieces import Pieces, read_pieces
from lance_fmt.source import ReadAt

_U32 = np.dtype("<u4")
_ENCODINGS = {int(code): code.name.lower() for code in EncodingId}

Array = np.ndarray[Any, Any]


def recipe_codes(source: ReadAt, handles: Array) -> tuple[Array, list[str]]:
    """A number for each page handle, int64, into a list of recipes such as "dictionary(bitpacked)".

    0 is "?", for pages whose index does not match its checksum or has no such text.
    """
    where = handles["index_offset"].astype(np.int64), handles["index_length"].astype(np.int64)
    pieces = read_pieces(source, *where)
    known = {"?": 0}
    codes = np.zeros(len(handles), np.int64)
    intact = pieces.intact(handles["index_crc"].tolist())
    streams = intact & (handles["encoding"] == EncodingId.STREAMS)
    texts: dict[bytes, int] = {}
    for page, raw in _texts(pieces, np.flatnonzero(streams), handles["nulls"] > 0):
        code = texts.get(raw)
        if code is None:
            code = texts[raw] = known.setdefault(_decoded(raw), len(known))
        codes[page] = code
    for page in np.flatnonzero(intact & ~streams).tolist():
        encoding = int(handles["encoding"][page])
        name = _ENCODINGS.get(encoding, f"encoding {encoding}")
        codes[page] = known.setdefault(name, len(known))
    return codes, list(known)


def _texts(pieces: Pieces, pages: Array, has_nulls: Array) -> Iterator[tuple[int, bytes]]:
    """The text in the index of each of these pages that has one."""
    stops = pieces.starts + pieces.sizes
    at = pieces.starts.copy()
    pages = pages[at[pages] + 4 <= stops[pages]]
    blocks = np.zeros(len(at), np.int64)
    blocks[pages] = pieces.take(_U32, at[pages])
    at[pages] += 8 + np.where(has_nulls[pages], 16, 12) * blocks[pages]
    pages = pages[at[pages] + 4 <= stops[pages]]
    form = pieces.take(_U32, at[pages])
    each = np.where(form == BoundsForm.FLOAT, 21, np.where(form != 0, 17, 0))
    at[pages] += 4 + each * blocks[pages]
    pages = pages[at[pages] + 4 <= stops[pages]]
    begin = at[pages] + 4
    end = np.minimum(begin + pieces.take(_U32, at[pages]), stops[pages])
    raw = pieces.data.tobytes()
    for page, start, stop in zip(pages.tolist(), begin.tolist(), end.tolist(), strict=True):
        yield page, raw[start:stop]


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8") or "?"
    except UnicodeDecodeError:
        return "?"
