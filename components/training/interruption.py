"""Ctrl-C and SIGTERM as a flag that the training loop checks after each batch."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Self


class StopSignals:
    """A context in which the first signal sets a flag; a second signal has its usual effect."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self._received = False
        self.number = int(signal.SIGINT)  # of the signal that was received
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def received(self) -> bool:
        """Whether a signal was received."""
        return self._received

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._restore_handlers()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received = True
        self.number = number
        self._restore_handlers()

    def _restore_handlers(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
