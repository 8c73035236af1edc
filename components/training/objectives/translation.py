"""Encoder and decoder with teacher forcing: the decoder's input is the true target.

The epoch with the best BLEU of greedy translations of a part of the validation split is kept (`greedy_bleu`).

Legend: N batch, S source length, T target length, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from components.contracts.train_spec import TrainSpec
from components.training.batches import Batch
from components.training.objectives.greedy_bleu import Translations, greedy_bleu
from components.training.objectives.objective import Forward, NoAugmentation, Selection, StepResult
from components.training.objectives.tokens import mask_padding, token_step

if TYPE_CHECKING:
    from components.training.prepared import Prepared


class TranslationObjective(NoAugmentation):
    """Arrays `source` and `target`; the target has its begin and end token."""

    metric = "accuracy"
    higher_is_better = True
    selection = Selection("bleu", higher_is_better=True)

    def __init__(self, spec: TrainSpec, prepared: Prepared) -> None:
        processor = cast(Translations, prepared.processor)
        self.selection = self.selection._replace(
            figure=lambda network, split, device: greedy_bleu(network, split, processor, device)
        )
        self._smoothing = spec.label_smoothing

    def step(self, forward: Forward, batch: Batch, generator: torch.Generator, *, training: bool) -> StepResult:
        """Cross entropy of every token of the target but the begin token."""
        target = batch["target"]  # (N, T)
        truth = mask_padding(target, batch["target_lengths"])[:, 1:]  # (N, T - 1)
        logits: Tensor = forward(batch["source"], batch["source_lengths"], target[:, :-1])  # (N, T - 1, V)
        return token_step(logits, truth, self._smoothing if training else 0.0)
