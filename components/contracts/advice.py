"""`modelyard advise`: what the flow requests of `components.advice`, and the document that comes of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from components.contracts import request_file
from components.contracts.comparison import Quality
from components.contracts.model_spec import ModelSpec
from components.contracts.train_spec import TrainSpec
from components.core.strict import Strict

Curve = Literal["data", "model", "time"]
CURVES: tuple[Curve, ...] = ("data", "model", "time")


class SizesRequest(Strict):
    """Count the parameters of models, and the operations of the first, without training them.

    Args:
        prepared, data_digest: folder and digest of the prepared dataset.
        models: that of the pipeline first.
        target: folder of the result, `sizes.json` (`ModelSizes`).
    """

    kind: Literal["sizes"] = "sizes"
    prepared: str
    data_digest: str
    models: list[ModelSpec]
    train: TrainSpec
    target: str


class CountedSteps(Strict):
    """As of `components.training.flops.StepCost`."""

    forward_flops: float | None
    samples: int
    steps_per_epoch: int


class ModelSizes(Strict):
    """`sizes.json`.

    Args:
        parameters: of each model; None where it cannot be built for the data.
        step_cost: of the first model; None where it cannot be built.
    """

    parameters: list[int | None]
    step_cost: CountedSteps | None


class Experiment(Strict):
    """One training of a piece of advice.

    Args:
        name: for people, such as `1/4 of the data`.
        curves: the curves that it is a point of; the training of the pipeline itself (`is_base`) is one of all.
        trained: folder of the sealed trained parts.
        samples: training samples that were learnt.
        steps: optimizer steps relative to the base.
        seconds: of the training loop; None if they were not recorded.
        memory_mb: the most memory of the training's process, in megabytes; None if it was not recorded.
    """

    name: str
    curves: list[Curve]
    is_base: bool = False
    seed: int
    trained: str
    samples: int
    parameters: int
    steps: float = Field(gt=0)
    epochs: int
    kept_epoch: int
    seconds: float | None
    memory_mb: float | None = None

    def size(self, curve: Curve) -> float:
        """The abscissa of the experiment on a curve."""
        return float({"data": self.samples, "model": self.parameters, "time": self.steps}[curve])


class ReportRequest(Strict):
    """Measure the experiments and write the advice; paths are relative to the working directory, the workspace.

    Args:
        prepared, data_digest: folder and digest of the prepared dataset.
        scoring: identity of the code that scores; figures of the same code are not computed again.
        known: folder of figures computed before.
        target: folder of the report, which is replaced.
        shortened: how the experiments' training was shortened to fit the time, in words; None: not.
        left_out: what was not trained, and why.
        candidates: parameters of the task's other models for this data, by name; None where one cannot be built.
        step_cost: of the pipeline's steps.
    """

    kind: Literal["report"] = "report"
    pipeline: str
    dataset: str
    prepared: str
    data_digest: str
    scoring: str
    known: str
    target: str
    shortened: str | None
    experiments: list[Experiment]
    left_out: dict[str, str]
    candidates: dict[str, int | None]
    step_cost: CountedSteps | None = None


AdviceStageRequest = Annotated[SizesRequest | ReportRequest, Field(discriminator="kind")]
_REQUEST: TypeAdapter[SizesRequest | ReportRequest] = TypeAdapter(AdviceStageRequest)


def read(arguments: list[str]) -> SizesRequest | ReportRequest:
    """The request in the file that the stage was called with.

    Raises:
        UsageError: not one argument, no such file, or it does not fit the contract.
    """
    return request_file.read(_REQUEST, arguments)


class Measurement(Experiment):
    """An experiment with its figure on the validation split.

    Args:
        quality: with its 95 % interval.
        deviation: standard deviation of the figure as a point of the curves, in units of the error (`Lever`).
    """

    quality: Quality
    deviation: float


class Estimate(Strict):
    """A value with a 90 % interval."""

    value: float
    lower: float
    upper: float


class Law(Strict):
    """error = floor + scale x^-exponent; `birge`: factor by which the points' deviations were enlarged."""

    floor: float
    scale: float
    exponent: float
    birge: float


class Band(Strict):
    """A fitted curve for drawing: sizes, and the metric with its 90 % interval at each."""

    sizes: list[float]
    values: list[float]
    lower: list[float]
    upper: list[float]


class Hindcast(Strict):
    """The metric at the largest measured size, predicted from the smaller ones, and as it was measured."""

    predicted: Estimate
    measured: float
    inside: bool


class Lever(Strict):
    """What twice the data, the parameters or the steps would bring.

    Args:
        law: None if the points do not allow a fit; `reason` says why.
        predicted: the metric of a new training with twice as much, on this validation split.
        gain: of the curve, in units of the metric; above 0 is better.
        share: the same as a share of the present error.
        hindcast: how well a law of the smaller sizes predicts the largest; None: too few sizes.
        measured: the metric of a training with about twice as much, where one was made.
        seconds, parameters, latency_ms, serves_bytes: of a model with twice as much; None: unknown.
        estimated: names of those costs that are estimates.
    """

    curve: Curve
    law: Law | None
    band: Band | None
    reason: str | None
    predicted: Estimate | None
    gain: Estimate | None
    share: Estimate | None
    hindcast: Hindcast | None
    measured: float | None
    seconds: float | None
    parameters: int
    latency_ms: float | None
    serves_bytes: float | None
    estimated: list[str]


class Advice(Strict):
    """`advice.json`.

    Args:
        metric, words: the task's first metric, and what it is.
        error: what the laws are fitted to, in words.
        verdict: `data`, `model`, `compute`, `ceiling` (none of them helps), or `unknown`.
        sentence: the verdict for people.
        probabilities: of each verdict but `unknown`, by the fits.
        train, validation: figures of the same metric at the kept epoch of the base, for the gap; None: not recorded.
        fit: `over`, `under` or `neither`; None without both figures.
        seed_noise: standard deviation between seeds as a share of the error; None: no two seeds of one size.
        baselines: the metric of answers without a network on the same split, by name.
        machines: the time of the training on this machine and on others, as text; what is an estimate says so.
    """

    pipeline: str
    dataset: str
    task: str
    metric: str
    words: str
    higher_is_better: bool
    error: str
    split: Literal["validation"] = "validation"
    samples: int
    interval: str
    shortened: str | None
    base: Measurement
    latency_ms: float
    serves_bytes: int
    measurements: list[Measurement]
    levers: list[Lever]
    verdict: Literal["data", "model", "compute", "ceiling", "unknown"]
    sentence: str
    probabilities: dict[str, float]
    gap_metric: str | None
    train: float | None
    validation: float | None
    fit: Literal["over", "under", "neither"] | None
    seed_noise: float | None
    baselines: dict[str, float]
    machines: dict[str, str]
    candidates: dict[str, int | None]
    left_out: dict[str, str]
