"""The windows of a prediction log that are judged: its sealed hours, or its days."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow.parquet as pq

from components.contracts.monitor_spec import MonitorSpec, Window
from components.contracts.prediction_log import begin_of
from components.monitoring import sealing
from components.monitoring.sealing import SealedHour
from components.monitoring.upkeep_request import GRACE_SECONDS

SECONDS: dict[Window, float] = {"hour": 3600.0, "day": 86_400.0}
A_MONTH: dict[Window, float] = {"hour": 730.0, "day": 365 / 12}
MOST_COMPARED = 20_000  # rows of a window, spread evenly, that statistics are computed of
_DAY = len("2026-11-29")
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class LogWindow(NamedTuple):
    """What was answered in an hour or a day.

    Args:
        name: `2026-11-29T13`, or `2026-11-29`.
        begin: seconds since 1970.
        parts: its sealed hours, with what came late.
    """

    name: str
    begin: float
    parts: tuple[SealedHour, ...]

    @property
    def identity(self) -> list[list[object]]:
        """Names and sizes of the parts. Removed inputs change no part's identity, as nothing that is judged changes."""
        return [[part.name, part.manifest.facts["predictions"], part.manifest.facts["lines"]] for part in self.parts]

    def predictions(self) -> pd.DataFrame:
        """The rows of all parts, in the order of their times."""
        frames = [pq.read_table(part.folder / sealing.PREDICTIONS).to_pandas() for part in self.parts]
        frames = [frame for frame in frames if len(frame)] or frames[:1]
        table = pd.concat(frames, ignore_index=True)
        return table.sort_values(["time", "id", "index"], kind="stable", ignore_index=True)


def of_log(
    sealed: Sequence[SealedHour], kind: Window, since: str | None, until: str | None, now: float | None = None
) -> list[LogWindow]:
    """The windows that are over, in order.

    Args:
        since, until: the first and the last window, by name or by the begin of a name; None: all.
    """
    now = time.time() if now is None else now
    groups: dict[str, list[SealedHour]] = {}
    for part in sealed:
        hour = part.name.partition(".")[0]
        groups.setdefault(hour if kind == "hour" else hour[:_DAY], []).append(part)
    found = []
    for name, parts in sorted(groups.items()):
        begin = begin_of(name if kind == "hour" else f"{name}T00")
        is_over = begin + SECONDS[kind] + GRACE_SECONDS <= now
        is_asked = (since is None or name >= since) and (until is None or name[: len(until)] <= until)
        if is_over and is_asked:
            found.append(LogWindow(name, begin, tuple(sorted(parts, key=lambda part: part.name))))
    return found


def phase(name: str, spec: MonitorSpec) -> str | None:
    """The phase of the season that a window is in: `13:00`, `Mon`, `Mon 13:00`, in UTC; None without seasons."""
    if spec.season == "none":
        return None
    begin = datetime.fromtimestamp(begin_of(name if spec.window == "hour" else f"{name}T00"), UTC)
    weekday, hour = _WEEKDAYS[begin.weekday()], f"{begin:%H}:00"
    if spec.window == "day":
        return weekday
    return hour if spec.season == "day" else f"{weekday} {hour}"


def moment(begin: float) -> str:
    """A time as people read it."""
    return datetime.fromtimestamp(begin, UTC).strftime("%Y-%m-%d %H:%M UTC")


def truths(log: Path, sealed: Sequence[SealedHour]) -> list[dict[str, object]]:
    """All truths that were told, in sealed hours and in open ones."""
    from components.contracts.prediction_log import OPEN, hours
    from components.monitoring import log_reader

    found = [row for one in sealed for row in pq.read_table(one.folder / sealing.FEEDBACK).to_pylist()]
    for hour in hours(log / OPEN):
        found += log_reader.read(log / OPEN / hour).feedback.to_pylist()
    return found
