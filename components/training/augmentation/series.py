"""Noise, scaling, warping of time and window slicing of series.

Series are float32 (N, T, C), padded with 0; lengths int64 (N,). Legend: N batch, T length, C channels, K knots.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

KNOTS = 4  # of the speed along a series, evenly spaced, ends included
SLOWEST = 0.1  # smallest speed at a knot: time does not run backwards


def noisy(series: Tensor, lengths: Tensor | None, amount: float, std: Tensor, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise (jittering of Um et al. 2017, arXiv:1706.00527); padding stays 0.

    Args:
        amount: standard deviation of the noise, in units of `std`.
        std: (C,), of each channel.
    """
    noise = torch.randn(series.shape, generator=generator).to(series) * (amount * std.to(series))  # (N, T, C)
    return series + (noise if lengths is None else noise * _inside(series, lengths))


def draw_factors(shape: torch.Size, amount: float, generator: torch.Generator) -> Tensor:
    """Draw the factor of each channel of a series, around 1 (scaling of Um et al. 2017): (N, 1, C)."""
    return 1 + amount * torch.randn(shape[0], 1, shape[2], generator=generator)


def scaled(series: Tensor, lengths: Tensor | None, factors: Tensor, mean: Tensor) -> Tensor:
    """Stretch values away from the mean (C,) of their channel by factors (N, 1, C); padding stays 0."""
    centre = mean.to(series)
    values = centre + (series - centre) * factors.to(series)  # (N, T, C)
    return values if lengths is None else values * _inside(series, lengths)


def time_warped(series: Tensor, lengths: Tensor | None, amount: float, generator: torch.Generator) -> Tensor:
    """Let time run faster and slower (Um et al. 2017); first step, last step and length are kept.

    The speed is drawn around 1 at `KNOTS` places and is linear in between.
    """
    count, steps, _ = series.shape
    last = _last(series, lengths).cpu()  # (N, 1); on the CPU, since CUDA has no reproducible cumulative sum
    speed = (1 + amount * torch.randn(count, KNOTS, generator=generator)).clamp(min=SLOWEST)  # (N, K)
    place = torch.arange(steps) / last.clamp(min=1)  # (N, T), 0..1 and beyond in the padding
    position = place.clamp(max=1) * (KNOTS - 1)
    low = position.long().clamp(max=KNOTS - 2)  # (N, T)
    here = torch.lerp(speed.gather(1, low), speed.gather(1, low + 1), position - low)  # (N, T)
    between = (here[:, 1:] + here[:, :-1]) / 2 * (place[:, 1:] <= 1)  # (N, T - 1): none in the padding
    run = functional.pad(between.cumsum(dim=1), (1, 0))  # (N, T)
    return _sampled(series, lengths, (run / run[:, -1:].clamp(min=1e-9) * last).to(series.device))


def sliced(series: Tensor, lengths: Tensor | None, share: float, generator: torch.Generator) -> Tensor:
    """Stretch a random part of each series to its length (window slicing of Le Guennec et al. 2016).

    Args:
        share: length of the part, as a share of the series.
    """
    last = _last(series, lengths)  # (N, 1)
    begin = torch.rand(len(series), 1, generator=generator).to(series) * (1 - share) * last  # (N, 1)
    return _sampled(series, lengths, begin + torch.arange(series.shape[1], device=series.device) * share)


def _sampled(series: Tensor, lengths: Tensor | None, places: Tensor) -> Tensor:
    """Values at places (N, T) between 0 and the last step, by linear interpolation; padding stays 0."""
    last = _last(series, lengths)
    places = places.clamp(min=0).minimum(last)  # (N, T)
    low = places.floor()
    high = (low + 1).minimum(last)
    lower = series.take_along_dim(low.long()[..., None], 1)  # (N, T, C)
    upper = series.take_along_dim(high.long()[..., None], 1)
    values = torch.lerp(lower, upper, (places - low)[..., None].to(series.dtype))
    return values if lengths is None else values * _inside(series, lengths)


def _last(series: Tensor, lengths: Tensor | None) -> Tensor:
    """The place of the last step, float32 (N, 1)."""
    if lengths is None:
        return torch.full((len(series), 1), series.shape[1] - 1.0, device=series.device)
    return (lengths - 1).clamp(min=0)[:, None].float()


def _inside(series: Tensor, lengths: Tensor) -> Tensor:
    """1 before the end of each series, then 0: (N, T, 1)."""
    steps = torch.arange(series.shape[1], device=series.device)
    return (steps < lengths[:, None])[..., None].to(series)
