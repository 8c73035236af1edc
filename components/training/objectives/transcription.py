"""Encoder of frames and decoder of text with teacher forcing: the decoder's input is the true text.

The epoch with the lowest word error rate of greedy texts of a part of the validation split is kept.

Legend: N batch, U tokens of a text, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from components.contracts.train_spec import TrainSpec
from components.preprocessing.stored import StoredSplit
from components.training.batches import Batch
from components.training.objectives import greedy
from components.training.objectives.greedy import Writing
from components.training.objectives.objective import Forward, NoAugmentation, Selection, StepResult
from components.training.objectives.tokens import mask_padding, token_step

if TYPE_CHECKING:
    from components.training.prepared import Prepared

SOUNDS = 100  # of the validation split, spread evenly over it


class Transcripts(Protocol):
    """A processor of speech recognition."""

    prompt: list[int]
    end: int
    never: list[int]
    never_first: list[int]
    max_length: int

    def references(self, batch: dict[str, Any]) -> list[str]:
        """The texts of a batch."""

    def target_text(self, tokens: NDArray[Any]) -> str:
        """The text of tokens."""


class TranscriptionObjective(NoAugmentation):
    """Arrays `series` and `target`; the target has its prompt and end token. The prompt is given, and not learnt."""

    metric = "accuracy"
    higher_is_better = True
    selection = Selection("wer", higher_is_better=False)

    def __init__(self, spec: TrainSpec, prepared: Prepared) -> None:
        processor = cast(Transcripts, prepared.processor)
        self.selection = self.selection._replace(
            figure=lambda network, split, device: word_error_rate(network, split, processor, device)
        )
        self._smoothing, self._prompt = spec.label_smoothing, len(processor.prompt)

    def step(self, forward: Forward, batch: Batch, generator: torch.Generator, *, training: bool) -> StepResult:
        """Cross entropy of every token after the prompt."""
        target = batch["target"]  # (N, U)
        truth = mask_padding(target, batch["target_lengths"])[:, self._prompt :]
        logits: Tensor = forward(batch["series"], batch["series_lengths"], target[:, :-1])  # (N, U - 1, V)
        return token_step(logits[:, self._prompt - 1 :], truth, self._smoothing if training else 0.0)


def word_error_rate(network: nn.Module, split: StoredSplit, processor: Transcripts, device: torch.device) -> float:
    """Edits of words for each word that was said, of greedy texts of some sounds (jiwer).

    Args:
        network: has `encode` and `decode`, in evaluation mode.
        split: has the arrays `series`, `target` and, on request, `text`.
    """
    import jiwer

    writing = Writing(tuple(processor.prompt), processor.end, processor.never, processor.never_first)
    rows = greedy.spread(len(split), SOUNDS)
    room = processor.max_length - len(processor.prompt)
    tokens = greedy.texts(network, split, rows, ("series", "target"), writing, room, device)
    found = [processor.target_text(one) for one in tokens]
    return float(jiwer.wer(greedy.references(split, rows, processor, "text"), found))
