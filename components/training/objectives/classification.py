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
from components.training.class_weights import balanced_weights, class_weights
from components.training.objectives import overlap
from components.training.objectives.objective import Forward, Selection, StepResult, selection
from components.training.objectives.sample_weights import sample_weights, weighted_mean

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
    selections = (Selection("macro_f1", higher_is_better=True, combine=overlap.macro_f1),)

    def __init__(self, spec: TrainSpec, prepared: Prepared) -> None:
        self._inputs = prepared.processor.inputs()
        self._smoothing = spec.label_smoothing
        self.weights = class_weights(
            spec,
            prepared,
            lambda: balanced_weights(torch.from_numpy(np.array(prepared.train.all("labels"))), len(prepared.classes)),
        )
        check_augmentable(spec, prepared)

    def step(self, forward: Forward, batch: Batch, generator: torch.Generator, *, training: bool) -> StepResult:
        """Cross entropy (nats) and the number of correct answers."""
        labels = batch["labels"]  # (N,)
        logits: Tensor = forward(*(batch[name] for name in self._inputs)).float()  # (N, K)
        if training:
            if self.weights is not None and self.weights.device != logits.device:
                self.weights = self.weights.to(logits.device)
            loss, weight = self._training_loss(logits, labels, sample_weights(batch))
        else:
            loss = functional.cross_entropy(logits, labels)
            weight = None
        answers = logits.detach().argmax(dim=1)  # (N,)
        correct = (answers == labels).sum()
        sums = None
        if not training and selection(self).metric == "macro_f1":
            sums = overlap.class_sums(answers, labels, logits.shape[1])
        return StepResult(loss, correct, torch.full((), len(labels), device=loss.device), sums, weight)

    def _training_loss(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The loss with the weights of classes and samples (N,), and its denominator if it is not the number N."""
        of_classes = None if self.weights is None else self.weights[labels]  # (N,)
        smoothing = self._smoothing
        if weights is None:
            loss = functional.cross_entropy(logits, labels, weight=self.weights, label_smoothing=smoothing)
            return loss, None if of_classes is None else of_classes.sum()
        losses = functional.cross_entropy(
            logits, labels, weight=self.weights, label_smoothing=smoothing, reduction="none"
        )  # (N,)
        return weighted_mean(losses, weights, of_classes)

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
