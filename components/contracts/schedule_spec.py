"""When something runs by itself: a cron line and a time zone, as the sections `schedule:` and `score:` have them."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError
from pydantic import field_validator

from components.core.strict import Strict


class ScheduleSpec(Strict):
    """When the pipeline runs by itself: a cron line of five fields in an IANA time zone."""

    cron: str
    timezone: str = "UTC"

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, value: str) -> str:
        try:
            CronSim(value, datetime(2000, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            raise ValueError(f"not a cron line of five fields (minute hour day month weekday): {error}") from error
        return value

    @field_validator("timezone")
    @classmethod
    def _is_timezone(cls, value: str) -> str:
        if value not in zoneinfo.available_timezones():
            raise ValueError("not an IANA time zone such as UTC or Europe/Berlin")
        return value
