"""One class for each sample: cross entropy, and accuracy.

Legend: N batch, K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from components.contracts.train_spec import AugmentSpec, TrainSpec
from components.core.errors import UsageError
from components.training.batches import Batch
from components.training.class_weights import balanced_weights
from components.training.objectives.objective import Forward, StepResult

if TYPE_CHECKING:
    from components.training.prepared import Prepared


class ClassificationObjective:
    """Cross entropy of any kind of input; images may be augmented.

    Args:
        spec: class_weights and label_smoothing apply to training, not to validation.
        prepared: the array `labels` of the train split gives the class frequencies.
    """

    metric = "accuracy"
    higher_is_better = True

    def __init__(self, spec: TrainSpec, prepared: Prepared) -> None:
        self._inputs = prepared.processor.inputs()
        self._smoothing = spec.label_smoothing
        self.weights: Tensor | None = None
        if spec.class_weights == "balanced":
            labels = torch.from_numpy(np.array(prepared.train.all("labels")))
            self.weights = balanced_weights(labels, len(prepared.classes))
        check_augmentable(spec, prepared)

    def step(self, forward: Forward, batch: Batch, generator: torch.Generator, *, training: bool) -> StepResult:
        """Cross entropy (nats) and the number of correct answers."""
        labels = batch["labels"]  # (N,)
        logits: Tensor = forward(*(batch[name] for name in self._inputs)).float()  # (N, K)
        if training:
            if self.weights is not None and self.weights.device != logits.device:
                self.weights = self.weights.to(logits.device)
            loss = functional.cross_entropy(logits, labels, weight=self.weights, label_smoothing=self._smoothing)
        else:
            loss = functional.cross_entropy(logits, labels)
        correct = (logits.detach().argmax(dim=1) == labels).sum()
        count = torch.full((), len(labels), device=loss.device)
        weight = None if self.weights is None or not training else self.weights[labels].sum()
        return StepResult(loss, correct, count, weight=weight)

    def augment(self, batch: Batch, spec: AugmentSpec, generator: torch.Generator) -> Batch:
        """The batch with augmented images."""
        from components.preprocessing.augmentation import augment

        return {**batch, "images": augment(batch["images"], spec, generator)}


def check_augmentable(spec: TrainSpec, prepared: Prepared) -> None:
    """Raise UsageError if the pipeline augments what is no image."""
    if spec.augment.active and not prepared.processor.input_spec().augmentable:
        raise UsageError(
            "only images can be augmented",
            where="train.augment",
            got=prepared.processor.input_spec().kind,
            next_step=f"leave it out of the pipeline of a task {prepared.task.name}",
        )
