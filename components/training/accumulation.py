"""Gradients of a batch that is computed in parts: their sum is the gradient of the mean loss of the whole batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from components.training.batches import Batch
from components.training.objectives.objective import StepResult


def parts(batch: Batch, steps: int, smallest: int | None = None) -> Iterator[Batch]:
    """The batch in `steps` parts, whose sizes differ by at most one; fewer if a part would have a single sample.

    Batch normalisation needs two samples.

    Args:
        batch: tensors (N, ...).
        smallest: samples of the smallest share of the batch among several ranks, which all have as many parts; default:
            N.
    """
    samples = len(next(iter(batch.values()))) if smallest is None else smallest
    pieces = max(1, min(steps, samples // 2))
    split = {name: tensor.tensor_split(pieces) for name, tensor in batch.items()}
    for number in range(pieces):
        yield {name: tensors[number] for name, tensors in split.items()}


def accumulate(
    steps: Iterable[StepResult], scaler: torch.amp.GradScaler, weights: Iterable[nn.Parameter]
) -> StepResult:
    """The backward pass of each part of a batch, as soon as it is computed; the gradients are then the batch's.

    The mean loss of the batch is sum(w loss) / sum(w), with w the denominator of each part's own mean (so that a part
    of few tokens counts little). Gradients are added up with the factor w / w_1, w_1 the first part's, and divided at
    the end: the denominator of the batch is known only then.

    Returns:
        The results of the whole batch, without gradients.
    """
    reference: Tensor | None = None  # w_1
    rows: list[Tensor] = []
    for step in steps:
        weight = (step.count if step.weight is None else step.weight).detach().float()
        if reference is None:
            reference = torch.where(weight > 0, weight, 1.0)
        scaler.scale(step.loss * (weight / reference)).backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        values = step.loss.detach() * weight, step.score_sum.detach(), step.count, weight
        rows.append(torch.stack([value.double() for value in values]))
    loss, score, count, total = torch.stack(rows).sum(dim=0).unbind()
    total = total.clamp(min=1e-9)
    assert reference is not None  # noqa: S101  # a batch has a part
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    torch._foreach_mul_(gradients, (reference / total).float())
    return StepResult((loss / total).float(), score.float(), count.long())
