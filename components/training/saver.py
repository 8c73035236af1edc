"""When checkpoints are written: after an epoch, and every half a minute within a long epoch."""

from __future__ import annotations

import time
from collections.abc import Callable

SAVE_SECONDS = 30.0
LARGEST_SHARE = 0.02


class Saver:
    """Calls `write` when a checkpoint is due; after short epochs only so often that it takes 2 % of the time.

    Args:
        write: writes a checkpoint of the present state.
        save_seconds: longest time without a checkpoint.
    """

    def __init__(self, write: Callable[[], None], save_seconds: float = SAVE_SECONDS) -> None:
        self._write = write
        self._save_seconds = save_seconds
        self._saved = time.monotonic()
        self._cost = 0.0

    def save(self) -> None:
        """Write now."""
        begin = time.monotonic()
        self._write()
        self._saved = time.monotonic()
        self._cost = self._saved - begin

    def due_within_epoch(self, now: float) -> bool:
        """Whether the last checkpoint is too old; `now` is `time.monotonic()`."""
        return now - self._saved >= self._save_seconds

    def is_due(self) -> bool:
        """Whether the last checkpoint is too old now."""
        return time.monotonic() - self._saved >= self._save_seconds

    def after_epoch(self) -> None:
        """Write, unless the last checkpoint is so recent that writing would take more than its share of the time."""
        if self.due_after_epoch():
            self.save()

    def due_after_epoch(self) -> bool:
        """Whether writing would take no more than its share of the time."""
        return time.monotonic() - self._saved >= self._cost / LARGEST_SHARE
