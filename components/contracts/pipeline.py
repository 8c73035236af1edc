"""What a user writes: `pipelines/<name>.yaml`, read into a `PipelineSpec`."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime
from typing import Literal, Self

from cronsim import CronSim, CronSimError
from pydantic import Field, field_validator, model_validator

from components.contracts.dataset import NAME
from components.contracts.model_spec import ModelSpec
from components.contracts.serving_order import Limits, Terms
from components.contracts.strict import Strict
from components.contracts.train_spec import TrainSpec


class FloorSpec(Strict):
    """Least values of a metric on the frozen test split.

    Args:
        min: overall; below it a model is not even registered.
        slice_min: in every slice (class); asked when a version is released.
    """

    min: float
    slice_min: float | None = None


class ChampionSpec(Strict):
    """A candidate against what serves, sample by sample on the same frozen test split.

    Args:
        min_effect: the least difference (candidate minus champion) in the metric, as a share. Above 0 it must be
            better by that much; below 0 it may be worse by less than that (non-inferiority).
        confidence: with which the difference must be above `min_effect`; 1 - confidence is the rate of false passes.
    """

    metric: Literal["accuracy", "macro_f1"] = "accuracy"
    min_effect: float = Field(default=-0.01, gt=-1, lt=1)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)


class ParitySpec(Strict):
    """The golden examples through the bundle's HTTP endpoint against the training process's own outputs.

    Args:
        tolerance: largest absolute difference of a probability.
    """

    tolerance: float = Field(default=1e-4, gt=0, lt=1)


class LatencySpec(Strict):
    """Time to answer one golden example over HTTP, measured beside the champion's in the same minute.

    Args:
        p99_ms: budget of the 99th percentile.
        max_ratio: the most against the champion's p99; None: not compared.
        connections: kept busy all the time: the stated load.
        seconds: how long it is measured.
    """

    p99_ms: float = Field(gt=0)
    max_ratio: float | None = Field(default=None, gt=0)
    connections: int = Field(default=4, ge=1, le=1024)
    seconds: float = Field(default=2.0, gt=0, le=600)


class ManualSpec(Strict):
    """A person approves in the Prefect UI; no answer within the time is a refusal."""

    timeout_minutes: float = Field(default=60, gt=0, le=60 * 24 * 14)


class GatesSpec(Strict):
    """What a model must reach: the floors to be registered, all of it to be released.

    Args:
        champion: on by default; `null` turns it off.
        latency, manual: only where they are set.
    """

    accuracy: FloorSpec | None = None
    macro_f1: FloorSpec | None = None
    champion: ChampionSpec | None = ChampionSpec()
    parity: ParitySpec = ParitySpec()
    latency: LatencySpec | None = None
    manual: ManualSpec | None = None

    @property
    def floors(self) -> dict[str, FloorSpec]:
        """The floors that are set, by metric."""
        named = {"accuracy": self.accuracy, "macro_f1": self.macro_f1}
        return {metric: floor for metric, floor in named.items() if floor is not None}


class ReleaseSpec(Strict):
    """How production follows the aliases. Changes of it make no new bundle.

    Args:
        canary_percent: share of the requests that a challenger answers; 0: it shadows.
        watch_seconds: how long a new champion is watched before its release is done; it goes back if it fails more
            than `max_error_rate` of its requests.
        grace_seconds: after the alias champion was taken away, before the service stops.
        max_error_rate, max_latency_ratio, min_requests: limits of a challenger (see `serving_order.Limits`).
    """

    canary_percent: float = Field(default=0.0, ge=0, le=100)
    watch_seconds: float = Field(default=5.0, ge=0, le=86_400)
    grace_seconds: float = Field(default=30.0, ge=0, le=86_400)
    max_error_rate: float = Field(default=0.02, ge=0, le=1)
    max_latency_ratio: float = Field(default=5.0, gt=0)
    min_requests: int = Field(default=20, ge=1)

    def terms(self) -> Terms:
        """What a challenger gets and may do."""
        limits = Limits(
            max_error_rate=self.max_error_rate,
            max_latency_ratio=self.max_latency_ratio,
            min_requests=self.min_requests,
        )
        return Terms(canary_percent=self.canary_percent, limits=limits)


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
    release: ReleaseSpec = ReleaseSpec()
    schedule: ScheduleSpec | None = None

    @model_validator(mode="after")
    def _name_is_free(self) -> Self:
        if self.name == "latest" or (self.name[:1] == "v" and self.name[1:].isdigit()):
            raise ValueError(f"name {self.name!r} is reserved by the registry")
        return self
