"""What twice as much would bring, from experiments whose law is known; when nothing can be told; which lever limits."""

from __future__ import annotations

import numpy as np
import pytest

from components.advice import error_scale, levers
from components.advice.levers import Observation
from components.contracts.advice import CURVES, Curve, Experiment

ACCURACY = error_scale.of("accuracy", higher_is_better=True)


def observation(curves: list[Curve], error: float, sampling: float = 1e-3, **changes: float | bool) -> Observation:
    facts = {"samples": 8000, "parameters": 10_000, "steps": 1.0, "seed": 0, "is_base": False, **changes}
    own = Experiment(name="x", curves=curves, trained="t", epochs=4, kept_epoch=4, seconds=1.0, **facts)  # type: ignore[arg-type]
    return Observation(own, error, sampling)


def experiments(data: float, model: float, time: float, floor: float = 0.02) -> list[Observation]:
    """Errors that fall with the given exponents down to a floor; the base has an error of 0.1."""
    rest = 0.1 - floor
    found = [observation(list(CURVES), 0.1, is_base=True)]
    for share in (1 / 8, 1 / 4, 1 / 2):
        found.append(observation(["data"], floor + rest * share**-data, samples=round(8000 * share)))
        found.append(observation(["model"], floor + rest * share**-model, parameters=round(10_000 * share)))
        found.append(observation(["time"], floor + rest * share**-time, steps=share))
    return found


@pytest.mark.parametrize(
    ("exponents", "verdict"),
    [((0.8, 0.02, 0.02), "data"), ((0.02, 0.8, 0.02), "model"), ((0.02, 0.02, 0.8), "compute")],
)
def test_the_lever_that_limits_is_named(exponents: tuple[float, float, float], verdict: str) -> None:
    observations = experiments(*exponents)
    forecasts = [levers.forecast(curve, observations, 0.01, ACCURACY) for curve in CURVES]
    probabilities = levers.verdict_probabilities(forecasts, observations[0].experiment)
    assert sum(probabilities.values()) == pytest.approx(1)
    assert max(probabilities, key=lambda name: probabilities[name]) == verdict
    assert probabilities[verdict] > 0.9
    truth = 1 - (0.02 + 0.08 * 2**-0.8)
    best = forecasts[["data", "model", "compute"].index(verdict)]
    assert best.predicted is not None
    assert best.gain is not None
    assert best.predicted.lower < truth < best.predicted.upper
    assert best.hindcast is not None
    assert best.hindcast.inside
    assert best.gain.value == pytest.approx(truth - 0.9, abs=0.006)


def test_flat_curves_are_at_their_ceiling_and_noisy_ones_tell_nothing() -> None:
    flat = [one._replace(error=0.1) for one in experiments(0, 0, 0)]
    forecasts = [levers.forecast(curve, flat, 0.0, ACCURACY) for curve in CURVES]
    assert levers.verdict_probabilities(forecasts, flat[0].experiment)["ceiling"] > 0.6
    noisy = [one._replace(sampling=0.05) for one in flat]
    forecasts = [levers.forecast(curve, noisy, 0.0, ACCURACY) for curve in CURVES]
    assert max(levers.verdict_probabilities(forecasts, flat[0].experiment).values()) < 0.5


def test_two_sizes_are_too_few() -> None:
    few = [one for one in experiments(0.5, 0.5, 0.5) if one.experiment.samples in (8000, 4000)]
    found = levers.forecast("data", few, None, ACCURACY)
    assert found.fitted is None
    assert found.reason == "2 sizes were measured; a law with three parameters needs 3"
    assert levers.verdict_probabilities([found], few[0].experiment) == {}


def test_the_noise_of_seeds_is_what_sampling_does_not_explain() -> None:
    rng = np.random.default_rng(0)
    pairs = [
        observation(["data"], float(0.1 * (1 + 0.2 * rng.normal())), 0.0, samples=size, seed=seed)
        for size in range(100, 300)
        for seed in (0, 1)
    ]
    assert levers.seed_noise(pairs) == pytest.approx(0.2, rel=0.15)
    assert levers.seed_noise([one._replace(sampling=0.1) for one in pairs]) == 0
    assert levers.seed_noise(pairs[::2]) is None


def test_errors_of_metrics() -> None:
    assert ACCURACY.error(0.9) == pytest.approx(0.1)
    assert ACCURACY.metric_value(-0.1) == 1
    bleu = error_scale.of("bleu", higher_is_better=True)
    assert (bleu.error(40), bleu.words()) == (60, "100 - bleu")
    perplexity = error_scale.of("perplexity", higher_is_better=False)
    assert perplexity.error(np.e) == pytest.approx(1)
    assert perplexity.metric_value(1) == pytest.approx(np.e)
    assert perplexity.deviation(0.5, 5) == pytest.approx(0.1)
    assert error_scale.of("mse", higher_is_better=False).error(0.3) == 0.3
