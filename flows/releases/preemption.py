"""A newer order ends what a release is doing: a signal becomes an exception in the main thread, where that may be.

SIGUSR1, since Prefect takes SIGTERM for itself while a flow runs.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

PREEMPT = signal.SIGUSR1

_state = {"preemptible": False}


class Preempted(BaseException):
    """A newer order has come. Like KeyboardInterrupt no `Exception`: what waits or retries must not catch it."""


def install() -> None:
    """Let the signal preempt the release that this process carries out; outside of one it is ignored."""
    signal.signal(PREEMPT, _on_signal)


@contextmanager
def preemptible() -> Iterator[None]:
    """A block that the signal ends with `Preempted`."""
    _state["preemptible"] = True
    try:
        yield
    finally:
        _state["preemptible"] = False


def _on_signal(number: int, frame: FrameType | None) -> None:
    if _state["preemptible"]:
        _state["preemptible"] = False  # once: what follows is the way out
        raise Preempted
