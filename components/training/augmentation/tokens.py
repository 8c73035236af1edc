"""Word dropout (Bowman et al. 2015, arXiv:1511.06349): random tokens become unknown.

Legend: N batch, T length.
"""

from __future__ import annotations

import torch
from torch import Tensor

from components.contracts.shapes import TokensInput
from components.core.errors import UsageError


def with_dropped_words(
    tokens: Tensor, lengths: Tensor | None, probability: float, input_spec: TokensInput, generator: torch.Generator
) -> Tensor:
    """Replace tokens by `input_spec.mask`; special tokens and padding are kept, and so is the length.

    Args:
        tokens: int64 (N, T).
        lengths: (N,), or None if all have T tokens.
    """
    assert input_spec.mask is not None  # noqa: S101  # `check_mask` has looked
    chosen = (torch.rand(tokens.shape, generator=generator) < probability).to(tokens.device)  # (N, T)
    if lengths is not None:
        chosen &= torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
    for number in input_spec.special:
        chosen &= tokens != number
    return tokens.masked_fill(chosen, input_spec.mask)


def check_mask(input_spec: TokensInput) -> None:
    """Raise UsageError if the tokenizer has no token that may take the place of others."""
    if input_spec.mask is None:
        raise UsageError(
            "the tokenizer has neither [MASK] nor [UNK]",
            where="train.augment.word_dropout",
            next_step="leave word_dropout out of the pipeline",
        )
