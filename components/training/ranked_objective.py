"""An objective on a rank's share of a batch, with the loss, the figures and the gradient of the whole batch.

Legend: R ranks, w_r what the mean loss of rank r divides by, W their sum.
"""

from __future__ import annotations

from typing import Any

import torch

from components.contracts.train_spec import AugmentSpec
from components.training.batches import Batch, derive_seed
from components.training.objectives.objective import Forward, Objective, StepResult
from components.training.ranks import Ranks

SEEDS = 2**62


class RankedObjective:
    """Weights each rank's loss by its part of the batch, so that shares may have different sizes.

    DDP and FSDP average gradients: (1 / R) sum of d(f_r loss_r), which with f_r = R w_r / W is the gradient of the mean
    over the batch, sum of w_r loss_r / W. A loss that is no mean over samples or tokens (Dice, and the normalisation of
    a detector's loss by the number of boxes) is that of each share, weighted by its samples.

    Random draws of a step differ between the ranks. The validation is that of one process.
    """

    def __init__(self, objective: Objective, ranks: Ranks) -> None:
        self._objective = objective
        self._ranks = ranks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objective, name)

    def step(self, forward: Forward, batch: Batch, generator: torch.Generator, *, training: bool) -> StepResult:
        """As of `Objective`; in training every rank calls it, and the figures are of the whole batch."""
        if not training:
            return self._objective.step(forward, batch, generator, training=False)
        own = self._own(generator)
        self._ranks.seed(own.initial_seed())  # for dropout
        step = self._objective.step(forward, batch, own, training=True)
        weight = (step.count if step.weight is None else step.weight).detach().double()
        sums = torch.stack([step.loss.detach().double() * weight, step.score_sum.double(), step.count.double(), weight])
        loss, score, count, total = self._ranks.total(sums).unbind()
        scaled = step.loss * (weight * self._ranks.size / total.clamp(min=1e-9)).to(step.loss.dtype)
        whole = (loss / total.clamp(min=1e-9)).to(step.loss.dtype)
        return StepResult(
            scaled + (whole - scaled).detach(),
            score.to(step.score_sum.dtype),
            count.to(step.count.dtype),
            weight=total.to(step.loss.dtype),
        )

    def augment(self, batch: Batch, spec: AugmentSpec, generator: torch.Generator) -> Batch:
        """As of `Objective`; it may be called in another thread than `step`."""
        return self._objective.augment(batch, spec, self._own(generator))

    def _own(self, generator: torch.Generator) -> torch.Generator:
        """A generator of this rank, which follows from the state of the common one."""
        seed = int(torch.randint(SEEDS, (), generator=generator))
        return torch.Generator().manual_seed(derive_seed(seed, "rank", self._ranks.rank))
