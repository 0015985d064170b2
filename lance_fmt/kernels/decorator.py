"""The one numba decorator of both packages.

`error_model="numpy"` drops the division checks that stop vectorisation; explicit signatures are not used
because they refuse read-only arrays; `parallel=True` is not used because two Python threads under its
work queue abort the process. Importing this module imports numba, so only kernels do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

from lance_fmt.kernels.code_cache import cached

# Plain fastmath=True lets LLVM assume there is no NaN; these flags do not.
SAFE_FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}


def kernel(function: Callable[..., Any]) -> Any:
    """Compile on first call, cache on disk, run without the GIL; exact integer and float semantics."""
    return cached(njit(nogil=True, error_model="numpy")(function))


def distance_kernel(function: Callable[..., Any]) -> Any:
    """Like `kernel`, with floating-point sums that may be reordered."""
    return cached(njit(nogil=True, error_model="numpy", fastmath=SAFE_FASTMATH)(function))
