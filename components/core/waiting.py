"""What a process does every few seconds while it waits for something."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from components.core.log import Log

PERIOD_SECONDS = 10.0


@contextmanager
def periodically(call: Callable[[], None], period_seconds: float) -> Iterator[None]:
    """During the block, call a function every `period_seconds` in a background thread."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(period_seconds):
            call()

    thread = threading.Thread(target=repeat, name="periodically", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def announced(subject: str, log: Log | None, *, period_seconds: float = PERIOD_SECONDS) -> Iterator[None]:
    """During the block, log every `period_seconds` that the process waits for `subject`.

    Args:
        subject: a noun phrase, as in "the lock of another run".
        log: called in a background thread; None: nothing is logged.
    """
    if log is None:
        yield
        return
    periods = 0

    def announce() -> None:
        nonlocal periods
        periods += 1
        log(f"waiting for {subject} ({periods * period_seconds:.0f} s)")

    with periodically(announce, period_seconds):
        yield
