"""The advice as one document: every experiment, what each lever would bring and cost, and the verdict in words."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.advice import error_scale, levers, machines, measurement
from components.advice.error_scale import ErrorScale
from components.advice.levers import Forecast, Observation
from components.advice.measurement import Measured
from components.comparison.stage import serves_bytes
from components.contracts.advice import CURVES, Advice, Curve, Lever, Measurement, ReportRequest
from components.tasks.task import Task

NEAR_TWICE = (1.6, 2.5)  # times the base: what counts as a measurement of twice as much
OVERFIT = 2.0  # validation error over training error, from which on a model overfits
UNDERFIT = 1.1  # below it the training error is as large
_WHAT = {"data": "the data", "model": "the model", "compute": "the training time"}
_TWICE: dict[Curve, str] = {"data": "twice the data", "model": "twice the parameters", "time": "twice the steps"}


def advice(
    request: ReportRequest, task: Task, measured: Sequence[Measured], latencies_ms: Mapping[str, float]
) -> Advice:
    """Put the advice together.

    Args:
        measured: the experiments; the base is among them.
        latencies_ms: of the base and of other sizes, by the name of the experiment.
    """
    metric, spec = next(iter(task.metrics.items()))
    scale = error_scale.of(metric, higher_is_better=spec.higher_is_better)
    figures = [one.figure for one in measured]
    errors = measurement.standard_errors(figures) * np.sqrt(measurement.own_shares(figures))
    observations = [
        Observation(
            one.experiment,
            scale.error(one.figure.quality.value),
            scale.deviation(float(error), one.figure.quality.value),
        )
        for one, error in zip(measured, errors, strict=True)
    ]
    noise = levers.seed_noise(observations)
    forecasts = [levers.forecast(curve, observations, noise, scale) for curve in CURVES]
    base = next(one for one in measured if one.experiment.is_base)
    probabilities = levers.verdict_probabilities(forecasts, base.experiment)
    unresolved = _unresolved(base, scale)
    verdict: Any = "unknown" if unresolved else _verdict(probabilities)
    history = json.loads((base.package.folder / "history.json").read_bytes())
    gap = _gap(history["epochs"], base.experiment.kept_epoch)
    return Advice(
        pipeline=request.pipeline,
        dataset=request.dataset,
        task=task.name,
        metric=metric,
        words=spec.description,
        higher_is_better=spec.higher_is_better,
        error=scale.words(),
        samples=base.figure.samples,
        interval=base.figure.method,
        shortened=request.shortened,
        base=_measurement(base, observations, noise),
        latency_ms=latencies_ms[base.experiment.name],
        serves_bytes=serves_bytes(base.package),
        measurements=[_measurement(one, observations, noise) for one in measured],
        levers=[_lever(one, base, measured, latencies_ms) for one in forecasts],
        verdict=verdict,
        sentence=unresolved or sentence(verdict, probabilities, forecasts),
        probabilities=probabilities,
        gap_metric=gap[0],
        train=gap[1],
        validation=gap[2],
        fit=_fit(*gap),
        seed_noise=noise,
        machines=machines.times(request, base.experiment.epochs, base.experiment.seconds),
        candidates=request.candidates,
        left_out=request.left_out,
    )


def _verdict(probabilities: Mapping[str, float]) -> Any:
    likeliest = max(probabilities, key=lambda name: probabilities[name], default="unknown")
    return likeliest if probabilities.get(likeliest, 0.0) > levers.SURE else "unknown"


def _unresolved(base: Measured, scale: ErrorScale) -> str | None:
    """Why nothing can be told if the base's error cannot be told from none on this validation split."""
    quality = base.figure.quality
    if scale.top is None or quality.upper < scale.top * (1 - 1e-9):
        return None
    return (
        f"It cannot be told what would help: the {base.figure.samples:,} validation samples cannot tell the error of"
        " this pipeline from none. A larger validation split would show differences."
    )


def sentence(verdict: str, probabilities: Mapping[str, float], forecasts: Sequence[Forecast]) -> str:
    """The verdict for people, with its probability."""
    unknown = [_TWICE[one.curve] for one in forecasts if one.fitted is None]
    beside = f"; nothing is known of {' and '.join(unknown)}" if unknown else ""
    if not probabilities:
        reasons = "; ".join(f"{_TWICE[one.curve]}: {one.reason}" for one in forecasts)
        return f"It cannot be told what limits this pipeline: {reasons}."
    if verdict == "ceiling":
        return (
            f"At its ceiling ({probabilities[verdict]:.0%} likely): no lever takes away {levers.WORTH:.0%} of the"
            f" error; what is left is noise of the labels, or needs other inputs or another kind of model{beside}."
        )
    if verdict == "unknown":
        shares = ", ".join(f"{name} {value:.0%}" for name, value in sorted(probabilities.items(), key=lambda o: -o[1]))
        return (
            f"It cannot be told what limits this pipeline: {shares}; the experiments are too few or too noisy{beside}."
        )
    return f"Limited by {_WHAT[verdict]} ({probabilities[verdict]:.0%} likely){beside}."


def _measurement(one: Measured, observations: Sequence[Observation], noise: float | None) -> Measurement:
    own = next(other for other in observations if other.experiment is one.experiment)
    return Measurement(
        **one.experiment.model_dump(), quality=one.figure.quality, deviation=levers.deviation(own, noise)
    )


def _lever(
    forecast: Forecast, base: Measured, measured: Sequence[Measured], latencies_ms: Mapping[str, float]
) -> Lever:
    curve, present = forecast.curve, base.experiment.size(forecast.curve)
    twice = [
        one
        for one in measured
        if curve in one.experiment.curves and NEAR_TWICE[0] <= one.experiment.size(curve) / present <= NEAR_TWICE[1]
    ]
    real = twice[0] if twice else None
    seconds, parameters = base.experiment.seconds, base.experiment.parameters
    latency, size, estimated = latencies_ms[base.experiment.name], float(serves_bytes(base.package)), []
    if curve == "model":
        parameters, size = 2 * parameters, 2 * size
        estimated = ["serves_bytes"]
        if real is not None and real.experiment.seconds is not None:
            seconds, latency = real.experiment.seconds, latencies_ms.get(real.experiment.name, 2 * latency)
            parameters, size, estimated = real.experiment.parameters, float(serves_bytes(real.package)), []
        else:
            seconds, latency = None if seconds is None else 2 * seconds, 2 * latency
            estimated += ["seconds", "latency_ms"]
    if curve == "time" and seconds is not None:
        seconds, estimated = 2 * seconds, ["seconds"]
    return Lever(
        curve=curve,
        law=forecast.law,
        band=forecast.band,
        reason=forecast.reason,
        predicted=forecast.predicted,
        gain=forecast.gain,
        share=forecast.share,
        hindcast=forecast.hindcast,
        measured=None if real is None else real.figure.quality.value,
        seconds=seconds,
        parameters=parameters,
        latency_ms=latency,
        serves_bytes=size,
        estimated=estimated,
    )


def _gap(epochs: Sequence[Mapping[str, float]], kept_epoch: int) -> tuple[str | None, float | None, float | None]:
    """The loss on train and validation at the kept epoch; the train loss is that of the batches while they trained."""
    row = epochs[kept_epoch - 1]
    train, validation = row.get("train/loss"), row.get("validation/loss")
    if train is None or validation is None or not (math.isfinite(train) and math.isfinite(validation)):
        return None, None, None
    return "loss", train, validation


def _fit(_name: str | None, train: float | None, validation: float | None) -> Any:
    if train is None or validation is None or train <= 0:
        return None
    ratio = validation / train
    return "over" if ratio > OVERFIT else "under" if ratio < UNDERFIT else "neither"
