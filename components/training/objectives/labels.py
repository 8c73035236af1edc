"""Any number of labels for each sample: binary cross entropy of every label.

The epoch with the best mean F1 of the labels, at a threshold of 0.5, is kept.

Legend: N batch, K labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from components.contracts.train_spec import AugmentSpec, TrainSpec
from components.training.augmentation.inputs import augment_input
from components.training.batches import Batch
from components.training.class_weights import class_weights, positive_weights
from components.training.objectives import overlap
from components.training.objectives.objective import Forward, Selection, StepResult
from components.training.objectives.sample_weights import sample_weights, weighted_mean

if TYPE_CHECKING:
    from components.training.prepared import Prepared


class LabelsObjective:
    """Binary cross entropy of any kind of input.

    Args:
        spec: class_weights (as weights of the samples with a label) and label_smoothing (targets from s / 2 to
            1 - s / 2) apply to training, not to validation.
        prepared: the array `labels` bool (K,) of the train split gives the frequencies of the labels.
    """

    metric = "loss"
    higher_is_better = False
    selection = Selection("macro_f1", higher_is_better=True, combine=overlap.macro_f1)

    def __init__(self, spec: TrainSpec, prepared: Prepared) -> None:
        self._inputs = prepared.processor.inputs()
        self._input_spec = prepared.processor.input_spec()
        self._smoothing = spec.label_smoothing
        self.weights = class_weights(
            spec,
            prepared,
            lambda: positive_weights(torch.from_numpy(np.array(prepared.train.all("labels")))),
        )

    def step(self, forward: Forward, batch: Batch, generator: torch.Generator, *, training: bool) -> StepResult:
        """Binary cross entropy (nats), the mean over samples and labels."""
        targets = batch["labels"].float()  # (N, K)
        logits: Tensor = forward(*(batch[name] for name in self._inputs)).float()  # (N, K)
        weights = None
        if training:
            targets = targets * (1 - self._smoothing) + self._smoothing / 2
            if self.weights is not None:
                weights = self.weights = self.weights.to(logits.device)
        own = sample_weights(batch) if training else None
        weight = None
        if own is None:
            loss = functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights)
        else:
            losses = functional.binary_cross_entropy_with_logits(
                logits, targets, pos_weight=weights, reduction="none"
            ).mean(dim=1)  # (N,)
            loss, weight = weighted_mean(losses, own)
        count = torch.full((), len(targets), device=loss.device)
        sums = None if training else overlap.label_sums(logits > 0, batch["labels"].bool())
        return StepResult(loss, loss.detach() * count, count, sums, weight)

    def augment(self, batch: Batch, spec: AugmentSpec, generator: torch.Generator) -> Batch:
        """The batch with an augmented input; the labels of mixed samples are shares of 0 to 1."""
        batch, mix = augment_input(batch, self._inputs, self._input_spec, spec, generator)
        return batch if mix is None else {**batch, "labels": mix.of(batch["labels"])}
