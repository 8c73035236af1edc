"""The process that carries releases out, seen from the controller."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time

from pydantic import ValidationError

from components.core import readable
from flows.releases.preemption import PREEMPT
from flows.releases.worker import Ending, Order

PREEMPT_SECONDS = 5.0  # for a release to end after a newer order, before its process is killed


class WorkerProcess:
    """A release worker, seen from the controller.

    It has a session of its own: a release goes on when the controller is killed; one that waits ends with its pipe.
    """

    def __init__(self) -> None:
        words = [sys.executable, "-m", "flows.releases.worker"]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._preempted_at: float | None = None
        self.orders = 0

    def give(self, order: Order) -> None:
        """Hand it an order."""
        assert self._process.stdin is not None  # noqa: S101  # a pipe
        self.orders += 1
        self._preempted_at = None
        self._process.stdin.write(order.model_dump_json() + "\n")
        self._process.stdin.flush()

    def ending(self) -> Ending | None:
        """How the order ended; None while it is carried out."""
        if not self.has_answered():
            return None
        assert self._process.stdout is not None  # noqa: S101  # a pipe
        line = self._process.stdout.readline()
        try:
            return Ending.model_validate_json(line)
        except ValidationError:
            if self._preempted_at is not None:  # it did not end by itself
                return Ending()
            return Ending(failure="the process that released it was killed or crashed")

    def has_answered(self) -> bool:
        """Whether its answer, or its end, can be read."""
        assert self._process.stdout is not None  # noqa: S101  # a pipe
        return bool(readable.wait([self._process.stdout], 0))

    def preempt(self) -> None:
        """End what it is doing; kill it where that takes too long."""
        now = time.monotonic()
        self._preempted_at = self._preempted_at or now
        if self.is_alive():
            self._process.send_signal(PREEMPT if now - self._preempted_at < PREEMPT_SECONDS else signal.SIGKILL)

    def is_alive(self) -> bool:
        """Whether it can be given another order."""
        return self._process.poll() is None

    def dismiss(self) -> None:
        """It ends once it has nothing to do."""
        assert self._process.stdin is not None  # noqa: S101  # a pipe
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
