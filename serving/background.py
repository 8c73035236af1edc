"""One thread for work that nobody waits for: little of it waits, and it leaves the processor to those who are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

MOST_WAITING = 16
MOST_BYTES = 32_000_000
# While others are busy, work rests so many times as long as it took: a fiftieth of a processor at most. A thread of
# lower priority would not do: it holds the interpreter's lock while it waits for its turn.
REST = 49
LONGEST_REST_SECONDS = 5.0


class Background:
    """Takes work while there is room; the thread is started by the first and ends with this object."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "background")
        self._lock = threading.Lock()
        self._waiting = self._bytes = 0

    def is_full(self) -> bool:
        """Whether an offer would be turned down now."""
        return self._waiting >= MOST_WAITING

    def offer(self, work: Callable[[], object], size: int, busy: Callable[[], bool]) -> bool:
        """Have work done some time, or say that there is no room.

        Args:
            size: bytes that it holds until then.
            busy: whether somebody is waiting for other work now.
        """
        with self._lock:
            if self._waiting >= MOST_WAITING or self._bytes + size > MOST_BYTES:
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
                time.sleep(min(LONGEST_REST_SECONDS, REST * (time.perf_counter() - begin)))
        finally:
            with self._lock:
                self._waiting -= 1
                self._bytes -= size
