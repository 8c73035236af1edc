"""Causal language models: cross entropy of the next token; its exponential is the perplexity.

Legend: N batch, T length, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torch.nn import functional

from components.contracts.shapes import TokensInput
from components.contracts.train_spec import TrainSpec
from components.preprocessing.stored import StoredSplit
from components.training.batches import Batch
from components.training.messages import log
from components.training.objectives.objective import BY_LOSS, Forward, NoAugmentation, StepResult
from components.training.objectives.tokens import IGNORED, mask_padding, token_step
from components.training.packing import PackedSplit

if TYPE_CHECKING:
    from components.training.prepared import Prepared


class NextTokenObjective(NoAugmentation):
    """The array `tokens` is the input and, shifted by one position, the target."""

    metric = "accuracy"
    higher_is_better = True
    selection = BY_LOSS  # the quality of the whole distribution; the likeliest token alone saturates early

    def __init__(self, spec: TrainSpec, prepared: Prepared) -> None:
        self._smoothing = spec.label_smoothing
        self._block = cast(TokensInput, prepared.processor.input_spec()).max_length

    def training_split(self, split: StoredSplit, name: str) -> StoredSplit:
        """The whole texts of a split, packed into blocks of the context window; logs how many."""
        if all(spec.name != "text_tokens" for spec in split.specs):  # of a task that packs by itself
            return split
        packed = PackedSplit(split, "text_tokens", "tokens", self._block)
        log(
            f"{name}: {packed.texts:,} texts, {packed.tokens:,} tokens, packed into {len(packed):,} blocks of"
            f" {self._block} tokens; the context crosses from one text into the next"
        )
        return packed

    def step(self, forward: Forward, batch: Batch, generator: torch.Generator, *, training: bool) -> StepResult:
        """Cross entropy of every token but the first of each block."""
        tokens, lengths = batch["tokens"], batch["tokens_lengths"]  # (N, T), (N,)
        truth = functional.pad(mask_padding(tokens, lengths)[:, 1:], (0, 1), value=IGNORED)  # (N, T)
        logits: Tensor = forward(tokens, lengths)  # (N, T, V)
        return token_step(logits, truth, self._smoothing if training else 0.0)
