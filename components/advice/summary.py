"""The advice as one document: every experiment, what each lever would bring and cost, and the verdict in words."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.advice import error_scale, levers, machines, measurement, verdict
from components.advice.error_scale import ErrorScale
from components.advice.levers import Forecast, Observation
from components.advice.measurement import Measured
from components.comparison.stage import serves_bytes
from components.contracts.advice import CURVES, Advice, Lever, Measurement, ReportRequest
from components.evaluation.baselines import Baseline
from components.tasks.task import Task

NEAR_TWICE = (1.6, 2.5)  # times the base: what counts as a measurement of twice as much
FEWER_STEPS = 0.9  # of the base's
OVERFIT = 2.0  # validation error over training error, from which on a model overfits
UNDERFIT = 1.1  # below it the training error is as large


def advice(
    request: ReportRequest,
    task: Task,
    measured: Sequence[Measured],
    latencies_ms: Mapping[str, float],
    baselines: Sequence[Baseline],
) -> Advice:
    """Put the advice together.

    Args:
        measured: the experiments; the base is among them.
        latencies_ms: of the base and of other sizes, by the name of the experiment.
        baselines: on the same split.
    """
    measured, undertrained = without_undertrained(measured)
    metric, spec = next(iter(task.metrics.items()))
    scale = error_scale.of(metric, higher_is_better=spec.higher_is_better)
    observations = _observations(measured, scale)
    noise = levers.seed_noise(observations)
    forecasts = [levers.forecast(curve, observations, noise, scale) for curve in CURVES]
    base = next(one for one in measured if one.experiment.is_base)
    probabilities = levers.verdict_probabilities(forecasts, base.experiment)
    known = {one.name: one.figures[metric] for one in baselines if metric in one.figures}
    unresolved = verdict.unresolved(base.figure, scale)
    limit: Any = "unknown" if unresolved else verdict.of(probabilities)
    told = unresolved or verdict.sentence(limit, probabilities, forecasts)
    gap = _gap(base)
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
        verdict=limit,
        sentence=told + verdict.beside(base.figure, known, higher_is_better=spec.higher_is_better),
        probabilities=probabilities,
        gap_metric=gap[0],
        train=gap[1],
        validation=gap[2],
        fit=_fit(*gap),
        seed_noise=noise,
        baselines=known,
        machines=machines.times(request, base.experiment.epochs, base.experiment.seconds),
        candidates=request.candidates,
        left_out={**request.left_out, **undertrained},
    )


def _observations(measured: Sequence[Measured], scale: ErrorScale) -> list[Observation]:
    """The error of each experiment, with the part of the sampling error that it does not share with the others."""
    figures = [one.figure for one in measured]
    errors = measurement.standard_errors(figures) * np.sqrt(measurement.own_shares(figures))
    return [
        Observation(
            one.experiment,
            scale.error(one.figure.quality.value),
            scale.deviation(float(error), one.figure.quality.value),
        )
        for one, error in zip(measured, errors, strict=True)
    ]


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


def without_undertrained(measured: Sequence[Measured]) -> tuple[list[Measured], dict[str, str]]:
    """Take parts of the data out of their curve that had fewer steps than the base and have not learnt their part yet.

    Their error is one of steps, too, and would make data look worth more than it is.

    Returns:
        All experiments, and the reason for each that is no point of the curve any more.
    """
    kept, reasons = [], {}
    for one in measured:
        experiment, (_, train, validation) = one.experiment, _gap(one)
        is_part = "data" in experiment.curves and not experiment.is_base and experiment.steps < FEWER_STEPS
        if is_part and _fit("loss", train, validation) == "under":
            reasons[experiment.name] = (
                f"no point of the law: with {experiment.steps:.0%} of the steps it has not learnt its part yet"
                f" (loss {train:.4f} on train, {validation:.4f} on validation)"
            )
            one = one._replace(experiment=experiment.model_copy(update={"curves": []}))
        kept.append(one)
    return kept, reasons


def _gap(measured: Measured) -> tuple[str | None, float | None, float | None]:
    """The loss on train and validation at the kept epoch; the train loss is that of the batches while they trained."""
    history = json.loads((measured.package.folder / "history.json").read_bytes())
    row: Mapping[str, float] = history["epochs"][measured.experiment.kept_epoch - 1]
    train, validation = row.get("train/loss"), row.get("validation/loss")
    if train is None or validation is None or not (math.isfinite(train) and math.isfinite(validation)):
        return None, None, None
    return "loss", train, validation


def _fit(_name: str | None, train: float | None, validation: float | None) -> Any:
    if train is None or validation is None or train <= 0:
        return None
    ratio = validation / train
    return "over" if ratio > OVERFIT else "under" if ratio < UNDERFIT else "neither"
