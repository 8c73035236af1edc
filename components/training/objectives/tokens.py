"""Cross entropy over the tokens of padded batches, for token classification, language models and translation.

Legend: N batch, T length, V vocabulary or number of classes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from components.training.objectives.objective import StepResult

IGNORED = -100


def mask_padding(truth: Tensor, lengths: Tensor) -> Tensor:
    """Numbers (N, T) with `IGNORED` after the end of each sample."""
    places = torch.arange(truth.shape[1], device=truth.device)  # (T,)
    return truth.masked_fill(places >= lengths[:, None], IGNORED)


def token_step(logits: Tensor, truth: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> StepResult:
    """Mean cross entropy (nats) of the tokens that are not ignored, and the number of correct ones.

    Args:
        logits: (N, T, V).
        truth: int64 (N, T), or `IGNORED`.
        weights: (V,), as in torch's `cross_entropy`.
    """
    flat = truth.flatten()  # (N T,)
    counts = flat != IGNORED
    counted = counts.sum()
    rows = logits.flatten(0, 1).float()  # (N T, V)
    loss_sum = functional.cross_entropy(
        rows, flat, weight=weights, label_smoothing=smoothing, ignore_index=IGNORED, reduction="sum"
    )
    weight = counted if weights is None else weights[flat[counts]].sum()
    correct = ((rows.detach().argmax(dim=1) == flat) & counts).sum()
    mean = loss_sum / torch.clamp(weight, min=1e-9 if weights is not None else 1)
    return StepResult(mean, correct, counted, weight=weight)
