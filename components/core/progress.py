"""Progress on stderr for work that takes more than two seconds: one updated line, or a line every few seconds."""

from __future__ import annotations

import sys
import time
from typing import Self

_QUIET_SECONDS = 2.0


class Progress:
    """Counts completed units and prints the progress: four times a second on a terminal, else every five seconds.

    Args:
        label: the activity, as in `decoding digits`.
        total: number of units; None if unknown.
        unit: name of the printed unit.
        scale: units per printed unit (1 000 000 to print bytes as MB).
    """

    def __init__(self, label: str, total: int | None, unit: str = "samples", scale: int = 1) -> None:
        self._label, self._total, self._unit, self._scale = label, total, unit, scale
        self._done = 0
        self._is_terminal = sys.stderr.isatty()
        self._started_at = self._printed_at = time.monotonic()
        self._has_printed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_printed:
            self._print(end="\n")

    def advance(self, count: int) -> None:
        """Add completed units."""
        self._done += count
        now = time.monotonic()
        if now - self._started_at >= _QUIET_SECONDS and (
            not self._has_printed or now - self._printed_at >= (0.25 if self._is_terminal else 5.0)
        ):
            self._printed_at = now
            self._print(end="" if self._is_terminal else "\n")

    def _print(self, end: str) -> None:
        self._has_printed = True
        seconds = max(time.monotonic() - self._started_at, 1e-9)
        total = "" if self._total is None else f" of {self._total // self._scale:,}"
        rate = self._done / self._scale / seconds
        time_left = ""
        if self._total is not None and 0 < self._done < self._total:
            time_left = f", {(self._total - self._done) / self._done * seconds:.0f} s left"
        line = f"{self._label}: {self._done // self._scale:,}{total} {self._unit}, {rate:,.0f}/s{time_left}"
        print(f"\r{line}\x1b[K" if self._is_terminal else line, end=end, file=sys.stderr, flush=True)
