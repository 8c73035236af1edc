"""Weights of the classes in the loss."""

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
