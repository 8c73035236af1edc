"""Masks of frames and of frequency bands (SpecAugment, Park et al. 2019, arXiv:1904.08779).

Legend: N batch, T frames, B bands, M masks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from components.contracts.augment_spec import SpecAugmentSpec


def masked(
    frames: Tensor, lengths: Tensor | None, spec: SpecAugmentSpec, mean: Tensor, generator: torch.Generator
) -> Tensor:
    """Replace spans of frames and of bands by the mean of the band, which is 0 for the network.

    The width of a span is drawn evenly from 0 to the width of the spec, its begin evenly from where it fits (section 2
    of the paper; torchaudio's `mask_along_axis_iid`).

    Args:
        frames: float32 (N, T, B), padded with 0; padding stays 0.
        lengths: (N,), or None if all have T frames.
        mean: (B,), of the train split.
    """
    count, steps, bands = frames.shape
    here = torch.full((count,), steps) if lengths is None else lengths.cpu()
    limit = (here * spec.time_share).long().clamp(max=spec.time_width)  # (N,)
    times = _spans(spec.time_masks, limit, here, steps, generator)  # (N, T)
    all_bands = torch.full((count,), bands)
    widest = all_bands.clamp(max=spec.frequency_width)
    frequencies = _spans(spec.frequency_masks, widest, all_bands, bands, generator)  # (N, B)
    inside = torch.arange(steps) < here[:, None]  # (N, T)
    chosen = (times[:, :, None] | frequencies[:, None, :]) & inside[:, :, None]  # (N, T, B)
    return torch.where(chosen.to(frames.device), mean.to(frames), frames)


def _spans(masks: int, widest: Tensor, length: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Whether a place is in one of the spans, bool (N, size).

    Args:
        masks: M.
        widest: (N,), the largest width of a span, that one included.
        length: (N,), the places of each sample.
    """
    draws = torch.rand(len(length), masks, 2, generator=generator)  # (N, M, 2)
    width = (draws[..., 0] * (widest + 1)[:, None]).long()  # (N, M)
    begin = (draws[..., 1] * (length[:, None] - width + 1)).long()  # (N, M)
    place = torch.arange(size)
    spans = (place >= begin[..., None]) & (place < (begin + width)[..., None])  # (N, M, size)
    return spans.any(dim=1)
