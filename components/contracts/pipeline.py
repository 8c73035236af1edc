"""What a user writes: `pipelines/<name>.yaml`, read into a `PipelineSpec`."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from components.contracts.budget_spec import BudgetSpec
from components.contracts.dataset import NAME, TASK
from components.contracts.decision_spec import ConformalSpec, DecisionSpec
from components.contracts.model_spec import ModelSpec
from components.contracts.monitor_spec import MonitorSpec
from components.contracts.prediction_log import LogSpec
from components.contracts.row_expectations import Enforce
from components.contracts.runner_spec import DaskSpec, RunSpec
from components.contracts.schedule_spec import ScheduleSpec as ScheduleSpec
from components.contracts.score_spec import ScoreSpec
from components.contracts.selection import SelectionSpec
from components.contracts.serving_spec import ChallengerLimits, Device, RolloutPolicy
from components.contracts.track_spec import TrackSpec
from components.contracts.train_spec import TrainSpec
from components.contracts.tune_spec import TuneSpec
from components.core.strict import Strict


class FloorSpec(Strict):
    """What a metric must reach on the frozen test split: `min`, or `max` where lower is better.

    Args:
        min, max: overall; a model that misses it is not even registered.
        slice_min: least value in every slice (class); asked when a version is released.
    """

    min: float | None = Field(default=None, allow_inf_nan=False)
    max: float | None = Field(default=None, allow_inf_nan=False)
    slice_min: float | None = Field(default=None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.min is None) == (self.max is None):
            raise ValueError("give either min: (higher is better) or max: (lower is better)")
        if self.slice_min is not None and self.min is None:
            raise ValueError("slice_min goes with min")
        return self

    def met(self, figure: float) -> bool:
        """Whether a figure reaches it; what is no number does not."""
        return figure >= self.min if self.min is not None else self.max is not None and figure <= self.max


class ChampionSpec(Strict):
    """A candidate against what serves, sample by sample on the same frozen test split.

    Args:
        metric: one of the task's metrics; None: its first.
        min_effect: the least gain, in the metric's own units: how much better the candidate is (candidate minus
            champion; champion minus candidate where lower is better). Above 0 it must be better by that much; below 0
            it may be worse by less than that (non-inferiority).
        confidence: with which the gain must be above `min_effect`; 1 - confidence is the rate of false passes.
    """

    metric: str | None = None
    min_effect: float = Field(default=-0.01, allow_inf_nan=False)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)


class ParitySpec(Strict):
    """The golden examples through the bundle's HTTP endpoint against the training process's own outputs.

    Args:
        tolerance: largest absolute difference of a number of an answer, such as a probability.
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

    Every other key is a metric of the task (`accuracy`, `bleu`, `mse`, ...) with its floor.

    Args:
        beats_baseline: whether a version must be better than every baseline (the commonest class, a linear model) to be
            released; by default a release says whether it is.
        selection: of a version that `modelyard tune` chose: how far the test split may have been read before.
        champion: on by default; `null` turns it off.
        latency, manual: only where they are set.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, FloorSpec | None]

    selection: SelectionSpec = Field(default=SelectionSpec(), exclude_if=lambda spec: spec == SelectionSpec())
    beats_baseline: bool = Field(default=False, exclude_if=lambda demanded: not demanded)
    champion: ChampionSpec | None = ChampionSpec()
    parity: ParitySpec = ParitySpec()
    latency: LatencySpec | None = None
    manual: ManualSpec | None = None

    @property
    def floors(self) -> dict[str, FloorSpec]:
        """The floors that are set, by metric."""
        return {metric: floor for metric, floor in self.__pydantic_extra__.items() if floor is not None}


class ReleaseSpec(Strict):
    """How production follows the aliases. Changes of it make no new bundle.

    Args:
        canary_percent: share of the requests that a challenger answers; 0: it shadows.
        watch_seconds: how long a new champion is watched before its release is done; it goes back if it fails more
            than `max_error_rate` of its requests.
        grace_seconds: after the alias champion was taken away, before the service stops.
        max_error_rate, max_latency_ratio, min_requests: limits of a challenger (see `serving_spec.ChallengerLimits`).
    """

    canary_percent: float = Field(default=0.0, ge=0, le=100)
    watch_seconds: float = Field(default=5.0, ge=0, le=86_400)
    grace_seconds: float = Field(default=30.0, ge=0, le=86_400)
    max_error_rate: float = Field(default=0.02, ge=0, le=1)
    max_latency_ratio: float = Field(default=5.0, gt=0)
    min_requests: int = Field(default=20, ge=1)

    def policy(self) -> RolloutPolicy:
        """The policy under which a challenger runs."""
        limits = ChallengerLimits(
            max_error_rate=self.max_error_rate,
            max_latency_ratio=self.max_latency_ratio,
            min_requests=self.min_requests,
        )
        return RolloutPolicy(canary_percent=self.canary_percent, limits=limits)


def _optional(default: Any, **limits: Any) -> Any:
    """A field that is left out of dumps at its default, so that it changes no key of a bundle that does not use it."""
    return Field(default=default, exclude_if=lambda value: value == default, **limits)


class ServingOptions(Strict):
    """How the bundle serves.

    Args:
        max_batch_size: most samples in one request.
        max_request_megabytes: larger requests are refused with 413.
        max_image_megapixels: images of more pixels are refused before they are decoded; a JPEG file may have up to
            eight times as many, if it can be decoded at a part of its size.
        workers: processes of the service.
        threads: onnxruntime's threads within one call of a graph.
        batch_size: most samples that are computed together, of several requests; None: max_batch_size. `modelyard
            tune-serving` measures it, as well as workers and threads.
        max_queue: requests that may wait for a processor before new ones get 429.
        timeout_seconds: requests that are not begun by then get 504.
        device: `cuda`: only onnxruntime's CUDA provider; `auto`: that, where there is one, else the processor.
        gpu_memory_mb: most memory that onnxruntime takes on the GPU, for each process and graph; None: no limit.
        quantize: `int8`: evaluation makes int8 graphs, and the package has them if they are as good (see
            components/evaluation/quantization.py).
        quantize_max_loss: the most that the task's first metric may lose on the test split by int8: absolute where
            higher is better, else relative to the float model's figure.
        conformal: answers with a set of classes or an interval of a stated coverage; None: without.
        log: what the service logs of its answers.
        enforce: what becomes of a request that misses an expectation of the training data: `reject`: it gets 422,
            `flag`: it is answered, and the answer says so, `none`: nothing.
    """

    max_batch_size: int = Field(default=64, ge=1, le=4096)
    max_request_megabytes: int = Field(default=16, ge=1, le=1024)
    max_image_megapixels: float = Field(default=25.0, gt=0, le=1000)
    workers: int = Field(default=1, ge=1, le=64)
    threads: int = _optional(1, ge=1, le=256)
    batch_size: int | None = _optional(None, ge=1, le=4096)
    max_queue: int = _optional(256, ge=1, le=100_000)
    timeout_seconds: float = _optional(60.0, gt=0, le=3600)
    device: Device = _optional("auto")
    gpu_memory_mb: int | None = _optional(None, ge=64)
    quantize: Literal["none", "int8"] = _optional("none")
    quantize_max_loss: float = _optional(0.005, ge=0, lt=1)
    conformal: ConformalSpec | None = _optional(None)
    log: LogSpec = _optional(LogSpec())
    enforce: Enforce = _optional("none")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.quantize == "int8" and self.device == "cuda":
            raise ValueError("quantize: int8 is for processors; onnxruntime's CUDA provider has no int8 kernels for it")
        if self.gpu_memory_mb is not None and self.device == "cpu":
            raise ValueError("gpu_memory_mb does nothing with device: cpu")
        return self


class PipelineSpec(Strict):
    """`pipelines/<name>.yaml`. Whether it fits its task, components.tasks.compatibility says.

    Args:
        task: one of ours, or `package.module:NAME`.
        run: which engines run its stages; what it does not name is as in modelyard.toml. It changes no fingerprint.
    """

    name: str = Field(pattern=NAME)
    task: str = Field(pattern=TASK)
    dataset: str = Field(pattern=NAME)
    model: ModelSpec
    train: TrainSpec = TrainSpec()
    decision: DecisionSpec | None = Field(default=None, exclude_if=lambda decision: decision is None)
    gates: GatesSpec = GatesSpec()
    budget: BudgetSpec | None = Field(default=None, exclude_if=lambda budget: budget is None)
    serving: ServingOptions = ServingOptions()
    release: ReleaseSpec = ReleaseSpec()
    track: TrackSpec | None = Field(default=None, exclude_if=lambda track: track is None)
    run: RunSpec = Field(default=RunSpec(), exclude_if=lambda run: run == RunSpec())
    schedule: ScheduleSpec | None = None
    monitor: MonitorSpec | None = Field(default=None, exclude_if=lambda section: section is None)
    score: ScoreSpec | None = Field(default=None, exclude_if=lambda section: section is None)
    tune: TuneSpec | None = Field(default=None, exclude_if=lambda section: section is None)

    @model_validator(mode="after")
    def _scores_in_one_place(self) -> Self:
        if self.score is not None and self.score.processes is not None and isinstance(self.run.score, DaskSpec):
            raise ValueError("score.processes are of this machine, run.score names a Dask cluster: name one of them")
        return self

    @model_validator(mode="after")
    def _name_is_free(self) -> Self:
        if self.name == "latest" or (self.name[:1] == "v" and self.name[1:].isdigit()):
            raise ValueError(f"name {self.name!r} is reserved by the registry")
        return self
