"""Weights of samples in the loss of a training batch.

Legend: N batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from components.contracts.array_spec import SAMPLE_WEIGHTS
from components.training.batches import Batch


def sample_weights(batch: Batch) -> Tensor | None:
    """The weights (N,) of the samples of a batch; None if the dataset has none."""
    return batch.get(SAMPLE_WEIGHTS.name)


def weighted_mean(losses: Tensor, weights: Tensor, denominators: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """sum(w loss) / sum(w d), and its denominator; 0 if every weight of the batch is 0.

    Args:
        losses: (N,) of the samples.
        weights: w, (N,).
        denominators: d, (N,): the weights of the samples' classes, by which `losses` are multiplied already; default 1.
    """
    total = (weights if denominators is None else weights * denominators).sum()
    return (weights * losses).sum() / torch.where(total > 0, total, 1.0), total
