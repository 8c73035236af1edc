"""One class for each token: cross entropy, and accuracy, over the tokens that have a tag.

The epoch with the best F1 of whole entities is kept, counted as in the evaluation: words past `max_length` are in no
predicted entity, but in the true ones.

Legend: N batch, T length, W words, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from components.contracts.train_spec import AugmentSpec, TrainSpec
from components.preprocessing import spans
from components.training.augmentation.inputs import augment_input
from components.training.batches import Batch
from components.training.class_weights import balanced_weights, class_weights
from components.training.objectives.objective import Forward, Selection, StepResult
from components.training.objectives.tokens import IGNORED, mask_padding, token_step

if TYPE_CHECKING:
    from components.training.prepared import Prepared


class TokenClassificationObjective:
    """Arrays `tokens` and `tags`; tokens with the tag -100 are ignored."""

    metric = "accuracy"
    higher_is_better = True

    def __init__(self, spec: TrainSpec, prepared: Prepared) -> None:
        self.selection = Selection("entity_f1", higher_is_better=True, combine=_f1, arrays=("word_tags", "word_tokens"))
        self._classes = prepared.classes
        self._inputs = prepared.processor.inputs()
        self._input_spec = prepared.processor.input_spec()
        self._smoothing = spec.label_smoothing
        self._weights = class_weights(spec, prepared, lambda: _balanced_tag_weights(prepared))

    def step(self, forward: Forward, batch: Batch, generator: torch.Generator, *, training: bool) -> StepResult:
        """Cross entropy of the tokens without padding."""
        tags = mask_padding(batch["tags"], batch["tags_lengths"])  # (N, T)
        logits: Tensor = forward(*(batch[name] for name in self._inputs))  # (N, T, K)
        if not training:
            return replace(token_step(logits, tags), sums=_entities(logits, batch, self._classes))
        weights = None if self._weights is None else self._weights.to(logits.device)
        return token_step(logits, tags, self._smoothing, weights)

    def augment(self, batch: Batch, spec: AugmentSpec, generator: torch.Generator) -> Batch:
        """The batch with unknown tokens in place of some; the tags stay."""
        return augment_input(batch, self._inputs, self._input_spec, spec, generator)[0]


def _balanced_tag_weights(prepared: Prepared) -> Tensor:
    tags = torch.from_numpy(np.array(prepared.train.all("tags")))  # (all tokens,)
    return balanced_weights(tags[tags != IGNORED], len(prepared.classes))


def _entities(logits: Tensor, batch: Batch, classes: Sequence[str]) -> Tensor:
    """Numbers of correct, predicted and true entities of a batch, (3,), on the CPU."""
    predicted = logits.argmax(dim=2).cpu().numpy()  # (N, T)
    arrays = {name: value.cpu().numpy() for name, value in batch.items() if name not in ("tokens", "images")}
    counts = np.zeros(3)
    for row, tags in enumerate(predicted):
        if "word_tags" in arrays:
            words = arrays["word_tags_lengths"][row]
            truth = arrays["word_tags"][row][:words]  # (W,)
            places = arrays["word_tokens"][row][:words]  # (W,), -1 for a word that is not read
        else:  # of a task of its own: words are the tokens with a tag
            places = np.flatnonzero(arrays["tags"][row][: arrays["tags_lengths"][row]] != IGNORED)
            truth = arrays["tags"][row][places]
        found = spans.spans([classes[tags[place]] if place >= 0 else spans.OUTSIDE for place in places])
        true = spans.spans([classes[tag] for tag in truth])
        counts += len(set(found) & set(true)), len(found), len(true)
    return torch.from_numpy(counts)


def _f1(sums: Sequence[float]) -> float:
    correct, predicted, true = sums
    return 2 * correct / max(predicted + true, 1.0)
