"""Causal language models: cross entropy of the next token; its exponential is the perplexity.

Legend: N batch, T length, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from components.contracts.train_spec import TrainSpec
from components.training.batches import Batch
from components.training.objectives.objective import Forward, NoAugmentation, StepResult
from components.training.objectives.tokens import IGNORED, mask_padding, token_step

if TYPE_CHECKING:
    from components.training.prepared import Prepared


class NextTokenObjective(NoAugmentation):
    """The array `tokens` is the input and, shifted by one position, the target."""

    metric = "accuracy"
    higher_is_better = True

    def __init__(self, spec: TrainSpec, prepared: Prepared) -> None:
        self._smoothing = spec.label_smoothing

    def step(self, forward: Forward, batch: Batch, generator: torch.Generator, *, training: bool) -> StepResult:
        """Cross entropy of every token but the first of each sample."""
        tokens, lengths = batch["tokens"], batch["tokens_lengths"]  # (N, T), (N,)
        truth = functional.pad(mask_padding(tokens, lengths)[:, 1:], (0, 1), value=IGNORED)  # (N, T)
        logits: Tensor = forward(tokens, lengths)  # (N, T, V)
        return token_step(logits, truth, self._smoothing if training else 0.0)
