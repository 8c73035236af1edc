"""What the C library does with memory that a tensor gave back."""

from __future__ import annotations

import ctypes
import sys

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT = 2**31 - 1  # the most that mallopt takes


def keep_freed_memory() -> None:
    """Let this process keep what tensors give back, for the next ones, where the C library is glibc.

    By default glibc hands blocks of over 32 MiB (logits of a vocabulary, activations) back to the kernel, and the next
    step's come anew, page by page, zeroed (benchmarks/training_parts.py measures it). The process stays as large as it
    once was. Where there is no mallopt, nothing happens.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_MMAP_THRESHOLD, 2**30)
            mallopt(_TRIM_THRESHOLD, _KEPT)
