"""Hand freed memory back to the system."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import lru_cache


def hand_back() -> None:
    """Return what was freed, where the C library keeps it (glibc); else do nothing.

    Arrays of ever new sizes leave gaps in the heap, and glibc hands back its end only:
    a process that holds no more than before would still grow for hours.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@lru_cache(maxsize=1)
def _trim() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):  # another C library
        return None
    return found
