"""When the ranks of a training stop or write a checkpoint: all of them at the same batch.

Signals and clocks differ between processes. After every batch each rank posts its flags and reads those of the batch
before, which have arrived meanwhile, so that the loop does not wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from components.training.ranks import Ranks
from components.training.saver import SAVE_SECONDS, Saver


class Agreement:
    """The flags of all ranks.

    Args:
        stopping: whether this rank should stop.
    """

    def __init__(self, ranks: Ranks, stopping: Callable[[], bool]) -> None:
        self.ranks = ranks
        self._stopping = stopping
        self._pending: tuple[Any, Tensor] | None = None
        self.due: Callable[[], bool] = bool  # whether this rank would write a checkpoint now
        self.save_due = False

    def stopping(self) -> bool:
        """Whether some rank should have stopped one batch ago; called by every rank after every batch."""
        stop = self._read()
        self._pending = self.ranks.post_any([self._stopping(), self.ranks.first and self.due()])
        return stop

    def saved(self) -> None:
        """Forget what was posted before a checkpoint."""
        self._read()
        self.save_due = False

    def _read(self) -> bool:
        if self._pending is None:
            return False
        work, flags = self._pending
        self._pending = None
        work.wait()
        stop, self.save_due = (bool(flag) for flag in flags.tolist())
        return stop


class AgreedSaver(Saver):
    """A saver whose times are those of the first rank. Every rank calls `write`; the first one writes."""

    def __init__(self, write: Callable[[], None], agreement: Agreement, save_seconds: float = SAVE_SECONDS) -> None:
        super().__init__(write, save_seconds)
        self._agreement = agreement
        agreement.due = self.is_due

    def save(self) -> None:
        """Write now; called by every rank at the same batch."""
        super().save()
        self._agreement.saved()

    def due_within_epoch(self, now: float) -> bool:
        """Whether the last checkpoint of the first rank is too old, as of the last `Agreement.stopping`."""
        return self._agreement.save_due

    def due_after_epoch(self) -> bool:
        """As of the first rank."""
        ranks = self._agreement.ranks
        return ranks.any(ranks.first and super().due_after_epoch())
