"""Weights of the classes, and of the samples with a label, in the loss."""

from __future__ import annotations

import torch
from torch import Tensor


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """n / (K count): each class has the same total weight (King and Zeng 2001; scikit-learn's `balanced`).

    Args:
        labels: int64 (n,).
        classes: number of classes K.

    Returns:
        float32 (K,); 0 for a class without samples.
    """
    counts = torch.bincount(labels, minlength=classes).to(torch.float64)  # (K,)
    weights = labels.numel() / (classes * counts)
    return torch.where(counts > 0, weights, 0.0).to(torch.float32)


def positive_weights(labels: Tensor) -> Tensor:
    """(n - count) / count: the samples with a label and those without it have the same total weight in its loss.

    Args:
        labels: bool (n, K), whether a sample has a label.

    Returns:
        float32 (K,), weights of the samples with the label; 1 for a label that no sample or every sample has.
    """
    counts = labels.sum(dim=0).to(torch.float64)  # (K,)
    weights = (len(labels) - counts) / counts
    return torch.where((counts > 0) & (counts < len(labels)), weights, 1.0).to(torch.float32)
