"""BLEU of greedy translations of a part of a split: what `keep: best` follows in translation.

Legend: N sentences, S source length, T target length so far, V vocabulary.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from components.preprocessing.stored import StoredSplit
from components.preprocessing.text import BEGIN, END, PAD, UNKNOWN
from components.training.batches import on_device

SENTENCES = 200  # of the validation split, spread evenly over it
BATCH = 50
FURTHER_TOKENS = 10  # a translation has at most this many tokens more than the longest reference of its batch


class Translations(Protocol):
    """A processor of translation."""

    max_length: int

    def references(self, batch: dict[str, Any]) -> list[str]:
        """The whole target texts of a batch."""

    def target_text(self, tokens: NDArray[np.int64]) -> str:
        """The text of target tokens, int64 (T,), without the begin and end tokens."""


def greedy_bleu(network: nn.Module, split: StoredSplit, processor: Translations, device: torch.device) -> float:
    """BLEU, 0 to 100, as sacrebleu has it (Papineni et al. 2002; Post 2018, aclanthology.org/W18-6319).

    Args:
        network: a translator with `encode` and `decode`, in evaluation mode.
        split: has the arrays `source`, `target` and, on request, `target_text`.
    """
    from sacrebleu.metrics.bleu import BLEU

    rows = np.unique(np.linspace(0, len(split) - 1, min(SENTENCES, len(split))).round().astype(np.int64))
    translations: list[str] = []
    references: list[str] = []
    for begin in range(0, len(rows), BATCH):
        index = rows[begin : begin + BATCH]
        batch = on_device(split.batch(index), device)
        longest = min(processor.max_length - 1, batch["target"].shape[1] + FURTHER_TOKENS)
        targets = greedy(network, batch["source"], batch["source_lengths"], longest)
        translations += [processor.target_text(_until_end(row)) for row in targets.cpu().numpy()]
        references += processor.references(split.batch(index, ("target_text",)))
    return float(BLEU(force=True).corpus_score(translations, [references]).score)


@torch.inference_mode()
def greedy(network: nn.Module, source: Tensor, source_lengths: Tensor, max_length: int) -> Tensor:
    """The likeliest next token again and again: int64 (N, T) without the begin token, with whatever follows an end.

    Args:
        source, source_lengths: (N, S) and (N,).
        max_length: largest T.
    """
    translator = cast(Any, network)
    memory = translator.encode(source, source_lengths)  # (N, S, D)
    target = torch.full((len(source), 1), BEGIN, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    never = torch.tensor([PAD, UNKNOWN, BEGIN], device=source.device)
    for _ in range(max_length):
        logits = translator.decode(memory, source_lengths, target).float().index_fill(1, never, -torch.inf)  # (N, V)
        following = logits.argmax(dim=1)
        target = torch.cat([target, following[:, None]], dim=1)
        ended |= following == END
        if bool(ended.all()):
            break
    return target[:, 1:]


def _until_end(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    ends = np.flatnonzero(tokens == END)
    return tokens[: ends[0]] if len(ends) else tokens
