"""Language models that learn answers: cross entropy of the tokens of answers, after all tokens before them.

Legend: N batch, T length, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from components.contracts.shapes import TokensInput
from components.contracts.train_spec import TrainSpec
from components.core.errors import UsageError
from components.preprocessing.stored import StoredSplit
from components.training.batches import Batch
from components.training.conversations import SEGMENTS, PackedConversations
from components.training.messages import log
from components.training.objectives.objective import BY_LOSS, Forward, NoAugmentation, StepResult
from components.training.objectives.tokens import IGNORED, token_step

if TYPE_CHECKING:
    from components.training.prepared import Prepared


class AnswerObjective(NoAugmentation):
    """The array `tokens` is the input; where `answers` is 1, it is the target of the token before."""

    metric = "accuracy"
    higher_is_better = True
    selection = BY_LOSS

    def __init__(self, spec: TrainSpec, prepared: Prepared) -> None:
        processor: Any = prepared.processor
        self._smoothing = spec.label_smoothing
        self._packing = bool(processor.packing)
        self._size = cast(TokensInput, processor.input_spec()).max_length

    def training_split(self, split: StoredSplit, name: str) -> StoredSplit:
        """The conversations of a split, packed if the dataset says so; logs how many."""
        silent = sum(not split.sample(row)["answers"][1:].any() for row in range(len(split)))
        if silent:
            log(f"{name}: {silent:,} of {len(split):,} conversations have no answer within {self._size} tokens")
        if not self._packing:
            return split
        packed = PackedConversations(split, self._size)
        tokens = int(split.lengths("tokens").sum())
        share = tokens / (len(packed) * self._size)
        log(
            f"{name}: {len(split):,} conversations, {tokens:,} tokens, packed into {len(packed):,} rows of"
            f" {self._size} tokens ({share:.0%} full)"
        )
        return packed

    def step(self, forward: Forward, batch: Batch, generator: torch.Generator, *, training: bool) -> StepResult:
        """Cross entropy of the tokens of answers.

        Raises:
            UsageError: conversations are packed, and the network does not keep them apart.
        """
        tokens, lengths, answers = batch["tokens"], batch["tokens_lengths"], batch["answers"]  # (N, T), (N,), (N, T)
        if SEGMENTS in batch:
            if not getattr(getattr(forward, "module", forward), "takes_segments", False):
                raise UsageError(
                    "this network does not keep packed conversations apart",
                    where="input.packing of dataset.yaml",
                    got="true",
                    next_step="set packing: false, or choose the model causal-lm",
                )
            logits: Tensor = forward(tokens, lengths, batch[SEGMENTS])  # (N, T, V)
        else:
            logits = forward(tokens, lengths)
        truth = tokens.masked_fill(answers == 0, IGNORED)
        if SEGMENTS in batch:  # the first token of a conversation follows another conversation
            begins = functional.pad(batch[SEGMENTS][:, 1:] != batch[SEGMENTS][:, :-1], (1, 0), value=True)
            truth = truth.masked_fill(begins, IGNORED)
        truth = functional.pad(truth[:, 1:], (0, 1), value=IGNORED)  # (N, T)
        return token_step(logits, truth, self._smoothing if training else 0.0)
