"""Load on a service from the begin of a block to its end, and what of it fell into some windows of time."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager

from components.gates import load
from components.gates.load import Load

CONNECTIONS = 32
LONGEST = 10.0  # seconds that a request may take


@contextmanager
def during(request: bytes, port: int) -> Iterator[list[Load]]:
    """Keep 32 connections busy; what came of it is in the list after the block."""
    end, found = threading.Event(), list[Load]()

    def run() -> None:
        found.append(load.run(request, port, connections=CONNECTIONS, seconds=3600, end=end))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield found
    finally:
        end.set()
        thread.join()


def within(load: Load, windows: list[tuple[float, float]]) -> list[float]:
    """Latencies of the requests that were on their way at any time in a window."""
    found: list[float] = []
    for begin, end in windows:
        for index in range(bisect_left(load.ends, begin), len(load.ends)):
            if load.ends[index] > end + LONGEST:
                break
            if load.ends[index] - load.latencies[index] < end:
                found.append(load.latencies[index])
    return found


def percentile(seconds: list[float], percent: int) -> float:
    """In milliseconds."""
    ordered = sorted(seconds)
    return 1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
