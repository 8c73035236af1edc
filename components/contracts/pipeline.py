"""What a user writes: `pipelines/<name>.yaml`, read into a `PipelineSpec`."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime
from typing import Literal, Self

from cronsim import CronSim, CronSimError
from pydantic import Field, field_validator, model_validator

from components.contracts.dataset import NAME
from components.contracts.model_spec import ModelSpec
from components.contracts.strict import Strict
from components.contracts.train_spec import TrainSpec


class FloorSpec(Strict):
    """The least value of a metric on the frozen test split with which a model may be registered."""

    min: float


class GatesSpec(Strict):
    """What a model must reach. Metrics are those of `evaluation`, on the frozen test split."""

    accuracy: FloorSpec | None = None
    macro_f1: FloorSpec | None = None


class ServingSpec(Strict):
    """How the bundle serves.

    Args:
        max_batch_size: most images in one request.
        max_request_megabytes: larger requests are refused with 413.
        max_image_megapixels: images of more pixels are refused before they are decoded.
        workers: processes of the service.
    """

    max_batch_size: int = Field(default=64, ge=1, le=4096)
    max_request_megabytes: int = Field(default=16, ge=1, le=1024)
    max_image_megapixels: float = Field(default=25.0, gt=0, le=1000)
    workers: int = Field(default=1, ge=1, le=64)


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


class PipelineSpec(Strict):
    """`pipelines/<name>.yaml`."""

    name: str = Field(pattern=NAME)
    task: Literal["image-classification"]
    dataset: str = Field(pattern=NAME)
    model: ModelSpec
    train: TrainSpec = TrainSpec()
    gates: GatesSpec = GatesSpec()
    serving: ServingSpec = ServingSpec()
    schedule: ScheduleSpec | None = None

    @model_validator(mode="after")
    def _name_is_free(self) -> Self:
        if self.name == "latest" or (self.name[:1] == "v" and self.name[1:].isdigit()):
            raise ValueError(f"name {self.name!r} is reserved by the registry")
        return self
