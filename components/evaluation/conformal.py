"""Split conformal prediction: the quantile of the validation split's scores, and the coverage on the test split.

Legend: N samples, K classes, H steps ahead, C channels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.contracts.decision_spec import CONFORMAL_METHODS, ConformalSpec
from components.evaluation.validation_outputs import ValidationOutputs
from components.identity.answer_facts import ConformalFacts
from components.inference.postprocessing import prediction_set
from components.tasks import conformal_check

Real = NDArray[np.float64]
DIGITS = 6


def fit(spec: ConformalSpec, outputs: ValidationOutputs) -> ConformalFacts:
    """The quantiles of the validation split.

    Raises:
        UsageError: the method is not for such outputs, or the split has too few samples for the coverage.
    """
    known = CONFORMAL_METHODS[outputs.kind]
    method = known[0] if spec.method == "auto" else spec.method
    if method not in known:
        raise conformal_check.refused("serving.conformal.method", spec.method, f"auto, {', '.join(known)}")
    found = scores(method, outputs)  # (N, ...)
    conformal_check.check(spec, len(found))
    rank = spec.rank(len(found))
    quantiles = np.partition(found, rank - 1, axis=0)[rank - 1]  # (), or (H, C)
    return ConformalFacts.model_validate(
        {
            "method": method,
            "coverage": spec.coverage,
            "quantiles": [[float(quantiles)]] if quantiles.ndim == 0 else quantiles.tolist(),
            "samples": len(found),
        }
    )


def scores(method: str, outputs: ValidationOutputs) -> Real:
    """How little the truth fits the output: (N,), of forecasts (N, H, C)."""
    values, truth = outputs.values, outputs.truth
    if method == "absolute":
        return np.asarray(np.abs(values - truth))
    if method == "cqr":
        return np.asarray(np.maximum(values[..., 0] - truth, truth - values[..., 1]))
    own = values[np.arange(len(values)), truth]  # (N,)
    if method == "lac":
        return np.asarray(1 - own)
    order = np.argsort(-values, axis=1, kind="stable")  # (N, K)
    sums = np.cumsum(np.take_along_axis(values, order, axis=1), axis=1)
    return np.asarray(sums[np.arange(len(values)), (order == truth[:, None]).argmax(axis=1)])


def measured(facts: ConformalFacts, outputs: ValidationOutputs) -> ConformalFacts:
    """The facts with the coverage on another split, the test split, and the mean size of its sets or intervals."""
    values, truth = outputs.values, outputs.truth
    if outputs.kind == "classes":
        names = [str(number) for number in range(values.shape[1])]
        sets = [prediction_set(facts, dict(zip(names, row, strict=True))) for row in values.tolist()]
        inside = np.array([str(number) in found for number, found in zip(truth.tolist(), sets, strict=True)])
        size = float(np.mean([len(found) for found in sets]))
    else:
        widths = np.array(facts.quantiles)  # (1, 1), or (H, C)
        lower, upper = (values[..., 0], values[..., 1]) if outputs.kind == "forecast" else (values, values)
        width = widths if outputs.kind == "forecast" else widths[0, 0]
        inside = (truth >= lower - width) & (truth <= upper + width)
        size = float(np.mean(upper - lower + 2 * width))
    update = {"test_coverage": round(float(inside.mean()), DIGITS), "test_size": round(size, DIGITS)}
    return facts.model_copy(update=update)
