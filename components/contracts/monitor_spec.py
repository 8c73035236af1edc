"""The section `monitor:` of a pipeline file: how what serves is watched."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from components.contracts.monitor_actions import ActionsSpec
from components.contracts.schedule_spec import ScheduleSpec
from components.core.strict import Strict

Window = Literal["hour", "day"]
Season = Literal["none", "day", "week"]


class MonitorLimits(Strict):
    """Limits of a single window, beside the statistics over time; none of them is set by default.

    Args:
        missed: largest share of the rows that may miss an expectation of the training data that one row can miss.
        psi: largest population stability index of a column.
        quality_drop: by how much the accuracy, estimated without labels, may be below the reference's.
        live_accuracy: least accuracy on labels that were told; a test over all of them says whether it is below.
    """

    missed: float | None = Field(default=None, ge=0, le=1)
    psi: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    quality_drop: float | None = Field(default=None, gt=0, le=1)
    live_accuracy: float | None = Field(default=None, gt=0, lt=1)


class MonitorSpec(Strict):
    """How the prediction log is judged.

    Args:
        window: what is judged at a time.
        false_alarms_per_month: how often, on average, an alarm may be raised though nothing has changed, over all
            columns and outputs together.
        min_rows: rows of a window from which it is compared; a smaller one is only counted.
        season: `day`: an hour is compared with the same hour of earlier days; `week`: with that of earlier weeks, a day
            with the same day of the week; `none`: windows are compared with the validation split and all earlier ones.
        leave_out: columns that are not compared, as the log names them: `raw.row.fnlwgt`, `output.label`.
        limits: of a single window, and of the accuracy on labels.
        schedule: when the log is judged and orders are carried out.
        actions: what follows from an alarm.
    """

    window: Window = "hour"
    false_alarms_per_month: float = Field(default=1.0, gt=0, le=31)
    min_rows: int = Field(default=30, ge=2)
    season: Season = Field(default="none", exclude_if=lambda season: season == "none")
    leave_out: list[str] = Field(default=[])
    limits: MonitorLimits = MonitorLimits()
    schedule: ScheduleSpec = ScheduleSpec(cron="10 * * * *")
    actions: ActionsSpec = ActionsSpec()

    @model_validator(mode="after")
    def _check_season(self) -> Self:
        if self.window == "day" and self.season == "day":
            raise ValueError("season day: windows of whole days have no hours; week is possible")
        return self
