"""Logs a message every ten seconds while the process waits for something."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PERIOD_SECONDS = 10.0


@contextmanager
def announced(
    subject: str, log: Callable[[str], None] | None, *, period_seconds: float = PERIOD_SECONDS
) -> Iterator[None]:
    """During the block, log every `period_seconds` that the process waits for `subject`.

    Args:
        subject: a noun phrase, as in "the lock of another run".
        log: called in a background thread; None: nothing is logged.
    """
    if log is None:
        yield
        return
    ended = threading.Event()

    def log_periodically() -> None:
        periods = 0
        while not ended.wait(period_seconds):
            periods += 1
            log(f"waiting for {subject} ({periods * period_seconds:.0f} s)")

    thread = threading.Thread(target=log_periodically, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
