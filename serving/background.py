"""A single low-priority background thread with a bounded queue; work is dropped when the queue is full."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

MAX_QUEUED = 16
MAX_QUEUED_BYTES = 32_000_000
# While requests are waiting, the thread sleeps 49 times as long as its work took: it uses at most a fiftieth of a CPU.
# A thread of low scheduling priority would hold the interpreter's lock while it waits for the CPU.
SLEEP_RATIO = 49
MAX_SLEEP_SECONDS = 5.0


class Background:
    """The queue and its thread, which starts with the first work and ends with this object."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "background")
        self._lock = threading.Lock()
        self._waiting = self._bytes = 0

    def is_full(self) -> bool:
        """Whether `offer` would drop work now."""
        return self._waiting >= MAX_QUEUED

    def offer(self, work: Callable[[], object], size: int, busy: Callable[[], bool]) -> bool:
        """Queue work, or return False because the queue is full.

        Args:
            size: bytes that the work keeps in memory until it is done.
            busy: whether requests are waiting now.
        """
        with self._lock:
            if self._waiting >= MAX_QUEUED or self._bytes + size > MAX_QUEUED_BYTES:
                return False
            self._waiting += 1
            self._bytes += size
        self._thread.submit(self._do, work, size, busy)
        return True

    def _do(self, work: Callable[[], object], size: int, busy: Callable[[], bool]) -> None:
        begin = time.perf_counter()
        try:
            work()
            if busy():
                time.sleep(min(MAX_SLEEP_SECONDS, SLEEP_RATIO * (time.perf_counter() - begin)))
        finally:
            with self._lock:
                self._waiting -= 1
                self._bytes -= size
