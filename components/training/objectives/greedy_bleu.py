"""BLEU of greedy translations of a part of a split: what `keep: best` follows in translation.

Legend: N sentences.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import nn

from components.preprocessing.stored import StoredSplit
from components.training.objectives import greedy
from components.training.objectives.greedy import Writing

SENTENCES = 200  # of the validation split, spread evenly over it


class Translations(Protocol):
    """A processor of translation."""

    max_length: int

    def special_tokens(self) -> tuple[int, int, list[int]]:
        """The tokens that begin and end a target, and those that it never has."""

    def references(self, batch: dict[str, Any]) -> list[str]:
        """The whole target texts of a batch."""

    def target_text(self, tokens: NDArray[Any]) -> str:
        """The text of target tokens, int64 (T,), without the begin and end tokens."""


def greedy_bleu(network: nn.Module, split: StoredSplit, processor: Translations, device: torch.device) -> float:
    """BLEU, 0 to 100, as sacrebleu has it (Papineni et al. 2002; Post 2018, aclanthology.org/W18-6319).

    Args:
        network: a translator with `encode` and `decode`, in evaluation mode.
        split: has the arrays `source`, `target` and, on request, `target_text`.
    """
    from sacrebleu.metrics.bleu import BLEU

    begin, end, never = processor.special_tokens()
    writing = Writing((begin,), end, never)
    rows = greedy.spread(len(split), SENTENCES)
    tokens = greedy.texts(network, split, rows, ("source", "target"), writing, processor.max_length - 1, device)
    references = greedy.references(split, rows, processor, "target_text")
    translations = [processor.target_text(one) for one in tokens]
    return float(BLEU(force=True).corpus_score(translations, [references]).score)
