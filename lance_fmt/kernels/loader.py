"""Hands out the compiled kernels, importing numba only when the first one is asked for.

Opening and inspecting a file never get here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache


@cache
def gather_bytes() -> Callable[..., None]:
    """`lance_fmt.kernels.gather.gather_bytes`."""
    from lance_fmt.kernels.gather import gather_bytes as function

    return function  # type: ignore[no-any-return]


@cache
def pack() -> Callable[..., None]:
    """`lance_fmt.kernels.bitpack.pack`."""
    from lance_fmt.kernels.bitpack import pack as function

    return function  # type: ignore[no-any-return]


@cache
def unpack() -> Callable[..., None]:
    """`lance_fmt.kernels.bitpack.unpack`."""
    from lance_fmt.kernels.bitpack import unpack as function

    return function  # type: ignore[no-any-return]
