"""Nothing waits in silence: what is waited for is said after ten seconds, and again every ten seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PERIOD_SECONDS = 10.0


@contextmanager
def announced(
    what: str, log: Callable[[str], None] | None, *, period_seconds: float = PERIOD_SECONDS
) -> Iterator[None]:
    """While the block lasts, `log` every `period_seconds` that `what` is waited for; None says nothing.

    Args:
        what: a noun, as in "the lock of another run".
        log: called from a thread of its own.
    """
    if log is None:
        yield
        return
    ended = threading.Event()

    def tell() -> None:
        periods = 0
        while not ended.wait(period_seconds):
            periods += 1
            log(f"waiting for {what} ({periods * period_seconds:.0f} s)")

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
