"""What twice the data, the parameters or the steps would bring, from measured experiments; and the verdict.

The error of an experiment has two sources of noise beside its law: its own part of the sampling error (measurement.py),
and the seed. The seed's is estimated from experiments that differ in nothing else, as a share of the error: the mean
square of the relative differences, less the sampling error's part of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.advice import power_law
from components.advice.error_scale import ErrorScale
from components.advice.power_law import CredibleInterval, Point, PowerLaw
from components.contracts.advice import CURVES, Band, Curve, Estimate, Experiment, Hindcast, Law

DRAWS = 20_000
WORTH = 0.05  # a lever helps if twice as much takes away this share of the error or more
SURE = 0.5  # a verdict is given if its probability is above this one
_BAND_POINTS = 21
_VERDICTS: dict[Curve, str] = {"data": "data", "model": "model", "time": "compute"}


class Observation(NamedTuple):
    """An experiment with its error, and the standard deviation of the error's own sampling part."""

    experiment: Experiment
    error: float
    sampling: float


class Forecast(NamedTuple):
    """What a lever would bring, in units of the metric; `reason` instead of a law if the points allow none."""

    curve: Curve
    fitted: PowerLaw | None
    reason: str | None
    law: Law | None = None
    band: Band | None = None
    predicted: Estimate | None = None
    gain: Estimate | None = None
    share: Estimate | None = None
    hindcast: Hindcast | None = None


def seed_noise(observations: Sequence[Observation]) -> float | None:
    """The standard deviation between seeds as a share of the error; None without two seeds of one experiment."""
    squares, parts = [], []
    for first in observations:
        for second in observations:
            if _is_seed_pair(first.experiment, second.experiment):
                mean = max((first.error + second.error) / 2, 1e-12)
                squares.append(((first.error - second.error) / mean) ** 2 / 2)
                parts.append((first.sampling**2 + second.sampling**2) / (2 * mean**2))
    if not squares:
        return None
    return math.sqrt(max(0.0, float(np.mean(squares) - np.mean(parts))))


def _is_seed_pair(first: Experiment, second: Experiment) -> bool:
    same = (first.samples, first.parameters, first.steps) == (second.samples, second.parameters, second.steps)
    return same and first.seed < second.seed


def deviation(observation: Observation, noise: float | None) -> float:
    """The standard deviation of an observation around its law."""
    return float(max(np.hypot(observation.sampling, (noise or 0.0) * observation.error), 1e-9))


def forecast(
    curve: Curve, observations: Sequence[Observation], noise: float | None, scale: ErrorScale, factor: float = 2.0
) -> Forecast:
    """Fit the law of a curve, and predict a new training with `factor` times as much as the base.

    Args:
        observations: of all curves; that of the base is among them.
        noise: `seed_noise` of all observations.
    """
    own = [one for one in observations if curve in one.experiment.curves]
    base = next(one for one in observations if one.experiment.is_base)
    points = [Point(one.experiment.size(curve), one.error, deviation(one, noise)) for one in own]
    sizes = {point.size for point in points}
    if len(sizes) < power_law.MIN_POINTS:
        least = power_law.MIN_POINTS
        measured = "1 size was" if len(sizes) == 1 else f"{len(sizes)} sizes were"
        return Forecast(curve, None, f"{measured} measured; a law with three parameters needs {least}")
    if all(point.error <= 0 for point in points):
        return Forecast(curve, None, "no experiment makes an error on the validation split")
    law = power_law.fit(points)
    present = base.experiment.size(curve)
    new_noise = deviation(base, noise)
    gain = law.gain(present, factor)
    share = law.relative_gain(present, factor)
    here = law.predict(present).value
    return Forecast(
        curve=curve,
        fitted=law,
        reason=None,
        law=Law(floor=law.floor, scale=law.scale, exponent=law.exponent, birge=law.birge),
        band=_band(law, min(sizes), max(*sizes, factor * present), scale),
        predicted=_estimate(law.predict(factor * present, new_noise), scale),
        gain=_gain(gain, here, scale),
        share=Estimate(value=share.value, lower=share.lower, upper=share.upper),
        hindcast=hindcast(curve, own, noise, scale),
    )


def hindcast(
    curve: Curve, observations: Sequence[Observation], noise: float | None, scale: ErrorScale
) -> Hindcast | None:
    """Predict the observation of the largest size from those of smaller ones; None if these are of too few sizes."""
    ordered = sorted(observations, key=lambda one: one.experiment.size(curve))
    last = ordered[-1]
    smaller = [one for one in ordered if one.experiment.size(curve) < last.experiment.size(curve)]
    if len({one.experiment.size(curve) for one in smaller}) < power_law.MIN_POINTS:
        return None
    law = power_law.fit([Point(one.experiment.size(curve), one.error, deviation(one, noise)) for one in smaller])
    predicted = _estimate(law.predict(last.experiment.size(curve), deviation(smaller[-1], noise)), scale)
    measured = scale.metric_value(last.error)
    return Hindcast(predicted=predicted, measured=measured, inside=predicted.lower <= measured <= predicted.upper)


def verdict_probabilities(
    forecasts: Sequence[Forecast], base: Experiment, *, factor: float = 2.0, seed: int = 0
) -> dict[str, float]:
    """The probability that each lever is the best one and helps (`WORTH`), and that none does (`ceiling`)."""
    fitted = {one.curve: one.fitted for one in forecasts if one.fitted is not None}
    if not fitted:
        return {}
    rng = np.random.default_rng(seed)
    names = [curve for curve in CURVES if curve in fitted]
    shares: NDArray[np.float64] = np.stack(
        [fitted[curve].draw_relative_gains(rng, DRAWS, base.size(curve), factor) for curve in names]
    )  # (levers, draws)
    helps = shares.max(axis=0) >= WORTH
    best = shares.argmax(axis=0)
    found = {_VERDICTS[curve]: float((helps & (best == number)).mean()) for number, curve in enumerate(names)}
    return {**found, "ceiling": float((~helps).mean())}


def _band(law: PowerLaw, smallest: float, largest: float, scale: ErrorScale) -> Band:
    sizes = np.geomspace(smallest, largest, _BAND_POINTS)
    estimates = [_estimate(law.predict(float(size)), scale) for size in sizes]
    return Band(
        sizes=[float(size) for size in sizes],
        values=[one.value for one in estimates],
        lower=[one.lower for one in estimates],
        upper=[one.upper for one in estimates],
    )


def _estimate(error: CredibleInterval, scale: ErrorScale) -> Estimate:
    """An interval of the error as one of the metric, whose ends change places if higher is better."""
    ends = sorted((scale.metric_value(error.lower), scale.metric_value(error.upper)))
    return Estimate(value=scale.metric_value(error.value), lower=ends[0], upper=ends[1])


def _gain(error: CredibleInterval, present: float, scale: ErrorScale) -> Estimate:
    """What an error that is smaller by an interval gains in the metric; above 0 is better."""
    here = scale.metric_value(present)

    def of(share: float) -> float:
        return abs(scale.metric_value(present - share) - here) if share > 0 else 0.0

    return Estimate(value=of(error.value), lower=of(error.lower), upper=of(error.upper))
