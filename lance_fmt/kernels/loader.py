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
def unpack() -> Callable[..., None]:
    """`lance_fmt.kernels.bitpack.unpack`."""
    from lance_fmt.kernels.bitpack import unpack as function

    return function  # type: ignore[no-any-return]


@cache
def prefix_numbers() -> Callable[..., None]:
    """`lance_fmt.kernels.prefixes.prefix_numbers`."""
    from lance_fmt.kernels.prefixes import prefix_numbers as function

    return function  # type: ignore[no-any-return]


@cache
def extreme_strings() -> Callable[..., bool]:
    """`lance_fmt.kernels.bounds.extreme_strings`."""
    from lance_fmt.kernels.bounds import extreme_strings as function

    return function  # type: ignore[no-any-return]


@cache
def offsets_of_indices() -> Callable[..., int]:
    """`lance_fmt.kernels.gather.offsets_of_indices`."""
    from lance_fmt.kernels.gather import offsets_of_indices as function

    return function  # type: ignore[no-any-return]


@cache
def code_numbers() -> Callable[..., int]:
    """`lance_fmt.kernels.distinct.code_numbers`."""
    from lance_fmt.kernels.distinct import code_numbers as function

    return function  # type: ignore[no-any-return]


@cache
def code_strings() -> Callable[..., int]:
    """`lance_fmt.kernels.distinct.code_strings`."""
    from lance_fmt.kernels.distinct import code_strings as function

    return function  # type: ignore[no-any-return]


@cache
def fsst_compress() -> Callable[..., int]:
    """`lance_fmt.kernels.fsst.compress`."""
    from lance_fmt.kernels.fsst import compress as function

    return function  # type: ignore[no-any-return]


@cache
def fsst_count() -> Callable[..., int]:
    """`lance_fmt.kernels.fsst.count_symbols`."""
    from lance_fmt.kernels.fsst import count_symbols as function

    return function  # type: ignore[no-any-return]


@cache
def fsst_decompress() -> Callable[..., int]:
    """`lance_fmt.kernels.fsst.decompress`."""
    from lance_fmt.kernels.fsst import decompress as function

    return function  # type: ignore[no-any-return]


@cache
def hash_strings() -> Callable[..., None]:
    """`lance_fmt.kernels.hashing.hash_strings`."""
    from lance_fmt.kernels.hashing import hash_strings as function

    return function  # type: ignore[no-any-return]


@cache
def hash_words() -> Callable[..., None]:
    """`lance_fmt.kernels.hashing.hash_words`."""
    from lance_fmt.kernels.hashing import hash_words as function

    return function  # type: ignore[no-any-return]


@cache
def fill_bloom() -> Callable[..., None]:
    """`lance_fmt.kernels.bloom.fill_bloom`."""
    from lance_fmt.kernels.bloom import fill_bloom as function

    return function  # type: ignore[no-any-return]


@cache
def find_entries() -> Callable[..., None]:
    """`lance_fmt.kernels.row_index.find_entries`."""
    from lance_fmt.kernels.row_index import find_entries as function

    return function  # type: ignore[no-any-return]


@cache
def take_numbers() -> Callable[..., int]:
    """`lance_fmt.kernels.gather.take_numbers`."""
    from lance_fmt.kernels.gather import take_numbers as function

    return function  # type: ignore[no-any-return]


@cache
def strings_between() -> Callable[..., None]:
    """`lance_fmt.kernels.compare.strings_between`."""
    from lance_fmt.kernels.compare import strings_between as function

    return function  # type: ignore[no-any-return]


@cache
def strings_in() -> Callable[..., None]:
    """`lance_fmt.kernels.compare.strings_in`."""
    from lance_fmt.kernels.compare import strings_in as function

    return function  # type: ignore[no-any-return]


@cache
def strings_with() -> Callable[..., None]:
    """`lance_fmt.kernels.compare.strings_with`."""
    from lance_fmt.kernels.compare import strings_with as function

    return function  # type: ignore[no-any-return]


@cache
def fsst_knows() -> Callable[..., bool]:
    """`lance_fmt.kernels.fsst.knows_codes`."""
    from lance_fmt.kernels.fsst import knows_codes as function

    return function  # type: ignore[no-any-return]


@cache
def unpack_rows() -> Callable[..., None]:
    """`lance_fmt.kernels.packing.unpack_rows`."""
    from lance_fmt.kernels.packing import unpack_rows as function

    return function  # type: ignore[no-any-return]


@cache
def match_rows() -> Callable[..., None]:
    """`lance_fmt.kernels.packing.match_rows`."""
    from lance_fmt.kernels.packing import match_rows as function

    return function  # type: ignore[no-any-return]


@cache
def pack_rows() -> Callable[..., None]:
    """`lance_fmt.kernels.packing.pack_rows`."""
    from lance_fmt.kernels.packing import pack_rows as function

    return function  # type: ignore[no-any-return]


@cache
def running_sum() -> Callable[..., None]:
    """`lance_fmt.kernels.sums.running_sum`."""
    from lance_fmt.kernels.sums import running_sum as function

    return function  # type: ignore[no-any-return]


@cache
def write_varints() -> Callable[..., int]:
    """`lance_fmt.kernels.varint.write_varints`."""
    from lance_fmt.kernels.varint import write_varints as function

    return function  # type: ignore[no-any-return]


@cache
def read_varints() -> Callable[..., int]:
    """`lance_fmt.kernels.varint.read_varints`."""
    from lance_fmt.kernels.varint import read_varints as function

    return function  # type: ignore[no-any-return]


@cache
def expand_runs() -> Callable[..., bool]:
    """`lance_fmt.kernels.runs.expand_runs`."""
    from lance_fmt.kernels.runs import expand_runs as function

    return function  # type: ignore[no-any-return]


@cache
def join_planes(count: int) -> Callable[..., None]:
    """`join2`, `join4` or `join8` of `lance_fmt.kernels.planes`, for `count` planes."""
    from lance_fmt.kernels import planes

    return {2: planes.join2, 4: planes.join4, 8: planes.join8}[count]  # type: ignore[no-any-return]


@cache
def find_exponents() -> Callable[..., int]:
    """`lance_fmt.kernels.alp.find_exponents`."""
    from lance_fmt.kernels.alp import find_exponents as function

    return function  # type: ignore[no-any-return]


@cache
def encode_decimals() -> Callable[..., int]:
    """`lance_fmt.kernels.alp.encode_decimals`."""
    from lance_fmt.kernels.alp import encode_decimals as function

    return function  # type: ignore[no-any-return]


@cache
def decode_decimals() -> Callable[..., None]:
    """`lance_fmt.kernels.alp.decode_decimals`."""
    from lance_fmt.kernels.alp import decode_decimals as function

    return function  # type: ignore[no-any-return]


@cache
def is_utf8() -> Callable[..., bool]:
    """`lance_fmt.kernels.utf8.is_utf8`."""
    from lance_fmt.kernels.utf8 import is_utf8 as function

    return function  # type: ignore[no-any-return]


@cache
def put_exceptions() -> Callable[..., bool]:
    """`lance_fmt.kernels.alp.put_exceptions`."""
    from lance_fmt.kernels.alp import put_exceptions as function

    return function  # type: ignore[no-any-return]


@cache
def byte_plane() -> Callable[..., None]:
    """`lance_fmt.kernels.planes.byte_plane`."""
    from lance_fmt.kernels.planes import byte_plane as function

    return function  # type: ignore[no-any-return]


@cache
def spread_values() -> Callable[..., None]:
    """`lance_fmt.kernels.spreading.spread_values`."""
    from lance_fmt.kernels.spreading import spread_values as function

    return function  # type: ignore[no-any-return]


@cache
def spread_offsets() -> Callable[..., None]:
    """`lance_fmt.kernels.spreading.spread_offsets`."""
    from lance_fmt.kernels.spreading import spread_offsets as function

    return function  # type: ignore[no-any-return]


@cache
def unpack_blocks() -> Callable[..., int]:
    """`lance_fmt.kernels.block_runs.unpack_blocks`."""
    from lance_fmt.kernels.block_runs import unpack_blocks as function

    return function  # type: ignore[no-any-return]


@cache
def unpack_runs() -> Callable[..., int]:
    """`lance_fmt.kernels.block_runs.unpack_runs`."""
    from lance_fmt.kernels.block_runs import unpack_runs as function

    return function  # type: ignore[no-any-return]
