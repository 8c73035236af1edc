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
from components.training.augmentation.inputs import augment_input
from components.training.batches import Batch
from components.training.class_weights import balanced_weights, class_weights
from components.training.objectives import overlap
from components.training.objectives.objective import Forward, Selection, StepResult, selection
from components.training.objectives.sample_weights import sample_weights, weighted_mean

if TYPE_CHECKING:
    from components.training.prepared import Prepared


class ClassificationObjective:
    """Cross entropy of any kind of input. A sample that is mixed with another one has two labels and a share.

    Args:
        spec: class_weights and label_smoothing apply to training, not to validation.
        prepared: the array `labels` of the train split gives the class frequencies.
    """

    metric = "accuracy"
    higher_is_better = True
    selections = (Selection("macro_f1", higher_is_better=True, combine=overlap.macro_f1),)

    def __init__(self, spec: TrainSpec, prepared: Prepared) -> None:
        self._inputs = prepared.processor.inputs()
        self._input_spec = prepared.processor.input_spec()
        self._smoothing = spec.label_smoothing
        self.weights = class_weights(
            spec,
            prepared,
            lambda: balanced_weights(torch.from_numpy(np.array(prepared.train.all("labels"))), len(prepared.classes)),
        )

    def step(self, forward: Forward, batch: Batch, generator: torch.Generator, *, training: bool) -> StepResult:
        """Cross entropy (nats) and the number of correct answers."""
        labels = batch["labels"]  # (N,)
        logits: Tensor = forward(*(batch[name] for name in self._inputs)).float()  # (N, K)
        if training:
            if self.weights is not None and self.weights.device != logits.device:
                self.weights = self.weights.to(logits.device)
            if "other_labels" in batch:
                return mixed_step(logits, batch, self.weights, self._smoothing)
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
        """The batch with an augmented input; of mixed samples `other_labels` and `shares` of `labels`, (N,)."""
        batch, mix = augment_input(batch, self._inputs, self._input_spec, spec, generator)
        if mix is None:
            return batch
        return {**batch, "other_labels": batch["labels"][mix.partner], "shares": mix.share}


def mixed_step(logits: Tensor, batch: Batch, weights: Tensor | None, smoothing: float) -> StepResult:
    """Cross entropy with the labels of both samples, in their shares (Zhang et al. 2017, arXiv:1710.09412).

    An answer counts as correct by the share of the label that it names, so the accuracy of a training with mixed
    samples is lower than that of whole ones.

    Args:
        logits: (N, K).
        batch: `labels`, `other_labels` int64 (N,), `shares` float32 (N,) of `labels`.
        weights: (K,), of the classes.
    """
    loss_sum, weight_sum = logits.new_zeros(()), logits.new_zeros(())
    score = logits.new_zeros(())
    answers = logits.detach().argmax(dim=1)  # (N,)
    for labels, shares in ((batch["labels"], batch["shares"]), (batch["other_labels"], 1 - batch["shares"])):
        losses = functional.cross_entropy(logits, labels, weights, reduction="none", label_smoothing=smoothing)  # (N,)
        loss_sum = loss_sum + (shares * losses).sum()
        weight_sum = weight_sum + (shares if weights is None else shares * weights[labels]).sum()
        score = score + shares[answers == labels].sum()
    count = torch.full((), len(logits), device=logits.device)
    return StepResult(loss_sum / weight_sum, score, count, weight=None if weights is None else weight_sum)
