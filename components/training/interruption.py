"""Ctrl-C and SIGTERM as a question that the loop asks after each batch."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Self


class StopSignals:
    """Within the block, the first signal is only noted; a second one ends the process as it would without us."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def asked(self) -> bool:
        """Whether a signal came."""
        return self._asked

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._put_back()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        self._put_back()

    def _put_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
