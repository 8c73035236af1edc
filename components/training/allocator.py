"""Settings of glibc's memory allocator."""

from __future__ import annotations

import ctypes
import sys

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT = 2**31 - 1  # the largest value of mallopt


def keep_freed_memory() -> None:
    """Keep freed memory in this process for later allocations; without glibc's mallopt, do nothing.

    By default glibc returns freed blocks of over 32 MiB (logits of a vocabulary, activations) to the kernel, and the
    next step allocates them page by page, zeroed (benchmarks/training_parts.py measures the cost). With this setting
    the process does not shrink.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_MMAP_THRESHOLD, 2**30)
            mallopt(_TRIM_THRESHOLD, _KEPT)
