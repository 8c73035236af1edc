"""Processes that Linux has killed for lack of memory."""

from __future__ import annotations

from pathlib import Path

COUNTERS = Path("/proc/vmstat")


def count(counters: Path = COUNTERS) -> int | None:
    """How many since the machine has started; None where the system does not say."""
    try:
        lines = counters.read_text().splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith("oom_kill ")]
    return int(values[0]) if values else None


def have_grown(before: int | None, counters: Path = COUNTERS) -> bool:
    """Whether Linux has killed a process for lack of memory since `before`, a result of `count`."""
    now = count(counters)
    return before is not None and now is not None and now > before
