"""Predictions of a package for a split, in batches of samples of similar length.

Legend: N samples, B samples of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.core.errors import NotFiniteError
from components.evaluation.scorer import Arrays, PackagePredictor, ReportSamples
from components.preprocessing.stored import StoredSplit
from components.tasks.task import Prediction

BATCH = 256

Index = NDArray[np.int64]


def batches(split: StoredSplit, inputs: Sequence[str], size: int) -> Iterator[Index]:
    """Indices of all samples (B,), batch by batch; the shortest samples first if the lengths of an input differ."""
    ragged = [spec.name for spec in split.specs if spec.layout == "ragged" and spec.name in inputs]
    order = np.argsort(split.lengths(ragged[0]), kind="stable") if ragged else np.arange(len(split))
    for begin in range(0, len(order), size):
        yield order[begin : begin + size].astype(np.int64)


def outputs(
    predictor: PackagePredictor, split: StoredSplit, step: ReportSamples, size: int = BATCH, graph: str = "model"
) -> Iterator[tuple[Index, Arrays, Arrays]]:
    """For each batch: indices of the samples (B,), all their arrays, and the outputs of the graph, finite or not."""
    inputs = predictor.processor.inputs()
    for index in batches(split, inputs, size):
        batch = split.batch(index)
        yield index, batch, predictor.outputs(graph, {name: batch[name] for name in inputs})
        step(len(index))


def finite(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Rows (B,) of an output (B, ...) without NaN and infinity."""
    rows: NDArray[np.bool_] = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    return rows


def predictions(
    predictor: PackagePredictor,
    split: StoredSplit,
    step: ReportSamples,
    size: int = BATCH,
    names: Sequence[str] | None = None,
) -> Iterator[tuple[Index, Arrays, list[Prediction | None]]]:
    """Predictions as in the service; for each batch: indices of the samples (B,), their arrays, their predictions.

    A prediction is None if the model gives NaN or infinity.

    Args:
        names: arrays of the request; default: all inputs of the network.
    """
    inputs = predictor.processor.inputs() if names is None else names
    input_specs = [spec for spec in split.specs if spec.name in inputs]
    for index in batches(split, inputs, size):
        batch = split.batch(index)
        samples = []
        for row in range(len(index)):
            sample = {}
            for spec in input_specs:
                padded = batch[spec.name][row]
                sample[spec.name] = padded[: batch[f"{spec.name}_lengths"][row]] if spec.layout == "ragged" else padded
            samples.append(sample)
        yield index, batch, _predict(predictor, samples)
        step(len(index))


def _predict(predictor: PackagePredictor, samples: list[Arrays]) -> list[Prediction | None]:
    """Predictions of a batch; a NaN fails the whole batch, which is halved until the sample with the NaN is alone."""
    try:
        return [*predictor.answer(samples)]
    except NotFiniteError:
        if len(samples) == 1:
            return [None]
        half = len(samples) // 2
        return _predict(predictor, samples[:half]) + _predict(predictor, samples[half:])
