"""Weights of the classes, and of the samples with a label, in the loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from components.contracts.train_spec import TrainSpec
from components.core.errors import UsageError

if TYPE_CHECKING:
    from components.training.prepared import Prepared


def class_weights(spec: TrainSpec, prepared: Prepared, balanced: Callable[[], Tensor]) -> Tensor | None:
    """The weights of the classes that a train spec asks for, float32 (K,); None for none.

    Args:
        prepared: has the names of the K classes.
        balanced: the weights of `class_weights: balanced`, from the data.

    Raises:
        UsageError: `class_weights` names an unknown class, or every class has the weight 0.
    """
    if isinstance(spec.class_weights, str):
        return balanced() if spec.class_weights == "balanced" else None
    return named_weights(spec.class_weights, prepared.classes)


def named_weights(weights: Mapping[str, float], classes: Sequence[str]) -> Tensor:
    """Weights by name of the class as float32 (K,), 1 for a class that is not named.

    Raises:
        UsageError: as of `class_weights`.
    """
    unknown = [name for name in weights if name not in classes]
    if unknown:
        raise UsageError(
            "class_weights names classes that the dataset has not",
            where="train.class_weights",
            got=", ".join(unknown),
            expected=f"{', '.join(list(classes)[:50])}{', ...' if len(classes) > 50 else ''}",
            next_step="correct the names in the pipeline",
        )
    values = torch.tensor([weights.get(name, 1.0) for name in classes], dtype=torch.float32)
    if not values.any():
        raise UsageError(
            "every class has the weight 0",
            where="train.class_weights",
            expected="a weight above 0 for one class at least",
            next_step="correct the weights in the pipeline",
        )
    return values


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
