"""What a process does with memory that it frees."""

from __future__ import annotations

import ctypes
import os

# Parameters of glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_NEVER, _GROWTH, _NONE = -1, 64 << 20, 0


def keep() -> bool:
    """Let this process keep what it frees, until it ends, and return whether it will.

    On Linux, glibc maps every large block anew and hands it back when it is freed, so that each step of a
    training on a CPU has all its maps of features zeroed page by page by the kernel (`benchmarks/heap.py`
    says what that takes). Nothing that is computed changes. Other systems are left alone, and so is who chose
    for themselves, by `GLIBC_TUNABLES` or a variable `MALLOC_…_`.
    """
    if any(name == "GLIBC_TUNABLES" or name.startswith("MALLOC_") for name in os.environ):
        return False
    if os.name != "posix":
        return False  # there is no library of the process itself to ask
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_MMAP_MAX, _NONE), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _GROWTH))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)
