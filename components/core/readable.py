"""Waits for file descriptors; `select.select` refuses those over 1,023, which a process with many connections has."""

from __future__ import annotations

import math
import select
from collections.abc import Iterable
from typing import Protocol


class _HasDescriptor(Protocol):
    def fileno(self) -> int: ...


def wait(descriptors: Iterable[int | _HasDescriptor], seconds: float | None) -> list[int]:
    """Wait until at least one can be read without blocking, or its other end is closed.

    Args:
        descriptors: descriptors, or what has one.
        seconds: the longest wait; 0 does not wait; None: no limit.

    Returns:
        The descriptors that can be read; none if the time is over.
    """
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN | select.POLLHUP)
    milliseconds = None if seconds is None else math.ceil(max(seconds, 0) * 1000)
    return [descriptor for descriptor, _ in poll.poll(milliseconds)]
