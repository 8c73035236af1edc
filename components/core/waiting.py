"""Nothing waits in silence: what is waited for is said after ten seconds, and again every ten seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PERIOD_SECONDS = 10.0


@contextmanager
def announced(
    subject: str, log: Callable[[str], None] | None, *, period_seconds: float = PERIOD_SECONDS
) -> Iterator[None]:
    """While the block lasts, `log` every `period_seconds` that `subject` is waited for; None says nothing.

    Args:
        subject: a noun, as in "the lock of another run".
        log: called from a thread of its own.
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
