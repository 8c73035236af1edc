"""One class for each token: cross entropy, and accuracy, over the tokens that have a tag.

Legend: N batch, T length, K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from components.contracts.train_spec import TrainSpec
from components.training.batches import Batch
from components.training.class_weights import balanced_weights
from components.training.objectives.objective import Forward, NoAugmentation, StepResult
from components.training.objectives.tokens import IGNORED, mask_padding, token_step

if TYPE_CHECKING:
    from components.training.prepared import Prepared


class TokenClassificationObjective(NoAugmentation):
    """Arrays `tokens` and `tags`; tokens with the tag -100 are ignored."""

    metric = "accuracy"
    higher_is_better = True

    def __init__(self, spec: TrainSpec, prepared: Prepared) -> None:
        self._inputs = prepared.processor.inputs()
        self._smoothing = spec.label_smoothing
        self._weights: Tensor | None = None
        if spec.class_weights == "balanced":
            tags = torch.from_numpy(np.array(prepared.train.all("tags")))  # (all tokens,)
            self._weights = balanced_weights(tags[tags != IGNORED], len(prepared.classes))

    def step(self, forward: Forward, batch: Batch, generator: torch.Generator, *, training: bool) -> StepResult:
        """Cross entropy of the tokens without padding."""
        tags = mask_padding(batch["tags"], batch["tags_lengths"])  # (N, T)
        logits: Tensor = forward(*(batch[name] for name in self._inputs))  # (N, T, K)
        if not training:
            return token_step(logits, tags)
        weights = None if self._weights is None else self._weights.to(logits.device)
        return token_step(logits, tags, self._smoothing, weights)
