"""The memory allocator, told to give freed arrays back."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

_M_ARENA_MAX = -8  # of glibc's malloc.h


def _c_library(name: str) -> Callable[..., int] | None:
    """A function of glibc, or None on systems without it."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def share_one() -> None:
    """Let all threads of this process share one heap.

    glibc gives every thread a heap of its own and keeps freed arrays where they came from, so that memory would creep
    with the number of blocks. The setting only counts for threads that start later.
    """
    mallopt = _c_library("mallopt")
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def return_freed() -> None:
    """Return freed arrays to the system after a round of blocks."""
    trim = _c_library("malloc_trim")
    if trim is not None:
        trim(0)


share_one()  # on import: the libraries that stages load start threads of their own
