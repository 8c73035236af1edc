"""What a package gives for a split, beside the truth: what decisions and conformal quantiles are chosen by.

Legend: N samples, K classes, H steps ahead, C channels, Q quantiles.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from components.contracts.shapes import ClassesOutput, ForecastOutput, LabelsOutput, ValuesOutput
from components.core.errors import NotFiniteError
from components.evaluation import batched_prediction
from components.evaluation.scorer import PackagePredictor
from components.preprocessing.stored import StoredSplit

Real = NDArray[np.float64]


class ValidationOutputs(NamedTuple):
    """Outputs in the units of an answer.

    Args:
        kind: `classes`, `labels`, `value` or `forecast`.
        values: probabilities (N, K), numbers (N,), or the outermost quantiles of forecasts (N, H, C, 2).
        truth: int64 (N,), bool (N, K), (N,), or (N, H, C).
    """

    kind: str
    values: Real
    truth: NDArray[Any]


def collect(predictor: PackagePredictor, split: StoredSplit) -> ValidationOutputs:
    """The outputs of a package's graph for a split of the data that it was trained on.

    Raises:
        NotFiniteError: NaN or infinity among them.
    """
    spec = predictor.processor.output_spec()
    name, array = _NAMES[spec.kind]
    values, truth = list[Real](), list[NDArray[Any]]()
    order = list[NDArray[np.int64]]()
    for index, batch, outputs in batched_prediction.outputs(predictor, split, lambda _: None):
        found = outputs[name]
        if not np.isfinite(found).all():
            raise NotFiniteError("the answers are not finite", where="validation split")
        order.append(index)
        values.append(_in_units(found.astype(np.float64), spec, predictor.processor))
        truth.append(batch[array])
    places = np.argsort(np.concatenate(order))
    own = np.concatenate(truth)[places]
    if isinstance(spec, ValuesOutput):
        own = own[:, 0].astype(np.float64) * spec.std + spec.mean
    elif isinstance(spec, ForecastOutput):
        own = own.astype(np.float64) * np.asarray(cast(Any, predictor.processor).std) + np.asarray(
            cast(Any, predictor.processor).mean
        )
    return ValidationOutputs(spec.kind, np.concatenate(values)[places], own)


def _in_units(values: Real, spec: object, processor: object) -> Real:
    if isinstance(spec, ValuesOutput):
        return np.asarray(values[:, 0] * spec.std + spec.mean)
    if isinstance(spec, ForecastOutput):
        levels = np.sort(values, axis=-1)[..., [0, -1]]  # (N, H, C, 2), as the answer has them
        scale = cast(Any, processor)
        return np.asarray(levels * np.asarray(scale.std)[:, None] + np.asarray(scale.mean)[:, None])
    return values


_NAMES = {
    ClassesOutput.kind: ("probabilities", "labels"),
    LabelsOutput.kind: ("probabilities", "labels"),
    ValuesOutput.kind: ("value", "target"),
    ForecastOutput.kind: ("values", "future"),
}
