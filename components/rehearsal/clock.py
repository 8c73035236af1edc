"""The simulated time: hours from a Monday on, windows by name, and when the log is judged."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim

from components.contracts.monitor_spec import MonitorSpec, Window
from components.contracts.prediction_log import hour_of
from components.monitoring.upkeep_request import GRACE_SECONDS

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
HOUR_SECONDS = 3600.0
_DAY = len("2026-11-29")


class Clock(NamedTuple):
    """Hours of a rehearsal and their times.

    Args:
        begin: of hour 0, in UTC, a full hour.
        hours: of the rehearsal.
    """

    begin: datetime
    hours: int

    def seconds(self, hour: float) -> float:
        """The time of an hour, seconds since 1970."""
        return self.begin.timestamp() + hour * HOUR_SECONDS

    def hour(self, seconds: float) -> float:
        """Hours of the rehearsal until a time."""
        return (seconds - self.begin.timestamp()) / HOUR_SECONDS

    def window(self, hour: int, kind: Window) -> str:
        """The name of the window that an hour is in."""
        name = hour_of(self.seconds(hour))
        return name if kind == "hour" else name[:_DAY]

    def looks(self, spec: MonitorSpec) -> Iterator[tuple[int, float]]:
        """For each look at the log that finds a new hour to be over: how many hours are over, and the time.

        A look that finds none does nothing, and is left out.
        """
        over = 0
        for time in CronSim(spec.schedule.cron, self.begin.astimezone(ZoneInfo(spec.schedule.timezone))):
            done = int(self.hour(time.timestamp() - GRACE_SECONDS))
            if done > over:
                over = min(done, self.hours)
                yield over, time.timestamp()
            if over >= self.hours:
                return
