"""One number for each sample: the squared error of the scaled target.

Legend: N batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from components.contracts.train_spec import AugmentSpec, TrainSpec
from components.training.augmentation.inputs import augment_input
from components.training.batches import Batch
from components.training.objectives.objective import Forward, StepResult
from components.training.objectives.sample_weights import sample_weights, weighted_mean

if TYPE_CHECKING:
    from components.training.prepared import Prepared


class ValueObjective:
    """The array `target`, scaled; the metric is the mean squared error, in units of the target's variance in train.

    Any kind of input.
    """

    metric = "mse"
    higher_is_better = False

    def __init__(self, spec: TrainSpec, prepared: Prepared) -> None:
        self._inputs = prepared.processor.inputs()
        self._input_spec = prepared.processor.input_spec()

    def step(self, forward: Forward, batch: Batch, generator: torch.Generator, *, training: bool) -> StepResult:
        """The mean squared error."""
        values: Tensor = forward(*(batch[name] for name in self._inputs)).float()  # (N, 1)
        squared = (values - batch["target"]).square()  # (N, 1)
        count = torch.full((), len(squared), device=squared.device)
        own = sample_weights(batch) if training else None
        if own is None:
            return StepResult(squared.mean(), squared.detach().sum(), count)
        loss, weight = weighted_mean(squared[:, 0], own)
        return StepResult(loss, squared.detach().sum(), count, weight=weight)

    def augment(self, batch: Batch, spec: AugmentSpec, generator: torch.Generator) -> Batch:
        """The batch with an augmented input; the targets of mixed samples are mixed alike."""
        batch, mix = augment_input(batch, self._inputs, self._input_spec, spec, generator)
        return batch if mix is None else {**batch, "target": mix.of(batch["target"])}
