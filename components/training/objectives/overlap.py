"""F1 and intersection over union of classes over a validation split, from sums over batches.

Legend: R rows (samples or pixels), K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def class_sums(answers: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Rows of each class that are rightly answered, answered and true, float64 (3 K,).

    Args:
        answers, truth: int64 (R,), numbers of classes.
    """
    right = torch.where(answers == truth, truth, classes)
    counts = [torch.bincount(rows, minlength=classes + 1)[:classes] for rows in (right, answers, truth)]
    return torch.cat(counts).double()


def label_sums(answers: Tensor, truth: Tensor) -> Tensor:
    """The same for flags, bool (R, K) each: a row has any number of labels."""
    return torch.cat([(answers & truth).sum(dim=0), answers.sum(dim=0), truth.sum(dim=0)]).double()


def macro_f1(totals: Sequence[float]) -> float:
    """Mean F1 of the classes that occur in the truth or in the answers (scikit-learn's `average="macro"`)."""
    right, answered, true = torch.tensor(totals, dtype=torch.float64).view(3, -1).unbind()
    return _mean(2 * right, answered + true)


def mean_iou(totals: Sequence[float]) -> float:
    """Mean intersection over union of the classes that occur in the truth or in the answers."""
    right, answered, true = torch.tensor(totals, dtype=torch.float64).view(3, -1).unbind()
    return _mean(right, answered + true - right)


def _mean(part: Tensor, whole: Tensor) -> float:
    occurs = whole > 0
    return float((part[occurs] / whole[occurs]).mean()) if bool(occurs.any()) else 0.0
