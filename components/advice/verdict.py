"""The verdict in words: what limits a pipeline, why nothing can be told, and whether a baseline is as good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.advice import levers
from components.advice.error_scale import ErrorScale
from components.advice.levers import Forecast
from components.advice.measurement import Figure
from components.contracts.advice import Curve

LEAST_SAMPLES = 30  # of validation; intervals of fewer are no measure of anything (a bootstrap of two has two values)
_WHAT = {"data": "the data", "model": "the model", "compute": "the training time"}
_TWICE: dict[Curve, str] = {"data": "twice the data", "model": "twice the parameters", "time": "twice the steps"}


def of(probabilities: Mapping[str, float]) -> Any:
    """The likeliest of the verdicts, or `unknown` if it is not likely enough."""
    likeliest = max(probabilities, key=lambda name: probabilities[name], default="unknown")
    return likeliest if probabilities.get(likeliest, 0.0) > levers.SURE else "unknown"


def beside(figure: Figure, baselines: Mapping[str, float], *, higher_is_better: bool) -> str:
    """A remark if the pipeline is no better than an answer without a network."""
    if not baselines:
        return ""
    sign = 1 if higher_is_better else -1
    best = max(baselines, key=lambda name: sign * baselines[name])
    value = figure.quality.value
    if sign * value > sign * baselines[best]:
        return ""
    return f" It is no better than a baseline: {value:.4f} beside {baselines[best]:.4f} of {best}."


def unresolved(figure: Figure, scale: ErrorScale) -> str | None:
    """Why nothing can be told if the base's error cannot be told from none on this validation split."""
    quality = figure.quality
    if figure.samples < LEAST_SAMPLES:
        return (
            f"It cannot be told what would help: {figure.samples} validation samples are too few; their interval says"
            f" little with fewer than {LEAST_SAMPLES}. A larger validation split would show differences."
        )
    if scale.top is not None and quality.value > scale.top:
        return f"It cannot be told what would help: the best value of {scale.metric} is not known, so its error is not."
    if scale.top is None or quality.upper < scale.top * (1 - 1e-9):
        return None
    return (
        f"It cannot be told what would help: the {figure.samples:,} validation samples cannot tell the error of"
        " this pipeline from none. A larger validation split would show differences."
    )


def sentence(verdict: str, probabilities: Mapping[str, float], forecasts: Sequence[Forecast]) -> str:
    """The verdict for people, with its probability."""
    unknown = [_TWICE[one.curve] for one in forecasts if one.fitted is None]
    too = f"; nothing is known of {' and '.join(unknown)}" if unknown else ""
    if not probabilities:
        reasons = "; ".join(f"{_TWICE[one.curve]}: {one.reason}" for one in forecasts)
        return f"It cannot be told what limits this pipeline: {reasons}."
    if verdict == "ceiling":
        return (
            f"At its ceiling ({probabilities[verdict]:.0%} likely): no lever takes away {levers.WORTH:.0%} of the"
            f" error; what is left is noise of the labels, or needs other inputs or another kind of model{too}."
        )
    if verdict == "unknown":
        shares = ", ".join(f"{name} {value:.0%}" for name, value in sorted(probabilities.items(), key=lambda o: -o[1]))
        return f"It cannot be told what limits this pipeline: {shares}; the experiments are too few or too noisy{too}."
    return f"Limited by {_WHAT[verdict]} ({probabilities[verdict]:.0%} likely){too}."
